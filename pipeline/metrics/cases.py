"""All scores of one case, from its two label maps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metrics import overlap, surface
from pipeline.metrics.empty import NEITHER, PRED, TRUTH, which_is_empty
from pipeline.metrics.labels import MEAN, Labels, compact, members_of, structures_of
from pipeline.volumes import slice_axis

DISTANCES = ("hd_mm", "hd95_mm")
METRICS = ("dice", "iou", "pixel_error", *DISTANCES)
VOLUMES = ("truth_ml", "pred_ml")
COUNTS = ("truth_voxels", "pred_voxels")
COLUMNS = ("structure", *METRICS, *VOLUMES, *COUNTS, "empty")

DEFINITIONS = {
    "dice": "Dice = 2|A∩B| / (|A|+|B|), A truth and B prediction; row mean: over the case's defined structures",
    "iou": "IoU = |A∩B| / |A∪B|; row mean: over the case's defined structures",
    "pixel_error": "Pixel error = (FP+FN) / all voxels of the volume (whole field of view), for one structure;"
    " row mean: share of all voxels whose label differs, all classes together",
    "hd_mm": "Hausdorff distance: the largest distance in {length} from a surface voxel of one mask to the other's"
    " surface, {grid} (surface: mask minus its erosion by face neighbours; of a single slice in its plane)",
    "hd95_mm": "95th percentile Hausdorff distance in {length}: the larger of the two directed percentiles (as MONAI),"
    " linear interpolation, else as HD",
}


@dataclass(frozen=True)
class CaseScore:
    """Rows of scores.csv and slices.csv, without the columns that say which case it is."""

    structures: list[dict[str, Any]]
    slices: list[dict[str, Any]]


def definitions(*, unit: str = "mm") -> dict[str, str]:
    """What each metric means, in sentences for tables and reports; `unit` of length is "mm" or "px"."""
    length, grid = (unit, "3D, native spacing") if unit == "mm" else ("pixels", "pixels count 1 in each direction")
    return {metric: text.format(length=length, grid=grid) for metric, text in DEFINITIONS.items()}


def score_case(pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float], labels: Labels) -> CaseScore:
    """Score one prediction by volume and by slice (counted from 0 along the axis across the slices, as spacing tells).

    Of a single slice distances are measured in its plane, between outlines: in 3D all of its voxels would be surface.

    Args:
        pred, truth: label maps (X, Y, Z) on one grid.
        spacing: mm along each axis.
        labels: name -> number of each structure, or numbers where structures overlap (see `pipeline.structures`);
            background (0) may be among them.

    Returns:
        One row for each structure and one called "mean". Undefined values are NaN: all where a structure is in neither
        map, distances where it is in one. The mean of the distances is NaN where a structure was missed or falsely
        found, so that a case never gains by leaving a structure out.

    Raises:
        ValueError: shapes differ, or a map holds values that are no labels.
    """
    structures = structures_of(labels)
    members = members_of(structures)
    pred = compact(np.asarray(pred), structures, name="prediction")
    truth = compact(np.asarray(truth), structures, name="truth")
    across = slice_axis(spacing, truth.shape)
    tables = overlap.slice_confusions(*(np.moveaxis(mask, across, -1) for mask in (pred, truth)), members.shape[1])
    volume, *slices = _rows(np.concatenate([tables.sum(0, keepdims=True), tables]), list(structures), members)
    voxel_ml = math.prod(spacing) / 1000
    if truth.shape[across] == 1:
        pred, truth, spacing = pred.squeeze(across), truth.squeeze(across), np.delete(spacing, across)
    box = surface.bounding_box((pred | truth) > 0)  # distances need no more: beyond it all is background
    pred, truth = pred[box], truth[box]
    *rows, mean = volume
    for row, classes in zip(rows, members, strict=True):
        row |= _distances(_where(pred, classes), _where(truth, classes), spacing)
        row |= {ml: row[count] * voxel_ml for ml, count in zip(VOLUMES, COUNTS, strict=True)}
    half_empty = any(row["empty"] in (TRUTH, PRED) for row in rows)
    mean |= {metric: math.nan if half_empty else _mean(row[metric] for row in rows) for metric in DISTANCES}
    return CaseScore(
        structures=[{column: row.get(column) for column in COLUMNS} for row in volume],
        slices=[{"slice": index, **row} for index, own in enumerate(slices) for row in own],
    )


def _rows(tables: np.ndarray, names: list[str], members: np.ndarray) -> Iterator[list[dict[str, Any]]]:
    """For each table of counts one row for each structure and one for their mean."""
    _, truth, pred = overlap.sizes(tables, members)
    columns = {
        "dice": overlap.dice(tables, members).tolist(),
        "iou": overlap.iou(tables, members).tolist(),
        "pixel_error": overlap.pixel_error(tables, members).tolist(),
        "truth_voxels": truth.tolist(),
        "pred_voxels": pred.tolist(),
    }
    for index, error in enumerate(overlap.overall_pixel_error(tables).tolist()):
        rows = []
        for place, name in enumerate(names):
            row = {"structure": name, **{key: column[index][place] for key, column in columns.items()}}
            rows.append(row | {"empty": which_is_empty(**{count: row[count] for count in COUNTS})})
        means = {metric: _mean(row[metric] for row in rows) for metric in ("dice", "iou")}
        mean = {"structure": MEAN, **means, "pixel_error": error, **dict.fromkeys(COUNTS), "empty": NEITHER}
        yield [*rows, mean]


def _where(array: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Whether each voxel is of one of the classes, given as (C,) booleans."""
    numbers = np.flatnonzero(classes)
    return array == numbers[0] if len(numbers) == 1 else classes[array]


def _distances(pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> dict[str, float]:
    distances = surface.surface_distances(pred, truth, spacing)
    return {"hd_mm": surface.hausdorff(distances), "hd95_mm": surface.hausdorff(distances, percentile=95)}


def _mean(values: Iterable[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan
