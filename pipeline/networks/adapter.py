"""Call a network that is particular about its input (2D only, multiples of 16, several outputs) as any other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.networks.nets.basic_unet import UpCat
from torch import nn

from pipeline.errors import DataError, Problem

_BASIC_UNET_MULTIPLE = 16  # MONAI's BasicUNet and BasicUNetPlusPlus halve their input four times
_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)


class Adapter(nn.Module):
    """Volumes of any size in, one tensor of logits out.

    A 2D network sees each slice of a volume as one item of its batch. An input whose size is no multiple of what the
    network needs, or of which it would leave a single voxel (nothing to normalise), is continued at its far end by its
    last voxels, and the answer is cut back. Of several outputs (deep supervision, U-Net++) the first one is returned.
    A 2D network with batch norm alone computes with channels last, which CPUs and GPUs do faster; the logits agree to
    rounding.

    Args:
        network: 2D or 3D; recognised by its first convolution.
        multiple: what each spatial axis of the network's input must be a multiple of; a number, or one per axis of the
            network.
        size: the only size that the network takes after that (UNETR learns a place for each patch), or None.

    Raises:
        DataError: when it is called with a size that cannot be made `size`.
    """

    def __init__(
        self, network: nn.Module, *, multiple: int | Sequence[int] = 1, size: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.spatial_dims = _spatial_dims(network)
        self.multiple = [multiple] * self.spatial_dims if isinstance(multiple, int) else list(multiple)
        if len(self.multiple) != self.spatial_dims:
            raise ValueError(f"multiple {self.multiple} does not fit a network of {self.spatial_dims} dimensions")
        self.size = None if size is None else tuple(size)
        if all(n % _BASIC_UNET_MULTIPLE == 0 for n in self.multiple):
            _spare_padding(network)
        if self.spatial_dims == 2 and _norms(network) == {nn.BatchNorm2d}:
            network.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes, X, Y, Z) of `x` (B, C, X, Y, Z); (B, C, X, Y) for a 2D network goes too."""
        if self.spatial_dims == 2 and x.ndim == 5:
            batch, channels, width, height, depth = x.shape
            slices = x.permute(0, 4, 1, 2, 3).reshape(batch * depth, channels, width, height)
            return self._fitted(slices).unflatten(0, (batch, depth)).permute(0, 2, 3, 4, 1)
        return self._fitted(x)

    def _fitted(self, x: torch.Tensor) -> torch.Tensor:
        shape = x.shape[2:]
        missing = self._missing(shape)
        if any(missing):
            x = F.pad(x, [side for n in reversed(missing) for side in (0, n)], mode="replicate")
        if self.size is not None and tuple(x.shape[2:]) != self.size:
            remedy = "Use the patch_size that the network was made for, in training and in inference"
            raise DataError(Problem("network input", _product(self.size), _product(shape), remedy))
        y = self.network(x)
        y = y[0] if isinstance(y, list | tuple) else y
        return y[(..., *(slice(n) for n in shape))] if any(missing) else y

    def _missing(self, shape: Sequence[int]) -> list[int]:
        """Voxels to add along each axis."""
        missing = [-n % multiple for n, multiple in zip(shape, self.multiple, strict=True)]
        longest = max(range(len(shape)), key=lambda axis: self.multiple[axis])
        one_left = all(n + more == multiple for n, more, multiple in zip(shape, missing, self.multiple, strict=True))
        if one_left and self.size is None and self.multiple[longest] > 1:
            missing[longest] += self.multiple[longest]
        return missing


def _spare_padding(network: nn.Module) -> None:
    """Keep MONAI's UpCat from padding by nothing: that copies each level, and costs a sixth of a training step."""
    for module in network.modules():
        if isinstance(module, UpCat):
            module.is_pad = False


def _norms(network: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in network.modules() if isinstance(module, _NORMS)}


def _spatial_dims(network: nn.Module) -> int:
    for module in network.modules():
        for dims, kinds in ((2, (nn.Conv2d, nn.ConvTranspose2d)), (3, (nn.Conv3d, nn.ConvTranspose3d))):
            if isinstance(module, kinds):
                return dims
    raise ValueError("the network has no 2D or 3D convolution")


def _product(size: Sequence[int]) -> str:
    return " x ".join(map(str, size)) + " voxels"
