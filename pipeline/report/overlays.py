"""Worst, median and best cases: the outlines of truth and prediction drawn on slices of the image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.metrics.labels import MEAN, Labels, numbers_of
from pipeline.metrics.masks import read_pred, read_truth
from pipeline.metrics.scores import Scores
from pipeline.report.figures import Picture
from pipeline.report.style import DARK, PRED, TRUTH, draw_png, frameless
from pipeline.volumes import first_name, read_image
from pipeline.volumes.view import View

_MARGIN_MM = 12.0
_LEAST_MM = 80.0  # a small lesion is shown with what lies around it
_TITLES = {"axes.titlesize": 9, "axes.titleweight": "normal", "axes.titlelocation": "center"}


@dataclass(frozen=True)
class Choice:
    """A case to show and why: "worst", "second worst", "median" or "best" by mean Dice."""

    role: str
    case: str


@dataclass(frozen=True)
class Volumes:
    """Image, truth and pred of one case as they are shown, all (slices, rows, columns).

    Args:
        size: height of a row and width of a column, in mm (or pixels).
        least: the least height and width of what is shown, in the same unit.
    """

    image: np.ndarray
    truth: np.ndarray
    pred: np.ndarray
    size: tuple[float, float]
    least: float = _LEAST_MM


def choose_cases(scores: Scores) -> list[Choice]:
    """The two worst cases, the median one and the best, by mean Dice; none of them twice.

    Cases without a prediction or without a defined Dice are left out.
    """
    rows = scores.cases[(scores.cases["structure"] == MEAN) & ~scores.cases["case"].isin(scores.missing)]
    ranking = rows.dropna(subset=["dice"]).sort_values(["dice", "case"])["case"].tolist()
    last = len(ranking) - 1
    wanted = {"worst": 0, "best": last, "median": last // 2, "second worst": 1}
    places: dict[int, str] = {}
    for role, place in wanted.items():
        places.setdefault(place, role)
    return [Choice(places[place], ranking[place]) for place in sorted(places) if 0 <= place <= last]


def overlay(scores: Scores, choice: Choice) -> Picture:
    """Draw up to four slices of one case: three spread over the labelled ones and the one with most errors.

    Raises:
        ValueError: cases.json names no such files, or their shapes differ.
        DataError: a file cannot be read.
    """
    entry = next((entry for entry in scores.files if entry["case"] == choice.case), {})
    volumes = read_case(entry, scores.labels)
    slices = choose_slices(volumes.truth, volumes.pred)
    columns = min(2, len(slices))
    rows = -(-len(slices) // columns)
    cell = 2.5 if len(slices) > 1 else 4.2  # inches
    options = {"rows": rows, "columns": columns, "size": (cell * columns, (cell + 0.18) * rows)}

    def draw(axes: np.ndarray) -> None:
        _draw_slices(axes.ravel(), volumes, slices, scores.labels)

    png = draw_png(draw, **options, dpi=140, style=DARK | _TITLES)
    numbers = ", ".join(str(k + 1) for k in slices)
    where = f"Slices {numbers} of {choice.case}" if len(volumes.truth) > 1 else choice.case
    alt = f"{where} with the outlines of truth and prediction."
    return Picture("case_" + choice.role.replace(" ", "_"), png, alt, choice.case)


def choose_slices(truth: np.ndarray, pred: np.ndarray) -> list[int]:
    """Up to four indices along the first axis, in order: 1/6, 1/2 and 5/6 of the labelled range, and most errors."""
    labelled = np.flatnonzero((truth != 0).any((1, 2)) | (pred != 0).any((1, 2)))
    if not len(labelled):
        return [len(truth) // 2]
    first, span = labelled[0], labelled[-1] - labelled[0]
    spread = {int(first + round(span * part)) for part in (1 / 6, 1 / 2, 5 / 6)}
    return sorted(spread | {int((truth != pred).sum((1, 2)).argmax())})


def holders(labels: Labels) -> list[str]:
    """Names of the structures that hold another one, such as lungs with infection; their outlines are dashed."""
    numbers = {name: set(own) for name, own in numbers_of(labels).items()}
    return [name for name, own in numbers.items() if any(own > other for other in numbers.values())]


def read_case(entry: dict[str, Any], labels: Labels) -> Volumes:
    """The files of an entry of cases.json, turned as a viewer shows them; of several channels the first.

    Raises:
        ValueError: it names no such files, or their shapes differ.
        DataError: a file cannot be read.
    """
    paths = {key: first_name(entry.get(key) or "") for key in ("image", "label", "pred")}
    absent = [key for key, path in paths.items() if not path or not Path(path).exists()]
    if absent:
        raise ValueError(f"no file for {', '.join(absent)}")
    truth, pred = read_truth(entry, labels), read_pred(paths["pred"], labels)
    image = _at_least_3d(read_image(paths["image"]))
    if entry.get("slice") is not None:
        image = image[:, :, entry["slice"] :][:, :, :1]
    shapes = {array.shape for array in (image, truth.array, pred.array)}
    if len(shapes) > 1 or image.ndim != 3:
        raise ValueError(f"image, label and pred should share one 3D shape, found {sorted(shapes)}")
    view = View(truth.affine, truth.spacing, image.shape)
    shown = (view(array) for array in (image, truth.array, pred.array))
    least = _LEAST_MM if truth.has_geometry else max(image.shape) / 2
    return Volumes(*shown, size=(view.row_mm, view.column_mm), least=least)


def _at_least_3d(array: np.ndarray) -> np.ndarray:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return array[..., None] if array.ndim == 2 else array


def _draw_slices(axes: np.ndarray, volumes: Volumes, slices: list[int], labels: Labels) -> None:
    window = _window(volumes)
    grey = _grey_range(volumes, window)
    depth = len(volumes.truth)
    for plot in axes[len(slices) :]:
        plot.set_visible(False)
    for plot, k in zip(axes, slices, strict=False):
        _draw_slice(plot, volumes, k, labels, window=window, grey=grey)
        wrong = 100 * (volumes.truth[k] != volumes.pred[k]).mean()
        place = f"slice {k + 1} of {depth}, " if depth > 1 else ""
        plot.set_title(f"{place}error {wrong:.2f} %", pad=3)


def _draw_slice(
    plot: Any, volumes: Volumes, k: int, labels: Labels, *, window: np.ndarray, grey: tuple[float, float]
) -> None:
    (rows, columns), (height, width) = volumes.truth.shape[1:], volumes.size
    grey_values = {"cmap": "gray", "vmin": grey[0], "vmax": grey[1], "interpolation": "bilinear"}
    plot.imshow(volumes.image[k], **grey_values, extent=(0, columns * width, rows * height, 0))
    x, y = (np.arange(-1, columns + 1) + 0.5) * width, (np.arange(-1, rows + 1) + 0.5) * height
    dashed = holders(labels)
    for masks, colour, line in ((volumes.truth, TRUTH, 2.0), (volumes.pred, PRED, 1.0)):
        for name, numbers in numbers_of(labels).items():
            mask = np.pad(np.isin(masks[k], numbers), 1)  # an outline also along the edge of the image
            if numbers != (0,) and mask.any():
                style = {"linestyles": [(0, (2, 2))], "alpha": 0.8} if name in dashed else {}
                plot.contour(x, y, mask.astype(float), levels=[0.5], colors=[colour], linewidths=line, **style)
    (top, bottom), (left, right) = window
    plot.set(xlim=(left, right), ylim=(bottom, top))
    frameless(plot)


def _window(volumes: Volumes) -> np.ndarray:
    """The square ((top, bottom), (left, right)) around all labels; the whole slice where there are none."""
    labelled = ((volumes.truth != 0) | (volumes.pred != 0)).any(0)
    places = np.argwhere(labelled if labelled.any() else np.ones_like(labelled))
    size = np.array(volumes.size)
    low, high = places.min(0) * size, (places.max(0) + 1) * size
    margin = _MARGIN_MM if labelled.any() else 0
    half = max((high - low).max() / 2 + margin, volumes.least / 2)
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half], axis=1)


def _grey_range(volumes: Volumes, window: np.ndarray) -> tuple[float, float]:
    """1st and 99.5th percentile of what the window shows, over all slices."""
    low, high = np.clip(window / np.array(volumes.size)[:, None], 0, None).round().astype(int).T
    shown = volumes.image[:, low[0] : high[0], low[1] : high[1]]
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        return 0.0, 1.0
    return float(np.percentile(shown, 1)), float(np.percentile(shown, 99.5))
