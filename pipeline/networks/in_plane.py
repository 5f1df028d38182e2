"""Run a 3D network's in-plane convolutions (k x k x 1) as 2D ones: same weights, same result, 2.5 to 3 times faster.

Instance norm comes with them: on CPUs PyTorch's kernel for group norm with one channel per group, the same formula,
is faster (DynUNet of bundles/acdc as a whole: 5% of a bf16 forward pass or training step, 13% of a float32 pass).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

SMALL = 1024  # voxels of a channel; below, PyTorch's group norm goes through channels last channel by channel


def in_plane(network: nn.Module) -> nn.Module:
    """Let every k x k x 1 convolution of `network` (in place) compute slice by slice with PyTorch's 2D kernels.

    Libraries tune 3D convolutions for long last axes; here the last axis is the slice axis, often of length one.
    Names, shapes and values of the parameters stay as they are, so checkpoints fit with and without this call, and
    kernels that extend along z are left alone. Instance norm without running statistics is given the other kernel.
    With channels last (`pipeline.inferers`) 3D volumes stay 3D: convolutions then need no other layout.

    Measured on two AVX512_BF16 cores, 16 slices of 160x160, DynUNet 16..256, bf16, forward and backward:
    1.27 s as Conv3d, 0.45 s with this call, 0.44 s as a genuine 2D network.

    Args:
        network: any module; inputs of its convolutions are (B, C, X, Y, Z).

    Returns:
        the same module.
    """
    for module in network.modules():
        if type(module) is nn.Conv3d and _is_in_plane(module):
            module.__class__ = _InPlaneConv
        elif type(module) is nn.ConvTranspose3d and _is_in_plane(module):
            module.__class__ = _InPlaneConvTranspose
        elif type(module) is nn.InstanceNorm3d and not module.track_running_stats:
            module.__class__ = GroupedInstanceNorm
    return network


def _is_in_plane(conv: nn.Conv3d | nn.ConvTranspose3d) -> bool:
    return (
        conv.kernel_size[2] == 1
        and conv.stride[2] == 1
        and conv.padding_mode == "zeros"
        and not isinstance(conv.padding, str)
        and conv.padding[2] == 0
        and conv.output_padding[2] == 0
    )


class _InPlaneConv(nn.Conv3d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if _has_channels_last(x):
            return super().forward(x)
        y = F.conv2d(
            _slices(x),
            self.weight.squeeze(-1),
            self.bias,
            self.stride[:2],
            self.padding[:2],
            self.dilation[:2],
            self.groups,
        )
        return _volumes(y, x.shape[0])


class _InPlaneConvTranspose(nn.ConvTranspose3d):
    def forward(self, x: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        if output_size is not None or _has_channels_last(x):
            return super().forward(x, output_size)
        y = F.conv_transpose2d(
            _slices(x),
            self.weight.squeeze(-1),
            self.bias,
            self.stride[:2],
            self.padding[:2],
            self.output_padding[:2],
            self.groups,
            self.dilation[:2],
        )
        return _volumes(y, x.shape[0])


class GroupedInstanceNorm(nn.InstanceNorm3d):
    """MONAI's and PyTorch's instance norm, on CPUs by the kernel for group norm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The norm of (B, C, X, Y, Z) over each channel of each sample; the memory format is kept."""
        if x.device.type != "cpu":
            return super().forward(x)
        if _has_channels_last(x) and x[0, 0].numel() < SMALL:
            return self._normed(x.contiguous()).contiguous(memory_format=torch.channels_last_3d)
        return self._normed(x)

    def _normed(self, x: torch.Tensor) -> torch.Tensor:
        return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


def _has_channels_last(x: torch.Tensor) -> bool:
    """Whether the channels of each voxel of a volume lie together: 3D kernels then need no other layout."""
    return x.shape[-1] > 1 and not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last_3d)


def _slices(x: torch.Tensor) -> torch.Tensor:
    """(B, C, X, Y, Z) -> (B*Z, C, X, Y), without a copy where Z is one."""
    batch, channels, width, height, depth = x.shape
    return x.permute(0, 4, 1, 2, 3).reshape(batch * depth, channels, width, height)


def _volumes(y: torch.Tensor, batch: int) -> torch.Tensor:
    """(B*Z, C, X, Y) -> (B, C, X, Y, Z), a view."""
    return y.unflatten(0, (batch, -1)).permute(0, 2, 3, 4, 1)
