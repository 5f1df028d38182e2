"""Linear interpolation along one axis after the other, between grids whose axes run alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def interpolate(x: torch.Tensor, positions: torch.Tensor, dim: int) -> torch.Tensor:
    """Values of `x` at fractional `positions` along `dim`, clamped to its ends."""
    size = x.shape[dim]
    positions = positions.clamp(0, size - 1)
    lower = positions.floor().long().clamp(max=max(size - 2, 0))
    weight = positions - lower
    if bool((weight == 0).all()):
        same = len(lower) == size and bool((lower == torch.arange(size)).all())
        return x if same else x.index_select(dim, lower.to(x.device))
    view = [-1 if axis == dim else 1 for axis in range(x.ndim)]
    weight = weight.to(x).view(view)
    lower = lower.to(x.device)
    return torch.lerp(x.index_select(dim, lower), x.index_select(dim, (lower + 1).clamp(max=size - 1)), weight)


def resample(volume: torch.Tensor, positions: Sequence[torch.Tensor], *, slab: int = 2**21) -> torch.Tensor:
    """`volume` (C, X, Y, Z) at the fractional positions of each spatial axis, clamped to its ends.

    In-plane first, a slab of slices at a time, then through them: besides the result only a volume of the new size
    in-plane is held.

    Args:
        positions: for X, Y, Z: the old voxel coordinates of the new voxels.
        slab: voxels of the old volume that are looked at in one go.

    Returns:
        (C, len(positions[0]), len(positions[1]), len(positions[2])), of the volume's type.
    """
    across, along, through = positions
    shape = (volume.shape[0], len(across), len(along), volume.shape[3])
    in_plane = torch.empty(shape, dtype=volume.dtype, device=volume.device)
    step = max(1, slab // max(1, volume.shape[1] * volume.shape[2]))
    for start in range(0, volume.shape[3], step):
        part = volume[..., start : start + step]
        in_plane[..., start : start + step] = interpolate(interpolate(part, across, 1), along, 2)
    return interpolate(in_plane, through, 3)
