"""All scores of one case, from its two label maps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metrics import overlap, surface
from pipeline.metrics.empty import NEITHER, EmptyPolicy, which_is_empty
from pipeline.metrics.labels import MEAN, compact, structures_of

OVERLAPS = ("dice", "iou", "pixel_error")
DISTANCES = ("hd_mm", "hd95_mm")
METRICS = OVERLAPS + DISTANCES

DEFINITIONS = {
    "dice": "Dice = 2|A∩B| / (|A|+|B|), A truth and B prediction; row mean: over the case's defined structures",
    "iou": "IoU = |A∩B| / |A∪B|; row mean: over the case's defined structures",
    "pixel_error": "Pixel error = (FP+FN) / all voxels of the volume (whole field of view), for one structure;"
    " row mean: share of all voxels whose label differs, all classes together",
    "hd_mm": "Hausdorff distance: the largest distance in mm from a surface voxel of one mask to the other's surface,"
    " 3D, native spacing (surface: mask minus its erosion by face neighbours)",
}


@dataclass(frozen=True)
class CaseScore:
    """Rows of scores.csv and slices.csv, without the columns that say which case it is."""

    structures: list[dict[str, Any]]
    slices: list[dict[str, Any]]


def definitions(definition: surface.HausdorffDefinition) -> dict[str, str]:
    """What each metric means, in sentences for tables and reports."""
    hd95 = f"95th percentile Hausdorff distance in mm: {definition.sentence}, linear interpolation, else as HD"
    return {**DEFINITIONS, "hd95_mm": hd95}


def score_case(
    pred: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    labels: Mapping[str, int],
    *,
    policy: EmptyPolicy | str = EmptyPolicy.UNDEFINED,
    definition: surface.HausdorffDefinition | str = surface.HausdorffDefinition.MAX_DIRECTED,
) -> CaseScore:
    """Score one prediction by volume and by slice (slices along the last axis, counted from 0).

    Args:
        pred, truth: label maps (X, Y, Z) on one grid.
        spacing: mm along each axis.
        labels: name -> number of each structure; background (0) may be among them.
        policy: Dice and IoU where a structure is in neither map.
        definition: of HD95.

    Returns:
        One row for each structure and one called "mean". Undefined values are NaN. The mean of the distances is NaN
        where a structure was missed or falsely found, so that a case never gains by leaving a structure out.

    Raises:
        ValueError: shapes differ, or a map holds values that are no labels.
    """
    structures = structures_of(labels)
    pred = compact(np.asarray(pred), structures, name="prediction")
    truth = compact(np.asarray(truth), structures, name="truth")
    tables = overlap.slice_confusions(pred, truth, len(structures) + 1)
    volume = tables.sum(0)
    scores = _overlaps(volume, EmptyPolicy(policy))
    box = surface.bounding_box((pred | truth) > 0)  # distances need no more: beyond it all is background
    pred, truth = pred[box], truth[box]
    rows = []
    for number, name in enumerate(structures, start=1):
        row = {"structure": name, **{metric: float(scores[metric][number - 1]) for metric in OVERLAPS}}
        row |= _distances(pred == number, truth == number, spacing, definition)
        row |= _sizes(volume, number, math.prod(spacing) / 1000)
        rows.append(row)
    return CaseScore([*rows, _mean_row(rows, volume)], _slice_rows(tables, list(structures), EmptyPolicy(policy)))


def _overlaps(tables: np.ndarray, policy: EmptyPolicy) -> dict[str, np.ndarray]:
    """(..., structures) of each measure of overlap; background left out."""
    return {
        "dice": overlap.dice(tables, policy=policy)[..., 1:],
        "iou": overlap.iou(tables, policy=policy)[..., 1:],
        "pixel_error": overlap.pixel_error(tables)[..., 1:],
    }


def _distances(
    pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float], definition: surface.HausdorffDefinition | str
) -> dict[str, float]:
    distances = surface.surface_distances(pred, truth, spacing)
    return {
        "hd_mm": surface.hausdorff(distances),
        "hd95_mm": surface.hausdorff(distances, percentile=95, definition=definition),
    }


def _sizes(table: np.ndarray, number: int, voxel_ml: float) -> dict[str, Any]:
    truth, pred = int(table[number].sum()), int(table[:, number].sum())
    return {
        "truth_ml": truth * voxel_ml,
        "pred_ml": pred * voxel_ml,
        "truth_voxels": truth,
        "pred_voxels": pred,
        "empty": which_is_empty(truth_voxels=truth, pred_voxels=pred),
    }


def _mean_row(rows: list[dict[str, Any]], table: np.ndarray) -> dict[str, Any]:
    row = {"structure": MEAN, **{metric: _mean(row[metric] for row in rows) for metric in ("dice", "iou")}}
    row["pixel_error"] = float(overlap.overall_pixel_error(table))
    half_empty = any(row["empty"] in ("truth", "pred") for row in rows)
    for metric in DISTANCES:
        row[metric] = math.nan if half_empty else _mean(row[metric] for row in rows)
    sizes = dict.fromkeys(("truth_ml", "pred_ml", "truth_voxels", "pred_voxels"))
    return {**row, **sizes, "empty": NEITHER}


def _mean(values: Any) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


def _slice_rows(tables: np.ndarray, names: list[str], policy: EmptyPolicy) -> list[dict[str, Any]]:
    scores = _overlaps(tables, policy)
    overall = overlap.overall_pixel_error(tables)
    rows = []
    for index, table in enumerate(tables):
        own = []
        for number, name in enumerate(names, start=1):
            sizes = _sizes(table, number, 0.0)
            values = {metric: float(scores[metric][index, number - 1]) for metric in OVERLAPS}
            kept = {key: sizes[key] for key in ("truth_voxels", "pred_voxels", "empty")}
            own.append({"slice": index, "structure": name, **values, **kept})
        means = {metric: _mean(row[metric] for row in own) for metric in ("dice", "iou")}
        mean = {"slice": index, "structure": MEAN, **means, "pixel_error": float(overall[index])}
        rows += [*own, {**mean, "truth_voxels": None, "pred_voxels": None, "empty": NEITHER}]
    return rows
