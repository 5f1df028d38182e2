"""Exponential logarithmic loss: Dice and cross entropy bent so that hard structures count more (Wong et al.)."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.losses.common import SegmentationLoss


class ExponentialLogarithmicLoss(SegmentationLoss):
    """dice_share * mean_c (-ln Dice_c)^gamma + (1 - dice_share) * mean_x w_l (-ln p_l(x))^gamma

        Dice_c = (2 sum p t + S) / (sum p + sum t + S),   w_l = sqrt(sum_k f_k / f_l)

    l is the true class of voxel x, f its frequency. From Wong, Moradi, Tang and Syeda-Mahmood, 3D Segmentation with
    Exponential Logarithmic Loss for Highly Unbalanced Object Sizes, arXiv:1809.00076, where f is counted over the
    training set; here it is counted over the item (the batch with `batch`) unless `weight` gives w_l. With sigmoid
    every channel has two classes of its own, the structure and what is not it.

    Args:
        dice_share: 0.8 in the paper.
        gamma: 0.3 in the paper, for both terms.
        smooth: S. A channel that is empty in both has Dice 1.
        eps: below this, -ln counts as this: the power has no finite slope at 0.
        **kwargs: SegmentationLoss's. `weight` weighs the voxels of the counting classes (with sigmoid those of the
            structure, those outside count 1), not the Dice terms; include_background holds for both terms. "none" is
            (B, C, 1, 1[, 1]), its mean being the loss.
    """

    def __init__(
        self, *, dice_share: float = 0.8, gamma: float = 0.3, smooth: float = 1.0, eps: float = 1e-7, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.label_weight, self.weight = self.weight, None
        self.dice_share = dice_share
        self.gamma = gamma
        self.smooth = smooth
        self.eps = eps

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) against labels (B, 1, ...) or channels (B, C, ...)."""
        truth = self.counted(self.one_hot(input, target))
        log_p, log_not_p = (self.counted(values) for values in self.log_probabilities(input))
        dims = self.dims(truth)
        p = log_p.exp()
        dice = self.soft_dice(p, truth, smooth=self.smooth)
        entropy = (truth * self._bent(-log_p)).mean(dims, keepdim=True) * self._weight(truth)
        if self.softmax:
            entropy = entropy.sum(1, keepdim=True)  # every voxel has one true class
        else:
            outside = 1 - truth
            entropy = entropy + (outside * self._bent(-log_not_p)).mean(dims, keepdim=True) * self._weight(
                outside, given=False
            )
        return self.reduce(self.dice_share * self._bent(-dice.log()) + (1 - self.dice_share) * entropy)

    def _bent(self, values: torch.Tensor) -> torch.Tensor:
        return values.clamp_min(self.eps) ** self.gamma

    def _weight(self, truth: torch.Tensor, *, given: bool = True) -> torch.Tensor:
        """w_l of each channel, (B, C, 1, ...); a class without voxels weighs nothing, since none is of it."""
        if self.label_weight is not None:
            shape = (1, -1, *[1] * (truth.ndim - 2))
            return self.label_weight.to(truth).reshape(shape) if given else truth.new_ones(())
        frequency = truth.mean(self.dims(truth), keepdim=True)
        return torch.where(frequency > 0, frequency.clamp_min(torch.finfo(truth.dtype).tiny) ** -0.5, 0)
