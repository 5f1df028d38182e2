"""Worst, median and best cases: the outlines of truth and prediction drawn on slices of the image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pipeline.metrics.labels import MEAN
from pipeline.metrics.scores import Scores
from pipeline.report.figures import Picture
from pipeline.report.style import PRED, TRUTH, draw_png
from pipeline.volumes import affine, read_image, slice_axis, spacing

_MARGIN_MM = 12.0
_DARK = {
    "figure.facecolor": "#101418",
    "axes.facecolor": "#101418",
    "axes.grid": False,
    "text.color": "#e8ecf0",
    "axes.titlesize": 9,
    "axes.titleweight": "normal",
    "axes.titlelocation": "center",
}


@dataclass(frozen=True)
class Choice:
    """A case to show and why: "worst", "second worst", "median" or "best" by mean Dice."""

    role: str
    case: str


@dataclass(frozen=True)
class Volumes:
    """Image, truth and pred of one case, all (X, Y, Z) in one order of axes, and the size of a voxel in mm."""

    image: np.ndarray
    truth: np.ndarray
    pred: np.ndarray
    spacing: tuple[float, float, float]


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
        if place <= last and place >= 0:
            places.setdefault(place, role)
    return [Choice(places[place], ranking[place]) for place in sorted(places)]


def overlay(scores: Scores, choice: Choice) -> Picture:
    """Draw up to four slices of one case: three spread over the labelled ones and the one with most errors.

    Raises:
        ValueError: cases.json names no such files, or their shapes differ.
        DataError: a file cannot be read.
    """
    volumes = _read(next((entry for entry in scores.files if entry["case"] == choice.case), {}))
    slices = choose_slices(volumes.truth, volumes.pred)
    columns = min(2, len(slices))
    rows = -(-len(slices) // columns)
    png = draw_png(
        lambda axes: _draw_slices(axes.ravel(), volumes, slices),
        size=(2.5 * columns, 2.68 * rows),
        rows=rows,
        columns=columns,
        dpi=140,
        style=_DARK,
    )
    numbers = ", ".join(str(k + 1) for k in slices)
    return Picture(
        name="case_" + choice.role.replace(" ", "_"),
        png=png,
        alt=f"Slices {numbers} of {choice.case} with the outlines of truth and prediction.",
        caption=choice.case,
    )


def choose_slices(truth: np.ndarray, pred: np.ndarray) -> list[int]:
    """Up to four indices along the last axis, in order: 1/6, 1/2 and 5/6 of the labelled range, and most errors."""
    labelled = np.flatnonzero((truth != 0).any((0, 1)) | (pred != 0).any((0, 1)))
    if not len(labelled):
        return [truth.shape[2] // 2]
    first, span = labelled[0], labelled[-1] - labelled[0]
    spread = {int(first + round(span * part)) for part in (1 / 6, 1 / 2, 5 / 6)}
    return sorted(spread | {int((truth != pred).sum((0, 1)).argmax())})


def _read(entry: dict[str, Any]) -> Volumes:
    paths = {key: entry.get(key) for key in ("image", "label", "pred")}
    absent = [key for key, path in paths.items() if not path or not Path(path).is_file()]
    if absent:
        raise ValueError(f"no file for {', '.join(absent)}")
    arrays = [_at_least_3d(read_image(path)) for path in paths.values()]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 3:
        raise ValueError(f"image, label and pred should share one 3D shape, found {sorted(shapes)}")
    return _as_seen(arrays, matrix=affine(paths["label"]), distances=spacing(paths["label"]))


def _at_least_3d(array: np.ndarray) -> np.ndarray:
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return array[..., None] if array.ndim == 2 else array


def _as_seen(arrays: list[np.ndarray], *, matrix: np.ndarray, distances: tuple[float, float, float]) -> Volumes:
    """Turn all three alike: slices last and in stored order, x to the patient's left, y to the back or the feet."""
    orientation = nib.io_orientation(matrix)
    across = slice_axis(distances, arrays[0].shape)
    in_plane = sorted((axis for axis in range(3) if axis != across), key=lambda axis: orientation[axis, 0])
    flips = [axis for axis in in_plane if orientation[axis, 1] > 0]  # RAS axes point right, front, up
    order = [*in_plane, across]
    arrays = [np.flip(array, flips).transpose(order) for array in arrays]
    return Volumes(*arrays, spacing=tuple(distances[axis] for axis in order))


def _draw_slices(axes: np.ndarray, volumes: Volumes, slices: list[int]) -> None:
    window = _window(volumes)
    grey = _grey_range(volumes, window)
    depth = volumes.truth.shape[2]
    for plot in axes[len(slices) :]:
        plot.set_visible(False)
    for plot, k in zip(axes, slices, strict=False):
        _draw_slice(plot, volumes, k, window=window, grey=grey)
        wrong = 100 * (volumes.truth[..., k] != volumes.pred[..., k]).mean()
        plot.set_title(f"slice {k + 1} of {depth}, error {wrong:.2f} %", pad=3)


def _draw_slice(plot: Any, volumes: Volumes, k: int, *, window: np.ndarray, grey: tuple[float, float]) -> None:
    (nx, ny), (dx, dy) = volumes.truth.shape[:2], volumes.spacing[:2]
    plot.imshow(
        volumes.image[..., k].T,
        cmap="gray",
        vmin=grey[0],
        vmax=grey[1],
        extent=(0, nx * dx, ny * dy, 0),
        interpolation="bilinear",
    )
    x, y = (np.arange(-1, nx + 1) + 0.5) * dx, (np.arange(-1, ny + 1) + 0.5) * dy
    for labels, colour, width in ((volumes.truth, TRUTH, 2.0), (volumes.pred, PRED, 1.0)):
        for label in set(np.unique(labels[..., k])) - {0}:
            mask = np.pad(labels[..., k] == label, 1)  # an outline also along the edge of the image
            plot.contour(x, y, mask.T.astype(float), levels=[0.5], colors=[colour], linewidths=width)
    plot.set(xlim=window[0], ylim=window[1][::-1], xticks=[], yticks=[])
    for spine in plot.spines.values():
        spine.set_visible(False)


def _window(volumes: Volumes) -> np.ndarray:
    """The square in mm, ((x0, x1), (y0, y1)), around all labels; the whole slice where there are none."""
    labelled = ((volumes.truth != 0) | (volumes.pred != 0)).any(2)
    places = np.argwhere(labelled if labelled.any() else np.ones_like(labelled))
    size = np.array(volumes.spacing[:2])
    low, high = places.min(0) * size, (places.max(0) + 1) * size
    margin = _MARGIN_MM if labelled.any() else 0
    half = (high - low).max() / 2 + margin
    centre = (low + high) / 2
    return np.stack([centre - half, centre + half], axis=1)


def _grey_range(volumes: Volumes, window: np.ndarray) -> tuple[float, float]:
    """1st and 99.5th percentile of what the window shows, over all slices."""
    low, high = np.clip(window / np.array(volumes.spacing[:2])[:, None], 0, None).round().astype(int).T
    shown = volumes.image[low[0] : high[0], low[1] : high[1]]
    shown = shown[np.isfinite(shown)]
    if not shown.size:
        return 0.0, 1.0
    return float(np.percentile(shown, 1)), float(np.percentile(shown, 99.5))
