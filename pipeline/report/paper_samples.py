"""Figures 2 and 3 of the paper: the same five held-out slices with truth, the predictions of each loss, and errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.experiment.collection import Result
from pipeline.metrics.labels import numbers_of
from pipeline.report.document import Figure
from pipeline.report.figures import Picture
from pipeline.report.overlays import read_case
from pipeline.report.paper_tables import DataResults, loss_name
from pipeline.report.style import DARK, colours, draw_png, frameless

SAMPLES = 5
MISSED, FALSE, OTHER = "#3aa0ff", "#ff8c2e", "#ff4fd0"


@dataclass(frozen=True)
class Sample:
    """One slice (rows, columns) as it is shown: image, truth and each loss's prediction."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    preds: dict[str, np.ndarray]
    aspect: float


def sample_figure(part: DataResults, number: str) -> Figure:
    """Five cases at equal distances in the sorted list, each at the slice with the largest truth; the same every time.

    Raises:
        DataError, ValueError, OSError: a mask or image cannot be read or does not fit.
    """
    results = {alpha: runs[0] for alpha, runs in part.by_alpha.items()}
    samples = [_sample(case, results) for case in choose(results)]
    labels = part.any.scores.labels
    columns = 2 + 2 * len(results)

    def draw(axes: np.ndarray) -> None:
        for row, sample in zip(axes, samples, strict=True):
            _draw_row(row, sample, labels)
        titles = ["image", "truth", *(f"{kind}, {loss_name(a)}" for a in results for kind in ("prediction", "errors"))]
        for panel, title in zip(axes[0], titles, strict=True):
            panel.set_title(title, fontsize=9)

    png = draw_png(draw, size=(1.75 * columns, 1.85 * len(samples)), rows=len(samples), columns=columns, style=DARK)
    names = ", ".join(sample.name for sample in samples)
    what = "blue: missed, orange: false, pink: another structure"
    first = next(iter(results.values())).run.levels
    which = f"seed {first.get('seed', '0')}, fold {first.get('fold', '0')}"
    caption = f"Figures {number}, {part.name}: {names} ({which}). Errors: {what}. Cropped to the labelled region."
    alt = f"Five held-out slices of {part.name} with truth, predictions and errors of each loss."
    name = f"figure_2_3_{part.level.split(' ')[0]}"
    return Figure(Picture(name, png, alt, caption), chart=False)


def choose(results: dict[str, Result]) -> list[str]:
    """Up to five cases that every run has predicted and whose truth is not empty, evenly spread over their names."""
    sets = []
    for result in results.values():
        rows = result.structures("volumes")
        there = set(rows.loc[rows["truth_voxels"].astype(float) > 0, "case"])
        sets.append({entry["case"] for entry in result.scores.files if entry.get("pred")} & there)
    cases = sorted(set.intersection(*sets))
    if not cases:
        raise ValueError("the runs have no case in common")
    places = np.unique(np.linspace(0, len(cases) - 1, SAMPLES).round().astype(int))
    return [cases[place] for place in places]


def _sample(case: str, results: dict[str, Result]) -> Sample:
    volumes = {}
    for alpha, result in results.items():
        entry = next(entry for entry in result.scores.files if entry["case"] == case)
        volumes[alpha] = read_case(entry, result.scores.labels)
    one = next(iter(volumes.values()))
    index = int((one.truth > 0).sum((1, 2)).argmax())
    preds = {alpha: own.pred[index] for alpha, own in volumes.items()}
    box = _box([one.truth[index], *preds.values()])
    name = f"{case} slice {index + 1}" if len(one.truth) > 1 else case
    cropped = {alpha: pred[box] for alpha, pred in preds.items()}
    return Sample(name, one.image[index][box], one.truth[index][box], cropped, one.size[0] / one.size[1])


def _box(maps: list[np.ndarray]) -> tuple[slice, slice]:
    """A square around all labels with a margin, at least half the shorter side; less where the image ends."""
    places = np.argwhere(np.any([m > 0 for m in maps], axis=0))
    shape = np.array(maps[0].shape)
    low, high = (places.min(0), places.max(0) + 1) if len(places) else (np.zeros(2, int), shape)
    half = np.repeat(max((high - low).max() * 0.65, shape.min() / 4), 2)
    middle = np.clip((low + high) / 2, half.clip(max=shape / 2), shape - half.clip(max=shape / 2))
    start, stop = (middle - half).clip(0).astype(int), (middle + half).clip(max=shape).astype(int)
    return slice(start[0], stop[0]), slice(start[1], stop[1])


def _draw_row(row: np.ndarray, sample: Sample, labels: dict[str, int | list[int]]) -> None:
    low, high = np.percentile(sample.image, [1, 99.5])
    grey = {"cmap": "gray", "vmin": low, "vmax": max(high, low + 1e-6), "aspect": sample.aspect}
    palette = colours(numbers_of(labels))
    palette = {numbers[0]: palette[name] for name, numbers in numbers_of(labels).items()}
    layers = [None, _painted(sample.truth, palette)]
    for pred in sample.preds.values():
        layers += [_painted(pred, palette), _errors(sample.truth, pred)]
    for panel, layer in zip(row, layers, strict=True):
        panel.imshow(sample.image, **grey)
        if layer is not None:
            panel.imshow(layer, aspect=sample.aspect, interpolation="nearest")
        frameless(panel)


def _painted(array: np.ndarray, palette: dict[int, str]) -> np.ndarray:
    return _rgba(array.shape, {colour: array == number for number, colour in palette.items()}, 0.55)


def _errors(truth: np.ndarray, pred: np.ndarray) -> np.ndarray:
    wrong = truth != pred
    masks = {MISSED: wrong & (pred == 0), FALSE: wrong & (truth == 0), OTHER: wrong & (pred > 0) & (truth > 0)}
    return _rgba(truth.shape, masks, 0.95)


def _rgba(shape: tuple[int, ...], masks: dict[str, np.ndarray], alpha: float) -> np.ndarray:
    from matplotlib.colors import to_rgb

    picture = np.zeros((*shape, 4))
    for colour, mask in masks.items():
        picture[mask] = (*to_rgb(colour), alpha)
    return picture
