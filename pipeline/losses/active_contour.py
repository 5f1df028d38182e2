"""Active contour loss: a short contour, with the truth's regions inside and outside (Chen et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipeline.losses.common import SegmentationLoss, gradient_length


class ActiveContourLoss(SegmentationLoss):
    """Length + lambda * region, for each channel, as means over its voxels:

        length = sqrt(|grad u|^2 + eps)
        region = u (1 - v)^2 + (1 - u) (0 - v)^2

    u is the prediction, v the truth. From Chen, Williams, Vallabhaneni, Czanner, Williams and Zheng, Learning Active
    Contour Models for Medical Image Segmentation, CVPR 2019 (the energy of Chan and Vese with c1 = 1 and c2 = 0). All
    differences of a gradient belong to the same voxel and are taken per mm, which the published code does not do.

    Args:
        lambda_region: weight of the region term, per mm. A ball of a radius below 3 / lambda mm (a disc: 2 / lambda)
            costs less when it is left out: its contour is longer than its content is worth.
        spacing: mm, one number or one for each axis.
        eps: keeps the square root smooth; a constant prediction costs sqrt(eps).
        **kwargs: SegmentationLoss's. An empty or full channel has a loss and a gradient like any other.
    """

    def __init__(
        self, *, lambda_region: float = 1.0, spacing: Sequence[float] | float = 1.0, eps: float = 1e-8, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.lambda_region = lambda_region
        self.spacing = spacing
        self.eps = eps

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) against labels (B, 1, ...) or channels (B, C, ...)."""
        truth = self.counted(self.one_hot(input, target))
        u = self.counted(self.probabilities(input))
        length = gradient_length(u, self.spacing, eps=self.eps)
        region = u * (1 - truth) ** 2 + (1 - u) * truth**2
        return self.reduce((length + self.lambda_region * region).mean(self.dims(u), keepdim=True))
