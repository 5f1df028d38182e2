"""Lesions one by one: how many there are, how large, which were found, and how much of each lung they take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.metrics.affected import SIDES, Grid, affected
from pipeline.metrics.labels import Labels, numbers_of
from pipeline.metrics.surface import bounding_box
from pipeline.structures import count_voxels, members

TRUTH, PRED = "truth", "pred"
COVERED = 0.1
BOUNDS = (0.1, 1.0, 10.0)

UNITS = ("ml", "percent")  # percent of the picture, where no millimetres are known
COLUMNS = (
    *("structure", "source", "lesion", "voxels", *UNITS, "stratum"),
    *("covered", "detected", "dice", "x", "y", "z"),
)

DEFINITIONS = {
    "lesion": "A lesion is a connected component of the mask: voxels that share a face, an edge or a corner"
    " (26 neighbours in a volume, 8 in a slice).",
    "detected": f"A true lesion is detected where the prediction covers at least {COVERED:.0%} of it; a predicted one"
    f" is false where the truth covers less than {COVERED:.0%} of it (alpha of Commowick et al., Sci Rep 8:13650,"
    " 2018).",
    "scores": "Sensitivity = detected / true lesions; precision = predicted lesions that are not false / all predicted;"
    " F1 = their harmonic mean, 0 where nothing was detected.",
    "dice": "Dice of one true lesion: within the region that is nearer to it than to any other true lesion"
    " (Jaus et al., arXiv 2410.18684). False lesions count against the nearest true one.",
    "stratum": "Size: ml of the lesion; for pictures without millimetres, percent of the picture.",
    "affected": "Affected share: lesion volume / volume of the organ with its lesions, in percent.",
}


@dataclass(frozen=True)
class LesionScore:
    """Rows without the columns that say which case it is.

    Args:
        components: one row for each true and each predicted lesion (lesions.csv).
        cases: one row for each lesion structure: counts, scores, load, affected shares.
    """

    components: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)


def check_lesions(
    lesions: Mapping[str, str | None] | None, labels: Labels, *, organs: bool = False, source: str = "lesions"
) -> dict[str, str | None]:
    """Lesion structure -> the organ that holds it, None where the labels lack that organ; {} for None.

    Args:
        lesions: structure -> organ, or None.
        labels: name -> number or numbers of each structure.
        organs: whether an organ that the labels lack is refused, as what a user typed must be.
        source: of the lesions, for the message.

    Raises:
        DataError: a lesion structure (or organ) that is not among the labels.
    """
    lesions = dict(lesions or {})
    remedy = "Name structures of the labels, for example infection=lungs"
    named = [*lesions, *filter(None, lesions.values() if organs else [])]
    problems = [
        Problem(source, "one of the structures " + ", ".join(labels), name, remedy)
        for name in dict.fromkeys(named)
        if name not in labels
    ]
    if problems:
        raise DataError(problems)
    return {name: organ if organ in labels else None for name, organ in lesions.items()}


def lesions_among(labels: Labels, lesions: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Those of `lesions` that are structures of `labels`: a bundle that knows infections may train on lungs alone."""
    return {name: organ for name, organ in (lesions or {}).items() if name in labels}


def parse_lesions(text: str) -> dict[str, str | None]:
    """Read "infection=lungs" or, without an organ, "infection"; several with commas between them."""
    parts = [entry.partition("=") for entry in text.split(",") if entry.strip()]
    return {name.strip(): organ.strip() or None for name, _, organ in parts}


def score_lesions(
    pred: np.ndarray, truth: np.ndarray, grid: Grid, labels: Labels, lesions: Mapping[str, str | None]
) -> LesionScore:
    """Score one case lesion by lesion, as DEFINITIONS says.

    Args:
        pred, truth: label maps (X, Y, Z) on one grid.
        labels: name -> number or numbers of each structure.
        lesions: as `check_lesions` returns them.

    Returns:
        Undefined values are NaN: sensitivity without true lesions, precision without predicted ones, F1 without either,
        shares without an organ (and of the sides where these cannot be told apart; "note" says why).
    """
    numbers, score = numbers_of(labels), LesionScore()
    for name, organ in lesions.items():
        masks = {TRUTH: members(truth, numbers[name]), PRED: members(pred, numbers[name])}
        rows = _match(masks, grid)
        score.components.extend({"structure": name, **row} for row in rows)
        row = {"structure": name, **scores_of(*(_detected(rows, source) for source in (TRUTH, PRED)))}
        notes = {}
        for source, array in ((TRUTH, truth), (PRED, pred)):
            row[f"load_{source}_{grid.unit()}"] = int(masks[source].sum()) * grid.voxel(truth.shape)
            if organ:
                found = affected(masks[source], members(array, numbers[organ]), grid, name=organ)
                row |= _in_columns(found, source, grid.unit())
                notes[source] = found["reason"]
        told = "; ".join(f"{source}: {reason}" for source, reason in notes.items() if reason)
        score.cases.append({**row, "note": told})
    return score


