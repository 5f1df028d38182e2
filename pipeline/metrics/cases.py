"""All scores of one case, from its two label maps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metrics import overlap, surface
from pipeline.metrics.empty import NEITHER, EmptyPolicy, which_is_empty
from pipeline.metrics.labels import MEAN, Labels, compact, members_of, structures_of

OVERLAPS = ("dice", "iou", "pixel_error")
DISTANCES = ("hd_mm", "hd95_mm")
METRICS = OVERLAPS + DISTANCES
VOLUMES = ("truth_ml", "pred_ml")
COLUMNS = ("structure", *METRICS, *VOLUMES, "truth_voxels", "pred_voxels", "empty")

DEFINITIONS = {
    "dice": "Dice = 2|A∩B| / (|A|+|B|), A truth and B prediction; row mean: over the case's defined structures",
    "iou": "IoU = |A∩B| / |A∪B|; row mean: over the case's defined structures",
    "pixel_error": "Pixel error = (FP+FN) / all voxels of the volume (whole field of view), for one structure;"
    " row mean: share of all voxels whose label differs, all classes together",
}
HAUSDORFF = (
    "Hausdorff distance: the largest distance in {length} from a surface voxel of one mask to the other's surface,"
    " {grid} (surface: mask minus its erosion by face neighbours)"
)


@dataclass(frozen=True)
class CaseScore:
    """Rows of scores.csv and slices.csv, without the columns that say which case it is."""

    structures: list[dict[str, Any]]
    slices: list[dict[str, Any]]


def definitions(definition: surface.HausdorffDefinition, *, unit: str = "mm") -> dict[str, str]:
    """What each metric means, in sentences for tables and reports; `unit` of length is "mm" or "px"."""
    length, grid = (unit, "3D, native spacing") if unit == "mm" else ("pixels", "pixels count 1 in each direction")
    hd95 = f"95th percentile Hausdorff distance in {length}: {definition.sentence}, linear interpolation, else as HD"
    return {**DEFINITIONS, "hd_mm": HAUSDORFF.format(length=length, grid=grid), "hd95_mm": hd95}


def score_case(
    pred: np.ndarray,
    truth: np.ndarray,
    spacing: Sequence[float],
    labels: Labels,
    *,
    policy: EmptyPolicy | str = EmptyPolicy.UNDEFINED,
    definition: surface.HausdorffDefinition | str = surface.HausdorffDefinition.MAX_DIRECTED,
) -> CaseScore:
    """Score one prediction by volume and by slice (slices along the last axis, counted from 0).

    Args:
        pred, truth: label maps (X, Y, Z) on one grid.
        spacing: mm along each axis.
        labels: name -> number of each structure, or numbers where structures overlap (see `pipeline.structures`);
            background (0) may be among them.
        policy: Dice and IoU where a structure is in neither map.
        definition: of HD95.

    Returns:
        One row for each structure and one called "mean". Undefined values are NaN. The mean of the distances is NaN
        where a structure was missed or falsely found, so that a case never gains by leaving a structure out.

    Raises:
        ValueError: shapes differ, or a map holds values that are no labels.
    """
    structures, policy = structures_of(labels), EmptyPolicy(policy)
    members = members_of(structures)
    pred = compact(np.asarray(pred), structures, name="prediction")
    truth = compact(np.asarray(truth), structures, name="truth")
    tables = overlap.slice_confusions(pred, truth, members.shape[1])
    volume = tables.sum(0)
    rows = _structure_rows(_columns(volume, members, policy), list(structures))
    slices = _slice_rows(tables, list(structures), members, policy)
    box = surface.bounding_box((pred | truth) > 0)  # distances need no more: beyond it all is background
    pred, truth = pred[box], truth[box]
    voxel_ml = math.prod(spacing) / 1000
    for row, classes in zip(rows, members, strict=True):
        row |= _distances(_where(pred, classes), _where(truth, classes), spacing, definition)
        row |= {f"{side}_ml": row[f"{side}_voxels"] * voxel_ml for side in ("truth", "pred")}
    rows = [{column: row[column] for column in COLUMNS} for row in rows]
    return CaseScore([*rows, _mean_row(rows, volume)], slices)


def _columns(tables: np.ndarray, members: np.ndarray, policy: EmptyPolicy) -> dict[str, np.ndarray]:
    """(..., structures) of each measure of overlap and of each count."""
    _, truth, pred = overlap.sizes(tables, members)
    return {
        "dice": overlap.dice(tables, members, policy=policy),
        "iou": overlap.iou(tables, members, policy=policy),
        "pixel_error": overlap.pixel_error(tables, members),
        "truth_voxels": truth,
        "pred_voxels": pred,
    }


def _structure_rows(columns: dict[str, np.ndarray], names: list[str]) -> list[dict[str, Any]]:
    """One row for each structure from (structures,) columns."""
    rows = []
    for name, *values in zip(names, *(column.tolist() for column in columns.values()), strict=True):
        row = {"structure": name, **dict(zip(columns, values, strict=True))}
        counts = {side: row[side] for side in ("truth_voxels", "pred_voxels")}
        rows.append({**row, "empty": which_is_empty(**counts)})
    return rows


def _where(array: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Whether each voxel is of one of the classes, given as (C,) booleans."""
    numbers = np.flatnonzero(classes)
    return array == numbers[0] if len(numbers) == 1 else classes[array]


def _distances(
    pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float], definition: surface.HausdorffDefinition | str
) -> dict[str, float]:
    distances = surface.surface_distances(pred, truth, spacing)
    return {
        "hd_mm": surface.hausdorff(distances),
        "hd95_mm": surface.hausdorff(distances, percentile=95, definition=definition),
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


def _slice_rows(tables: np.ndarray, names: list[str], members: np.ndarray, policy: EmptyPolicy) -> list[dict[str, Any]]:
    columns, overall = _columns(tables, members, policy), overlap.overall_pixel_error(tables)
    rows = []
    for index in range(len(tables)):
        own = _structure_rows({key: column[index] for key, column in columns.items()}, names)
        means = {metric: _mean(row[metric] for row in own) for metric in ("dice", "iou")}
        mean = {"structure": MEAN, **means, "pixel_error": float(overall[index])}
        own.append({**mean, "truth_voxels": None, "pred_voxels": None, "empty": NEITHER})
        rows += [{"slice": index, **row} for row in own]
    return rows
