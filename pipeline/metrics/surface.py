"""Distances between the surfaces of two masks in millimetres: Hausdorff, its 95th percentile, surface Dice."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

ROUNDING_MM = 1e-5  # distances are float32: 2.6 mm may come out as 2.6000001


class SurfaceDistances(NamedTuple):
    """For each surface voxel of one mask the distance to the other mask's surface, in mm (1D float32)."""

    pred_to_truth: np.ndarray
    truth_to_pred: np.ndarray


def surface_distances(pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> SurfaceDistances:
    """Directed distances between the surfaces of two masks.

    A surface voxel is a voxel of the mask with at least one of its face neighbours (4 in 2D, 6 in 3D) outside the
    mask; what lies beyond the volume's border counts as outside. Distances are exact, between voxel centres.

    Args:
        pred, truth: boolean masks of one shape, 2D or 3D.
        spacing: mm along each axis.

    Returns:
        Distances to an empty mask are inf; an empty mask has none of its own (an array of length 0).

    Raises:
        ValueError: the shapes differ, or the spacing is not one positive number for each axis.
    """
    pred, truth = np.asarray(pred, bool), np.asarray(truth, bool)
    _check(pred, truth, spacing)
    box = bounding_box(pred | truth)
    pred, truth = (np.ascontiguousarray(_surface(mask[box])) for mask in (pred, truth))
    return SurfaceDistances(_directed(pred, truth, spacing), _directed(truth, pred, spacing))


def hausdorff(
    distances: SurfaceDistances,
    *,
    percentile: float = 100.0,
    definition: Literal["max_directed", "pooled"] = "max_directed",
) -> float:
    """Hausdorff distance in mm (percentile 100), or its robust form such as HD95 (percentile 95).

    Args:
        distances: of both directions.
        percentile: interpolated linearly between the two nearest distances.
        definition: the larger of the two directed percentiles (as MONAI), or the percentile of both directions'
            distances together (as medpy); they agree at 100.

    Returns:
        NaN where a mask is empty: there is no distance to what is not there.
    """
    if any(not part.size or np.isinf(part[0]) for part in distances):
        return float("nan")
    parts = [np.concatenate(distances)] if definition == "pooled" else distances
    return float(max(part.max() if percentile == 100 else np.percentile(part, percentile) for part in parts))


def surface_dice(distances: SurfaceDistances, *, tolerance: float) -> float:
    """Normalised surface Dice: share of all surface voxels within `tolerance` mm of the other surface.

    Nikolov et al. 2021 (doi 10.2196/26151), with surface voxels counted instead of areas (as MONAI's default).

    Returns:
        0 where one mask is empty, NaN where both are.
    """
    total = sum(part.size for part in distances)
    near = sum(int((part <= tolerance + ROUNDING_MM).sum()) for part in distances)
    return near / total if total else float("nan")


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The smallest box that holds the mask; an empty box for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(filled[0], filled[-1] + 1) if filled.size else slice(0, 0))
    return tuple(box)


def _check(pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float]) -> None:
    if pred.shape != truth.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth has shape {truth.shape}")
    if len(spacing) != pred.ndim or not all(np.isfinite(spacing)) or min(spacing) <= 0:
        raise ValueError(f"spacing must be {pred.ndim} positive numbers in mm, found {tuple(spacing)}")


def _surface(mask: np.ndarray) -> np.ndarray:
    """Voxels with a face neighbour outside: what scipy's binary_erosion takes away, in a fifth of its time."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        here, there = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        here[1:] &= there[:-1]
        here[:-1] &= there[1:]
        here[[0, -1] if len(here) else []] = False
    return mask & ~inner


def _directed(source: np.ndarray, target: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    if not target.any():
        return np.full(np.count_nonzero(source), np.inf, np.float32)
    import edt

    outside = (~target).view(np.uint8)  # edt takes three times as long for booleans
    # black_border=False: the box's border is no surface, else distances beside it would come out too small
    squared = edt.edtsq(outside, anisotropy=tuple(map(float, spacing)), black_border=False, parallel=_threads())
    return np.sqrt(squared[source])


def _threads() -> int:
    """As OMP_NUM_THREADS says, else all of this process's cores; one where cases are scored in several processes."""
    if multiprocessing.parent_process() is not None:
        return 1
    if (told := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():
        return max(1, int(told))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
