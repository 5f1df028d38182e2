"""Kernels and strides that fit a patch: an axis with few voxels is convolved and halved later, or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence

RATIO = 4


def kernels(patch_size: Sequence[int], levels: int, *, size: int = 3, ratio: float = RATIO) -> list[list[int]]:
    """The kernel of each level, one number per axis.

    An axis takes part in a level if it has more than one voxel there and at least 1/`ratio` of the longest axis's; it
    has kernel `size` then, else 1. So a patch of one slice gives in-plane kernels throughout, and a patch of few thick
    slices gives in-plane kernels until the plane has shrunk, as in nnU-Net (Isensee et al., Nature Methods 18, 2021),
    which reads the same from the spacing. A change of the plan changes the shapes of kernels: weights that were trained
    with another plan are refused when they are loaded.

    Args:
        patch_size: voxels of the window along each axis.
        levels: resolutions of the network, the full one included.
        size: odd.
        ratio: how many times shorter than the longest axis an axis may be.
    """
    return [[size if part else 1 for part in level] for level in _parts(patch_size, levels, ratio)]


def strides(patch_size: Sequence[int], levels: int, *, top: bool = False, ratio: float = RATIO) -> list[list[int]]:
    """The strides between levels, one number per axis: 2 along the axes that take part in the upper level, else 1.

    Args:
        patch_size, levels, ratio: as in `kernels`.
        top: with the stride into the first level, which is 1 (the form that DynUNet's `strides` takes).

    Returns:
        `levels` - 1 lists, or `levels` with `top`.
    """
    between = [[2 if part else 1 for part in level] for level in _parts(patch_size, levels, ratio)[:-1]]
    return [[1] * len(patch_size), *between] if top else between


def multiple(patch_size: Sequence[int], levels: int, *, ratio: float = RATIO) -> list[int]:
    """By how much each axis shrinks down to the last level: what an input's size must be a multiple of."""
    between = strides(patch_size, levels, ratio=ratio)
    return [math.prod(level[axis] for level in between) for axis in range(len(patch_size))]


def _parts(patch_size: Sequence[int], levels: int, ratio: float) -> list[list[bool]]:
    """Which axes take part in each level."""
    size = [float(n) for n in patch_size]
    parts = []
    for _ in range(levels):
        parts.append([whole > 1 and n * ratio >= max(size) for whole, n in zip(patch_size, size, strict=True)])
        size = [n / 2 if part else n for n, part in zip(size, parts[-1], strict=True)]
    return parts
