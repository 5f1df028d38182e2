"""FCN: class scores of several depths, upsampled and added."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv, Pool
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


class FCN(nn.Module):
    """Fully convolutional network with skip fusion.

    Long, Shelhamer, Darrell, CVPR 2015 (arXiv:1411.4038): a classification network whose last layers have become
    convolutions gives coarse scores; they are upsampled by a transposed convolution, which starts as linear
    interpolation, and added to the scores of the level above. Two skips over six levels make an FCN-8s: the fused
    scores are 8 times coarser than the input, and the last step is plain interpolation, as there. Deviations: padded
    convolutions throughout (the paper pads the image by 100 pixels instead), and normalisation, since the network
    starts from nothing and not from VGG's weights.

    Args:
        spatial_dims: 2 or 3.
        in_channels, out_channels: of the image, and of the logits.
        channels: features of each level, the full resolution first.
        strides: of the max-pooling between levels: one for all, one per level, or one per level and axis;
            len(channels) - 1 levels.
        kernel_size: one for all, one per axis, or one per level and axis.
        convs: convolutions of each level; the last level's stand for the paper's fully connected layers.
        skips: how many of the levels above the last add their scores.
        act, norm: of every convolution, in MONAI's form.
        dropout: in the last level.

    Any input size works that leaves more than one voxel in the last level.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (32, 64, 128, 256, 256, 512),
        strides: Strides = 2,
        kernel_size: Kernels = 3,
        convs: int = 2,
        skips: int = 2,
        act: tuple | str | None = RELU,
        norm: tuple | str | None = INSTANCE,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        levels = len(channels)
        if not 0 <= skips < levels:
            raise ValueError(f"skips must be from 0 to {levels - 1} for {levels} levels, got {skips}")
        kernel = kernel_per_level(kernel_size, levels, spatial_dims)
        self.strides = stride_per_level(strides, levels - 1, spatial_dims)
        self.pools = nn.ModuleList(Pool[Pool.MAX, spatial_dims](s, s, ceil_mode=True) for s in self.strides)
        self.stages = nn.ModuleList(
            convolutions(spatial_dims, before, features, convs, k, act=act, norm=norm, dropout=drop)
            for before, features, k, drop in zip(
                (in_channels, *channels), channels, kernel, [0.0] * (levels - 1) + [dropout], strict=False
            )
        )
        conv = Conv[Conv.CONV, spatial_dims]
        self.scores = nn.ModuleList(conv(features, out_channels, 1) for features in channels[levels - 1 - skips :])
        self.upsample = nn.ModuleList(_linear_upsampling(out_channels, s) for s in self.strides[levels - 1 - skips :])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, ...) of `x` (B, in_channels, ...), of the same size."""
        check_size(x, self.strides, network="FCN")
        size, features = x.shape[2:], []
        for level, stage in enumerate(self.stages):
            x = stage(x if level == 0 else self.pools[level - 1](x))
            features.append(x)
        scores = self.scores[-1](x)
        steps = zip(features[-2::-1], list(self.scores)[-2::-1], list(self.upsample)[::-1], strict=False)
        for above, score, upsample in steps:
            own = score(above)
            scores = own + upsample(scores)[(..., *(slice(n) for n in own.shape[2:]))]
        return interpolate(scores, size)


def _linear_upsampling(channels: int, stride: Sequence[int]) -> nn.Module:
    """A transposed convolution that begins as linear interpolation of each channel (stride 1 or 2 per axis)."""
    if any(s not in (1, 2) for s in stride):
        raise ValueError(f"strides must be 1 or 2, got {tuple(stride)}")
    kernel, padding = [2 * s if s > 1 else 1 for s in stride], [s // 2 for s in stride]
    layer = Conv[Conv.CONVTRANS, len(stride)](channels, channels, kernel, tuple(stride), padding, bias=False)
    taps = torch.ones(())
    for k in kernel:
        taps = taps[..., None] * torch.tensor([0.25, 0.75, 0.75, 0.25] if k == 4 else [1.0])
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(channels):
            layer.weight[channel, channel] = taps
    return layer
