"""The left and the right part of a paired organ such as the lungs, also where the two touch in the mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.metrics.surface import bounding_box
from pipeline.structures import count_voxels

LEFT, RIGHT = 1, 2
GRAINS = 128  # the organ's largest extent in voxels of the coarse copy
LEAST_SHARE = 0.1  # of the smaller side, compared with the larger
STRAY = 0.1  # a connected part with less of it on the other side belongs wholly to one side


def split_sides(organ: np.ndarray, spacing: Sequence[float], affine: np.ndarray) -> np.ndarray | None:
    """Tell left from right by the organ's own shape, not by the middle of the image.

    A coarse copy of the mask (1/128 of its extent) is worn down from its surface step by step until its two largest
    connected parts lie side by side: beside each other from left to right, neither's centre within the middle 90 % of
    the other, the smaller at least a tenth of the larger. Every voxel then belongs to the nearer of the two, and a
    connected part of the full mask that lies to nine tenths on one side belongs to it wholly. Lungs that do not touch
    are thus split exactly, touching ones where their connection is thinnest.

    Args:
        organ: boolean mask (X, Y, Z); a slice has Z = 1.
        spacing: mm (or pixels) along each axis.
        affine: (4, 4) voxel -> RAS.

    Returns:
        uint8 map: 0 outside, LEFT or RIGHT (the patient's). None where there are no two sides: an empty mask, one lung.
    """
    if organ.flags.f_contiguous and not organ.flags.c_contiguous:  # as it lies in memory: half of the time
        turned = split_sides(organ.T, spacing[::-1], affine[:, [2, 1, 0, 3]])
        return None if turned is None else turned.T
    box = bounding_box(organ)
    inside = np.ascontiguousarray(organ[box])
    if not inside.size:
        return None
    grain = max(n * step for n, step in zip(inside.shape, spacing, strict=True)) / GRAINS
    steps = [max(1, round(grain / step)) for step in spacing]
    coarse = np.ascontiguousarray(inside[tuple(slice(None, None, step) for step in steps)])
    size = np.array(spacing, float) * steps
    seeds = _seeds(coarse, size, grain, affine[0, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    if seeds is None:
        return None
    left = _distance(~seeds[0], size) <= _distance(~seeds[1], size)
    for axis, step in enumerate(steps):
        left = left.repeat(step, axis)[(slice(None),) * axis + (slice(inside.shape[axis]),)]
    sides = np.zeros(organ.shape, np.uint8)
    left = _undivided(inside, left)
    sides[box][inside & left] = LEFT
    sides[box][inside & ~left] = RIGHT
    return sides


def _seeds(coarse: np.ndarray, size: np.ndarray, grain: float, right: np.ndarray) -> list[np.ndarray] | None:
    """Masks of the left and the right core; `right` is how far each voxel axis runs to the patient's right."""
    import cc3d

    if coarse.all():
        return None
    depth = _distance(coarse, size)
    for worn in np.arange(0, depth.max(), grain):
        parts = cc3d.connected_components(depth > worn, connectivity=6)
        counts = np.bincount(parts.ravel())[1:]
        largest = np.argsort(counts)[::-1][:2] + 1
        if len(largest) < 2 or counts[largest[1] - 1] < LEAST_SHARE * counts[largest[0] - 1]:
            continue
        cores = [parts == number for number in largest]
        places = [np.argwhere(core) * size for core in cores]
        across = [place @ right for place in places]
        if _side_by_side(places, across):
            return [core for _, core in sorted(zip([x.mean() for x in across], cores, strict=True), key=lambda p: p[0])]
    return None


def _side_by_side(places: list[np.ndarray], across: list[np.ndarray]) -> bool:
    apart = np.linalg.norm(places[0].mean(0) - places[1].mean(0))
    if abs(across[0].mean() - across[1].mean()) < 0.7 * apart:
        return False
    ranges = [np.percentile(x, (5, 95)) for x in across]
    inside = [low <= other.mean() <= high for (low, high), other in zip(ranges, across[::-1], strict=True)]
    return not any(inside)


def _undivided(inside: np.ndarray, left: np.ndarray) -> np.ndarray:
    """`left` of each voxel, made the same throughout a connected part that is nearly all on one side."""
    import cc3d

    parts, count = cc3d.connected_components(inside, connectivity=6, return_N=True)
    total = count_voxels(parts, count + 1)
    share = np.bincount(parts[left & inside], minlength=count + 1) / np.maximum(total, 1)
    return (left | (share > 1 - STRAY)[parts]) & (share >= STRAY)[parts]


def _distance(mask: np.ndarray, size: np.ndarray) -> np.ndarray:
    """From each voxel of the mask to the nearest one outside it; what lies beyond the array is not outside."""
    import edt

    return edt.edt(np.ascontiguousarray(mask).view(np.uint8), anisotropy=tuple(size.tolist()), black_border=False)
