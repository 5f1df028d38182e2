"""The U-Net as its paper has it: unpadded convolutions, mirrored surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution
from monai.networks.layers import Conv, Pool
from torch import nn

from pipeline.networks.levels import (
    INSTANCE,
    RELU,
    Kernels,
    Strides,
    convolutions,
    kernel_per_level,
    stride_per_level,
)


class UNetUnpadded(nn.Module):
    """U-Net whose convolutions see only voxels that exist.

    Ronneberger, Fischer, Brox, MICCAI 2015 (arXiv:1505.04597). An unpadded network answers for the middle of its input
    only (388 of 572 pixels). Here, as in the paper's overlap-tile strategy, the window is first continued by mirroring
    to the smallest valid size whose answer covers it, and the answer's centre is returned: logits of the input's size,
    so that losses and sliding windows fit. The mirrored rim is computed too: a window of 160 x 160 becomes 348 x 348,
    4.7 times as many voxels (and in 3D 16 slices become 108: it is meant for 2D). Deviation: normalisation by instance
    by default (the paper has none).

    Args:
        spatial_dims: 2 or 3.
        in_channels, out_channels: of the image, and of the logits.
        channels: features of each level, the full resolution first.
        strides: of the max-pooling between levels: one for all, one per level, or one per level and axis;
            len(channels) - 1 levels.
        kernel_size: odd; one for all, one per axis, or one per level and axis.
        act, norm: of every convolution, in MONAI's form.
        dropout: in the last level.

    Any input size works.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (64, 128, 256, 512, 1024),
        strides: Strides = 2,
        kernel_size: Kernels = 3,
        act: tuple | str | None = RELU,
        norm: tuple | str | None = INSTANCE,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        levels = len(channels)
        self.kernels = kernel_per_level(kernel_size, levels, spatial_dims)
        self.strides = stride_per_level(strides, levels - 1, spatial_dims)
        self.pools = nn.ModuleList(Pool[Pool.MAX, spatial_dims](s, s) for s in self.strides)
        options = {"act": act, "norm": norm, "padding": 0}
        before = [in_channels, *channels]
        self.down = nn.ModuleList(
            convolutions(spatial_dims, before[i], channels[i], 2, self.kernels[i],
                         dropout=dropout if i == levels - 1 else 0.0, **options)
            for i in range(levels)
        )  # fmt: skip
        self.enlarge = nn.ModuleList(
            Convolution(spatial_dims, channels[i + 1], channels[i], kernel_size=s, strides=s, padding=0,
                        output_padding=0, is_transposed=True, conv_only=True)
            for i, s in enumerate(self.strides)
        )  # fmt: skip
        self.up = nn.ModuleList(
            convolutions(spatial_dims, 2 * channels[i], channels[i], 2, self.kernels[i], **options)
            for i in range(levels - 1)
        )
        self.output = Conv[Conv.CONV, spatial_dims](channels[0], out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, ...) of `x` (B, in_channels, ...), of the same size."""
        size = x.shape[2:]
        for axis, n in enumerate(size):
            x = _mirrored(x, axis + 2, *self._rim(n, axis))
        passed = []
        for level, stage in enumerate(self.down):
            x = stage(x if level == 0 else self.pools[level - 1](x))
            passed.append(x)
        for level in reversed(range(len(self.up))):
            x = self.enlarge[level](x)
            x = self.up[level](torch.cat([_centre(passed[level], x.shape[2:]), x], dim=1))
        return self.output(_centre(x, size))

    def valid_size(self, wanted: int, axis: int = 0) -> tuple[int, int]:
        """The smallest input size along `axis` that every pooling divides, and its answer, which is >= `wanted`.

        With the paper's five levels: 388 -> (572, 388).
        """
        lost = [2 * (kernel[axis] - 1) for kernel in self.kernels]
        stride = [s[axis] for s in self.strides]
        bottom = 0
        while True:
            bottom += 1
            entering, answer = bottom + lost[-1], bottom
            for level in reversed(range(len(stride))):
                entering = entering * stride[level] + lost[level]
                answer = answer * stride[level] - lost[level]
            if answer >= wanted:
                return entering, answer

    def _rim(self, n: int, axis: int) -> tuple[int, int]:
        """Voxels to add before and behind, so that the answer's centre lies on the input's voxels."""
        entering, answer = self.valid_size(n, axis)
        before = (entering - answer) // 2 + (answer - n) // 2
        return before, entering - n - before


def _mirrored(x: torch.Tensor, dim: int, before: int, behind: int) -> torch.Tensor:
    """`x` continued along `dim` by reflection at its first and last voxels, as often as needed."""
    if before == behind == 0:
        return x
    n = x.shape[dim]
    if n == 1:
        return x.expand(*(before + 1 + behind if d == dim else -1 for d in range(x.ndim)))
    place = torch.arange(-before, n + behind, device=x.device).remainder(2 * n - 2)
    return x.index_select(dim, torch.minimum(place, 2 * n - 2 - place))


def _centre(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """The middle `size` voxels of `x`."""
    starts = [(have - n) // 2 for have, n in zip(x.shape[2:], size, strict=True)]
    return x[(..., *(slice(start, start + n) for start, n in zip(starts, size, strict=True)))]
