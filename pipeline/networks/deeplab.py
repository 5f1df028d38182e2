"""DeepLabV3+: atrous convolutions see far at a fixed resolution, and a small decoder restores the outlines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.blocks import Convolution, ResidualUnit
from monai.networks.layers import Conv
from torch import nn

from pipeline.networks.levels import (
    INSTANCE,
    RELU,
    Kernels,
    Strides,
    check_size,
    convolutions,
    interpolate,
    kernel_per_level,
    stride_per_level,
)


class DeepLabV3Plus(nn.Module):
    """Residual encoder with an atrous last stage, atrous spatial pyramid pooling, and a low-level decoder.

    Chen, Zhu, Papandreou, Schroff, Adam, ECCV 2018 (arXiv:1802.02611). Deviations: a plain residual encoder without
    pretrained weights instead of Xception or ResNet-101, ordinary instead of depth-wise separable convolutions, and no
    normalisation of the pyramid's image-level features, which are a single voxel.

    Args:
        spatial_dims: 2 or 3.
        in_channels, out_channels: of the image, and of the logits.
        channels: features of each level, the full resolution first.
        strides: between levels: one for all, one per level, or one per level and axis; len(channels) - 1 levels. Their
            product is the paper's output stride.
        kernel_size: one for all, one per axis, or one per level and axis. An axis with kernel 1 in the last level
            stays without atrous context.
        blocks: residual blocks of each level.
        atrous_channels, dilation: of the stage that follows the last level at the same resolution.
        aspp_channels: features of each branch of the pyramid and of the decoder.
        rates: dilations of the pyramid, in voxels of the last level; those that reach beyond the map see zeros.
        low_level: the level whose features the decoder adds.
        low_level_channels: to which these are reduced first (48 in the paper).
        act, norm: of every convolution, in MONAI's form.
        dropout: after the pyramid.

    Any input size works that leaves more than one voxel in the last level.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256),
        strides: Strides = 2,
        kernel_size: Kernels = 3,
        blocks: int = 2,
        atrous_channels: int = 256,
        dilation: int = 2,
        aspp_channels: int = 128,
        rates: Sequence[int] = (3, 6, 9),
        low_level: int = 1,
        low_level_channels: int = 48,
        act: tuple | str | None = RELU,
        norm: tuple | str | None = INSTANCE,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        kernel = kernel_per_level(kernel_size, len(channels), spatial_dims)
        self.strides = stride_per_level(strides, len(channels) - 1, spatial_dims)
        self.low_level = low_level
        options = {"act": act, "norm": norm}
        stem = convolutions(spatial_dims, in_channels, channels[0], 1, kernel[0], **options)
        self.stages = nn.ModuleList([stem])
        for level, stride in enumerate(self.strides, start=1):
            self.stages.append(
                _residual(
                    spatial_dims, channels[level - 1], channels[level], blocks, kernel[level], strides=stride, **options
                )
            )
        deepest = kernel[-1]
        self.stages.append(
            _residual(spatial_dims, channels[-1], atrous_channels, blocks, deepest,
                      dilation=_along(deepest, dilation), **options)
        )  # fmt: skip
        self.pyramid = _Pyramid(spatial_dims, atrous_channels, aspp_channels, deepest, rates, act, norm, dropout)
        self.reduce = convolutions(spatial_dims, channels[low_level], low_level_channels, 1, [1] * spatial_dims,
                                   **options)  # fmt: skip
        self.decoder = convolutions(
            spatial_dims, aspp_channels + low_level_channels, aspp_channels, 2, kernel[low_level], **options
        )
        self.output = Conv[Conv.CONV, spatial_dims](aspp_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, ...) of `x` (B, in_channels, ...), of the same size."""
        check_size(x, self.strides, network="DeepLabV3Plus")
        size, low = x.shape[2:], x
        for level, stage in enumerate(self.stages):
            x = stage(x)
            low = x if level == self.low_level else low
        low = self.reduce(low)
        x = interpolate(self.pyramid(x), low.shape[2:])
        return interpolate(self.output(self.decoder(torch.cat([x, low], dim=1))), size)


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: one voxel, three dilations and the mean of the whole map, side by side."""

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        kernel: Sequence[int],
        rates: Sequence[int],
        act: tuple | str | None,
        norm: tuple | str | None,
        dropout: float,
    ) -> None:
        super().__init__()
        one = [1] * spatial_dims
        self.branches = nn.ModuleList(
            [convolutions(spatial_dims, in_channels, out_channels, 1, one, act=act, norm=norm)]
        )
        for rate in rates:
            self.branches.append(
                Convolution(spatial_dims, in_channels, out_channels, kernel_size=kernel, dilation=_along(kernel, rate),
                            act=act, norm=norm)
            )  # fmt: skip
        self.image_level = convolutions(spatial_dims, in_channels, out_channels, 1, one, act=act, norm=None)
        merged = out_channels * (len(rates) + 2)
        self.merge = convolutions(spatial_dims, merged, out_channels, 1, one, act=act, norm=norm, dropout=dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = self.image_level(x.mean(dim=tuple(range(2, x.ndim)), keepdim=True))
        parts = [branch(x) for branch in self.branches]
        return self.merge(torch.cat([*parts, mean.expand(-1, -1, *x.shape[2:])], dim=1))


def _residual(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    blocks: int,
    kernel: Sequence[int],
    *,
    strides: Sequence[int] | int = 1,
    dilation: Sequence[int] | int = 1,
    act: tuple | str | None,
    norm: tuple | str | None,
) -> nn.Sequential:
    first = {"strides": strides, "in_channels": in_channels}
    return nn.Sequential(
        *(
            ResidualUnit(
                spatial_dims,
                **(first if i == 0 else {"in_channels": out_channels}),
                out_channels=out_channels,
                kernel_size=kernel,
                dilation=dilation,
                act=act,
                norm=norm,
            )
            for i in range(blocks)
        )
    )


def _along(kernel: Sequence[int], dilation: int) -> tuple[int, ...]:
    """`dilation` along the axes that the kernel extends over."""
    return tuple(dilation if k > 1 else 1 for k in kernel)
