"""SegNet: a decoder that puts features back to where the encoder's pooling took them from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv
from torch import nn

from pipeline.networks.levels import (
    INSTANCE,
    RELU,
    Kernels,
    Strides,
    check_size,
    convolutions,
    kernel_per_level,
    stride_per_level,
)


class SegNet(nn.Module):
    """Encoder and decoder that share the indices of max-pooling, without skip connections.

    Badrinarayanan, Kendall, Cipolla, IEEE TPAMI 39(12), 2017 (arXiv:1511.00561): each decoder level unpools with the
    indices of its encoder level, then convolves the sparse map dense. The defaults are the paper's VGG16 form.
    Deviation: instance instead of batch normalisation by default.

    Args:
        spatial_dims: 2 or 3.
        in_channels, out_channels: of the image, and of the logits.
        channels: features of each level, the full resolution first.
        strides: of the pooling after each level: one for all, one per level, or one per level and axis;
            len(channels) levels.
        kernel_size: one for all, one per axis, or one per level and axis.
        convs: convolutions of each level, in the encoder and again in the decoder; one for all, or one per level.
        act, norm: of every convolution, in MONAI's form.
        dropout: in the two deepest levels of the encoder and the decoder.

    Any input size works that leaves more than one voxel after the last pooling.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        channels: Sequence[int] = (64, 128, 256, 512, 512),
        strides: Strides = 2,
        kernel_size: Kernels = 3,
        convs: int | Sequence[int] = (2, 2, 3, 3, 3),
        act: tuple | str | None = RELU,
        norm: tuple | str | None = INSTANCE,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        levels = len(channels)
        kernel = kernel_per_level(kernel_size, levels, spatial_dims)
        self.strides = stride_per_level(strides, levels, spatial_dims)
        numbers = [convs] * levels if isinstance(convs, int) else list(convs)
        if len(numbers) != levels:
            raise ValueError(f"convs must fit {levels} levels, got {convs}")
        drops = [dropout if level >= levels - 2 else 0.0 for level in range(levels)]
        options = {"act": act, "norm": norm}
        above = [in_channels, *channels[:-1]]
        self.encoder = nn.ModuleList(
            convolutions(spatial_dims, above[i], channels[i], numbers[i], kernel[i], dropout=drops[i], **options)
            for i in range(levels)
        )
        above[0] = channels[0]
        self.decoder = nn.ModuleList(
            nn.Sequential(
                *convolutions(
                    spatial_dims, channels[i], channels[i], numbers[i] - 1, kernel[i], dropout=drops[i], **options
                ),
                *convolutions(spatial_dims, channels[i], above[i], 1, kernel[i], **options),
            )
            for i in range(levels)
        )
        self.output = Conv[Conv.CONV, spatial_dims](channels[0], out_channels, 1)
        self._pool = F.max_pool2d if spatial_dims == 2 else F.max_pool3d
        self._unpool = F.max_unpool2d if spatial_dims == 2 else F.max_unpool3d

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, out_channels, ...) of `x` (B, in_channels, ...), of the same size."""
        check_size(x, self.strides, network="SegNet")
        taken = []
        for stage, stride in zip(self.encoder, self.strides, strict=True):
            x = stage(x)
            size = x.shape[2:]
            x, indices = self._pool(x, stride, stride, ceil_mode=True, return_indices=True)
            taken.append((indices, stride, size))
        for stage, (indices, stride, size) in zip(reversed(self.decoder), reversed(taken), strict=True):
            x = stage(self._unpool(x, indices, stride, stride, output_size=size))
        return self.output(x)
