"""Mumford-Shah loss: regions of even brightness with short borders, without any label (Kim and Ye)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipeline.losses.common import ImageLoss, at_least_float32, gradient_length


class MumfordShahLoss(ImageLoss):
    """Mean over the voxels of sum_n |x - c_n|^2 y_n + lambda * sum_n |grad y_n|.

    x is the image, y_n the probability of class n, c_n = sum x y_n / sum y_n the mean brightness of its region. From
    Kim and Ye, Mumford-Shah Loss Functional for Image Segmentation with Deep Learning, arXiv:1904.02872. The target is
    not looked at, so unlabelled images can be learned from; add it to a supervised loss, with a small weight.

    With softmax all channels take part, the background too. With sigmoid each channel has two regions, the structure
    and what is not it (Chan and Vese), since channels may overlap and need not cover the image. c_n is constant in the
    graph: it minimises the first term, so its own gradient is zero.

    Args:
        lambda_length: weight of the border term (the authors' code: 0.001, for images of unit brightness).
        spacing: mm, one number or one for each axis.
        eps: keeps the square root of |grad y|^2 + eps smooth.
        **kwargs: SegmentationLoss's, but for include_background. "none" is (B, 1 or C, 1, 1[, 1]).
    """

    def __init__(
        self, *, lambda_length: float = 1e-3, spacing: Sequence[float] | float = 1.0, eps: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lambda_length = lambda_length
        self.spacing = spacing
        self.eps = eps

    def forward(self, input: torch.Tensor, target: torch.Tensor | None = None, **given: Any) -> torch.Tensor:
        """The loss of logits (B, C, ...) for an image=(B, channels, ...); several channels add up."""
        x = at_least_float32(self.provided("image", given)).to(at_least_float32(input).dtype)
        if x.shape[0] != input.shape[0] or x.shape[2:] != input.shape[2:]:
            raise ValueError(f"the image has shape {tuple(x.shape)}, the input {tuple(input.shape)}")
        y = self.probabilities(input)
        if self.softmax:
            return self.reduce(self._energy(x, y), add_channels=True)
        return self.reduce(self._energy(x, y) + self._energy(x, 1 - y))

    def _energy(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Mean over the voxels, (B, C, 1, ...)."""
        dims = self.dims(y)
        voxels = self.lambda_length * gradient_length(y, self.spacing, eps=self.eps)
        with torch.no_grad():
            size = y.sum(dims, keepdim=True).clamp_min(torch.finfo(y.dtype).tiny)
        for channel in x.split(1, dim=1):
            with torch.no_grad():
                brightness = (channel * y).sum(dims, keepdim=True) / size
            voxels = voxels + (channel - brightness) ** 2 * y
        return voxels.mean(dims, keepdim=True)
