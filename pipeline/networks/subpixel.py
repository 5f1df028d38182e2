"""A network that works at half the in-plane resolution and answers at the full one, without a convolution there."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class Subpixel(nn.Module):
    """Hand each block of factor x factor pixels to a network as channels, and spread its answer's channels as pixels.

    Nothing is lost on the way in, and every pixel gets logits of its own on the way out; the network between computes
    a quarter of the positions (factor 2). W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
    Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016, arXiv:1609.05158.

    Args:
        network: takes factor^2 times the channels of the image, and answers with factor^2 times the classes.
        factor: in-plane; slices stay as they are.

    Raises:
        RuntimeError: torch's, where the in-plane size of an input is no multiple of `factor` (`Adapter` sees to that).
    """

    def __init__(self, network: nn.Module, *, factor: int = 2) -> None:
        super().__init__()
        self.network = network
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes, X, Y, Z) of `x` (B, C, X, Y, Z); (B, N, classes, X, Y, Z) of a network with N answers."""
        coarse = _by_slice(x, lambda slices: F.pixel_unshuffle(slices, self.factor))
        answer = self.network(coarse)
        if answer.ndim > x.ndim:  # MONAI's DynUNet with deep supervision, while it trains
            return torch.stack([self._spread(one) for one in answer.unbind(1)], dim=1)
        return self._spread(answer)

    def _spread(self, coarse: torch.Tensor) -> torch.Tensor:
        return _by_slice(coarse, lambda slices: F.pixel_shuffle(slices, self.factor))


def _by_slice(x: torch.Tensor, change: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    slices = x.permute(0, 4, 1, 2, 3).reshape(-1, *x.shape[1:4])  # the batch stays unknown to an ONNX file
    return change(slices).unflatten(0, (-1, x.shape[4])).permute(0, 2, 3, 4, 1)
