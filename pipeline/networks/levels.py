"""What the networks of this package share: kernels and strides per level, blocks of convolutions, a size check."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from torch import nn

from pipeline.errors import DataError, Problem

Kernels = int | Sequence[int] | Sequence[Sequence[int]]
Strides = int | Sequence[int] | Sequence[Sequence[int]]
INSTANCE = ("INSTANCE", {"affine": True})
RELU = ("RELU", {"inplace": True})


def kernel_per_level(kernel_size: Kernels, levels: int, spatial_dims: int) -> list[tuple[int, ...]]:
    """One kernel for all levels and axes, one per axis, or one per level and axis, as one per level and axis."""
    if isinstance(kernel_size, int):
        return [(kernel_size,) * spatial_dims] * levels
    if all(isinstance(k, int) for k in kernel_size):
        return _checked("kernel_size", [tuple(kernel_size)] * levels, levels, spatial_dims)
    return _checked("kernel_size", [tuple(k) for k in kernel_size], levels, spatial_dims)


def stride_per_level(strides: Strides, levels: int, spatial_dims: int) -> list[tuple[int, ...]]:
    """One stride for all levels and axes, one per level, or one per level and axis, as one per level and axis."""
    each = [strides] * levels if isinstance(strides, int) else list(strides)
    return _checked("strides", [(s,) * spatial_dims if isinstance(s, int) else tuple(s) for s in each], levels,
                    spatial_dims)  # fmt: skip


def convolutions(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    number: int,
    kernel_size: Sequence[int],
    *,
    act: tuple | str | None = RELU,
    norm: tuple | str | None = INSTANCE,
    dropout: float = 0.0,
    padding: int | None = None,
) -> nn.Sequential:
    """`number` convolutions that keep the size, each with normalisation, dropout and activation.

    Args:
        padding: 0 for unpadded convolutions; None keeps the size.
    """
    return nn.Sequential(
        *(
            Convolution(
                spatial_dims,
                in_channels if i == 0 else out_channels,
                out_channels,
                kernel_size=kernel_size,
                act=act,
                norm=norm,
                dropout=dropout or None,
                padding=padding,
            )
            for i in range(number)
        )
    )


def check_size(x: torch.Tensor, strides: Sequence[Sequence[int]], *, network: str) -> None:
    """Refuse an input of which one voxel would be left: nothing can be normalised there.

    Raises:
        DataError: saying how large at least one axis must be.
    """
    total = [math.prod(level[axis] for level in strides) for axis in range(x.ndim - 2)]
    if all(n <= whole for n, whole in zip(x.shape[2:], total, strict=True)):
        expected = "an input with more than " + " or ".join(map(str, total)) + " voxels along these axes"
        found = " x ".join(map(str, x.shape[2:]))
        raise DataError(Problem(network, expected, found, "Choose a larger patch_size, or fewer levels"))


def interpolate(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """`x` (B, C, ...) at another size, linearly between voxel centres; itself where the size fits."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    mode = "trilinear" if x.ndim == 5 else "bilinear"
    return nn.functional.interpolate(x, tuple(size), mode=mode, align_corners=False)


def _checked(name: str, values: list[tuple[int, ...]], levels: int, spatial_dims: int) -> list[tuple[int, ...]]:
    if len(values) != levels or any(len(value) != spatial_dims for value in values):
        raise ValueError(f"{name} must fit {levels} levels of {spatial_dims} axes, got {values}")
    return values
