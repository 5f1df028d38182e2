"""Sensitivity-specificity loss: squared errors inside and outside the truth, each by its own size (Brosch et al.)."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.losses.common import SegmentationLoss


class SensitivitySpecificityLoss(SegmentationLoss):
    """w * sum (t - p)^2 t / sum t + (1 - w) * sum (t - p)^2 (1 - t) / sum (1 - t), for each channel.

    From Brosch, Yoo, Tang, Li, Traboulsee and Tam, Deep Convolutional Encoder Networks for Multiple Sclerosis Lesion
    Segmentation, MICCAI 2015, who took a small w because lesions are small.

    Args:
        sensitivity_weight: w, 0 to 1, the share of the missed voxels.
        **kwargs: SegmentationLoss's. Where the truth is empty (or full) the term that would divide by zero is zero.
    """

    def __init__(self, *, sensitivity_weight: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 <= sensitivity_weight <= 1:
            raise ValueError(f"sensitivity_weight must lie between 0 and 1, got {sensitivity_weight}")
        self.sensitivity_weight = sensitivity_weight

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) against labels (B, 1, ...) or channels (B, C, ...)."""
        truth = self.counted(self.one_hot(input, target))
        squares = (truth - self.counted(self.probabilities(input))) ** 2
        inside, outside = self._mean(squares, truth), self._mean(squares, 1 - truth)
        return self.reduce(self.sensitivity_weight * inside + (1 - self.sensitivity_weight) * outside)

    def _mean(self, squares: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        """Mean of `squares` over the voxels of a mask, 0 where it has none."""
        dims = self.dims(squares)
        return (squares * where).sum(dims, keepdim=True) / where.sum(dims, keepdim=True).clamp_min(1)
