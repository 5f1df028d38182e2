"""DeepMedic: one pathway at full resolution for detail, one at low resolution for the surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.layers import Conv, Pool
from torch import nn

from pipeline.networks.levels import (
    INSTANCE,
    RELU,
    check_size,
    convolutions,
    interpolate,
    kernel_per_level,
    stride_per_level,
)


class DeepMedic(nn.Module):
    """Two pathways of eight convolutions each, joined and classified by two layers of 1 x 1 kernels.

    Kamnitsas et al., Medical Image Analysis 36, 2017 (arXiv:1603.05959). Deviations: padded convolutions, and the low
    pathway sees the same window averaged by `factor`, not a wider one around it, since windows are far larger here than
    the paper's 25 voxels; normalisation is by instance by default, and there is no CRF (see pipeline.crf).

    Args:
        spatial_dims: 2 or 3.
        in_channels, out_channels: of the image, and of the logits.
        channels: features of each convolution of a pathway; a pair that keeps the number of features is added to its
            input.
        factor: how much coarser the low pathway is, one for all axes or one per axis.
        kernel_size: of every convolution, one for all axes or one per axis.
        classifier: features of the layers that join the pathways.
        act, norm: of every convolution, in MONAI's form.
        dropout: in the classifier.

    Any input size works that leaves more than one voxel in the low pathway.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (30, 30, 40, 40, 40, 40, 50, 50),
        factor: int | Sequence[int] = 3,
        kernel_size: int | Sequence[int] = 3,
        classifier: Sequence[int] = (150, 150),
        act: tuple | str | None = RELU,
        norm: tuple | str | None = INSTANCE,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        (kernel,) = kernel_per_level(kernel_size, 1, spatial_dims)
        self.factor = stride_per_level(factor if isinstance(factor, int) else [factor], 1, spatial_dims)[0]
        self.normal = _Pathway(spatial_dims, in_channels, channels, kernel, act, norm)
        self.low = _Pathway(spatial_dims, in_channels, channels, kernel, act, norm)
        one, layers, before = [1] * spatial_dims, [], 2 * channels[-1]
        for features in classifier:
            layers.append(convolutions(spatial_dims, before, features, 1, one, act=act, norm=norm, dropout=dropout))
            before = features
        layers.append(Conv[Conv.CONV, spatial_dims](before, out_channels, 1))
        self.classifier = nn.Sequential(*layers)
        self.average = Pool[Pool.AVG, spatial_dims](self.factor, ceil_mode=True, count_include_pad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, ...) of `x` (B, in_channels, ...), of the same size."""
        check_size(x, [self.factor], network="DeepMedic")
        coarse = self.average(x)
        # the coarse map may end beyond the image: it is laid over whole blocks, then cut
        whole = [n * f for n, f in zip(coarse.shape[2:], self.factor, strict=True)]
        surroundings = interpolate(self.low(coarse), whole)[(..., *(slice(n) for n in x.shape[2:]))]
        return self.classifier(torch.cat([self.normal(x), surroundings], dim=1))


class _Pathway(nn.Module):
    """Convolutions in pairs; a pair that keeps the number of features is added to its input."""

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        channels: Sequence[int],
        kernel: Sequence[int],
        act: tuple | str | None,
        norm: tuple | str | None,
    ) -> None:
        super().__init__()
        if len(channels) % 2:
            raise ValueError(f"channels must come in pairs, got {len(channels)}")
        self.pairs = nn.ModuleList()
        before = in_channels
        for first, second in zip(channels[::2], channels[1::2], strict=True):
            pair = [
                *convolutions(spatial_dims, before, first, 1, kernel, act=act, norm=norm),
                *convolutions(spatial_dims, first, second, 1, kernel, act=act, norm=norm),
            ]
            self.pairs.append(nn.Sequential(*pair))
            before = second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for pair in self.pairs:
            y = pair(x)
            x = x + y if x.shape[1] == y.shape[1] else y
        return x
