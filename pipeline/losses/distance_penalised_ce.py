"""Cross entropy that counts more near the boundaries of the truth (Caliva et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import edt
import numpy as np
import torch

from pipeline.losses.common import SegmentationLoss, axis_spacing


class DistancePenalisedCELoss(SegmentationLoss):
    """Mean over the voxels of (1 + lambda * Phi) * CE; Phi is the reversed distance to the boundary of the truth.

    With d the distance (mm) of a voxel to the nearest voxel of another class, and its largest and smallest value
    within the voxel's own class and item:

        Phi = (d_max - (d - d_min)) / d_max

    so Phi is 1 along every boundary and falls to d_min / d_max at the farthest voxel. From Caliva, Iriondo, Morales
    Martinez, Majumdar and Pedoia, Distance Map Loss Penalty Term for Semantic Segmentation, arXiv:1908.03679, where
    d_max - d is meant and its scale left open; d_min keeps the weight of a structure one voxel thick. Where an item
    has one class only there is no boundary, and Phi is 0.

    With softmax CE is -ln p of the true class. With sigmoid it is the binary cross entropy of each channel, whose
    structure and surroundings are the two classes.

    Args:
        lambda_distance: weight of Phi, 1 in the paper; 0 gives the plain cross entropy.
        spacing: mm, one number or one for each axis.
        **kwargs: SegmentationLoss's. Without include_background the background's voxels cost nothing. "none" is
            (B, 1, 1, 1[, 1]) with softmax.
    """

    def __init__(self, *, lambda_distance: float = 1.0, spacing: Sequence[float] | float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lambda_distance = lambda_distance
        self.spacing = spacing

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) against labels (B, 1, ...) or channels (B, C, ...)."""
        truth = self.one_hot(input, target)
        log_p, log_not_p = self.log_probabilities(input)
        entropy = -truth * log_p if self.softmax else -truth * log_p - (1 - truth) * log_not_p
        voxels = self.counted((1 + self.lambda_distance * self._penalty(truth)) * entropy)
        return self.reduce(voxels.mean(self.dims(voxels), keepdim=True), add_channels=self.softmax)

    @torch.no_grad()
    def _penalty(self, truth: torch.Tensor) -> torch.Tensor:
        """Phi of the true class: (B, 1, ...) with softmax, else (B, C, ...)."""
        labels = truth.argmax(dim=1, keepdim=True) if self.softmax else truth > 0.5
        spacing = axis_spacing(self.spacing, truth.ndim - 2)
        maps = labels.to("cpu", torch.uint8).numpy()
        phi = np.stack([[boundary_weight(channel, spacing) for channel in item] for item in maps])
        return torch.from_numpy(phi).to(truth)


def boundary_weight(labels: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Phi of `DistancePenalisedCELoss` for a label map (2D or 3D, numbers below 255): float32, 0 to 1."""
    classes = np.unique(labels)
    if len(classes) < 2:
        return np.zeros(labels.shape, np.float32)
    distance = edt.edt(np.ascontiguousarray(labels + 1), anisotropy=tuple(spacing), black_border=False)
    nearest, farthest = np.zeros(256, np.float32), np.ones(256, np.float32)
    for number in classes:
        own = distance[labels == number]
        nearest[number], farthest[number] = own.min(), own.max()
    return (1 + nearest / farthest)[labels] - distance * (1 / farthest)[labels]