def scores_of(truth: Sequence[int], pred: Sequence[int]) -> dict[str, Any]:
    """Counts of lesions, and sensitivity, precision, F1 (NaN where undefined).

    Args:
        truth: 1 for each true lesion that is detected, 0 for each that is missed.
        pred: 1 for each predicted lesion that is none of the false ones, 0 for these.
    """
    detected, matched = int(sum(truth)), int(sum(pred))
    sensitivity = detected / len(truth) if len(truth) else math.nan
    precision = matched / len(pred) if len(pred) else math.nan
    total = sensitivity + precision
    f1 = 2 * sensitivity * precision / total if total > 0 else 0.0 if len(truth) or len(pred) else math.nan
    counts = {"truth": len(truth), "detected": detected, "missed": len(truth) - detected}
    counts |= {"pred": len(pred), "false": len(pred) - matched}
    return {**counts, "sensitivity": sensitivity, "precision": precision, "f1": f1}


def components(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the lesions of a mask.

    Returns:
        A map with 1, 2, ... in the order of size, largest first (0 outside), and their numbers of voxels.
    """
    import cc3d

    box = bounding_box(mask)
    numbers = np.ascontiguousarray(mask[box], bool).view(np.uint8)  # cc3d 4.1.1 fails on booleans such as [1, 0, 1]
    if not numbers.size:
        return np.zeros(mask.shape, np.uint16), np.zeros(0, int)
    parts, count = cc3d.connected_components(numbers, connectivity=26, return_N=True)
    sizes = count_voxels(parts, count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    rank = np.zeros(count + 1, parts.dtype)
    rank[order + 1] = np.arange(1, count + 1)
    whole = np.zeros_like(mask, parts.dtype)
    whole[box] = rank[parts]
    return whole, sizes[order]


def stratum_of(size: float, unit: str) -> str:
    """The name of the stratum of a lesion: "< 0.1 ml", "0.1 to 1 ml", "1 to 10 ml" or ">= 10 ml" (likewise in %)."""
    return strata(unit)[int(np.searchsorted(BOUNDS, size, side="right"))]


def strata(unit: str) -> list[str]:
    """All strata of a unit ("ml" or "percent"), smallest first."""
    sign = "%" if unit == "percent" else unit
    between = [f"{low:g} to {high:g} {sign}" for low, high in itertools.pairwise(BOUNDS)]
    return [f"< {BOUNDS[0]:g} {sign}", *between, f">= {BOUNDS[-1]:g} {sign}"]


def _in_columns(found: Mapping[str, Any], source: str, unit: str) -> dict[str, float]:
    """organ_left_truth_ml, affected_left_truth_percent and so on, of left, right and both; NaN where unknown."""
    row = {}
    for side in ("both", *SIDES):
        where = "" if side == "both" else f"_{side}"
        known = found[side] or {"size": math.nan, "percent": math.nan}
        row[f"organ{where}_{source}_{unit}"] = known["size"]
        row[f"affected{where}_{source}_percent"] = known["percent"]
    return row


def _match(masks: Mapping[str, np.ndarray], grid: Grid) -> list[dict[str, Any]]:
    """One row for each lesion of the truth, then of the prediction."""
    import cc3d

    shape = masks[TRUTH].shape
    box = bounding_box(masks[TRUTH] | masks[PRED])
    if not box[0].stop:
        return []
    masks = {source: mask[box] for source, mask in masks.items()}
    found = {source: components(mask) for source, mask in masks.items()}
    dice = _dice(*found[TRUTH], masks[PRED], grid.spacing)
    rows = []
    for source, other in ((TRUTH, PRED), (PRED, TRUTH)):
        parts, sizes = found[source]
        covered = np.bincount(parts[masks[other]], minlength=len(sizes) + 1)[1:] / np.maximum(sizes, 1)
        centres = cc3d.statistics(parts)["centroids"][1:] + [part.start for part in box]
        for index, voxels in enumerate(sizes.tolist()):
            size = voxels * grid.voxel(shape)
            rows.append(
                {
                    "source": source,
                    "lesion": index + 1,
                    "voxels": voxels,
                    grid.unit(): size,
                    "stratum": stratum_of(size, grid.unit()),
                    "covered": float(covered[index]),
                    "detected": int(covered[index] >= COVERED),
                    "dice": float(dice[index]) if source == TRUTH else math.nan,
                    **dict(zip("xyz", centres[index].tolist(), strict=True)),
                }
            )
    return rows


def _dice(parts: np.ndarray, sizes: np.ndarray, pred: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Dice of each true lesion in the region that is nearer to it than to any other."""
    count = len(sizes)
    both = np.bincount(parts[pred], minlength=count + 1)[1:]
    outside = np.argwhere(pred & (parts == 0))
    if not count or not len(outside):
        return 2 * both / np.maximum(sizes + both, 1)
    beyond = np.bincount(_nearest(parts, outside, spacing), minlength=count + 1)[1:]
    return 2 * both / (sizes + both + beyond)


def _nearest(parts: np.ndarray, places: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The number of the lesion nearest (in mm, between voxel centres) to each of the places (n, 3)."""
    from scipy.ndimage import binary_erosion
    from scipy.spatial import KDTree

    if parts.max() == 1:
        return np.ones(len(places), int)
    lesion = parts > 0
    surface = np.argwhere(lesion & ~binary_erosion(lesion))  # the nearest voxel of a mask is always on its surface
    _, nearest = KDTree(surface * np.asarray(spacing)).query(places * np.asarray(spacing))
    return parts[tuple(surface[nearest].T)]


def _detected(rows: Sequence[Mapping[str, Any]], source: str) -> list[int]:
    return [row["detected"] for row in rows if row["source"] == source]
