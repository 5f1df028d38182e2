"""Combo loss: weighted cross entropy and Dice, for several classes (Taghanaki et al.)."""

from __future__ import annotations

from typing import Any

import torch

from pipeline.losses.common import SegmentationLoss


class ComboLoss(SegmentationLoss):
    """alpha * CE + (1 - alpha) * (1 - Dice), for each channel:

        CE   = -1/N sum [beta t ln p + (1 - beta) (1 - t) ln(1 - p)]
        Dice = (2 sum p t + S) / (sum p + sum t + S)

    From Taghanaki et al., Combo Loss, arXiv:1805.02798, which writes -Dice; 1 - Dice has the same gradient and is
    never negative. `alpha` is the share of the cross entropy. (The article that the catalogue follows says in words
    that a larger alpha gives Dice more weight; its formula says the opposite, and so does the paper.) A beta below 0.5
    punishes false positives more than false negatives, above 0.5 the other way round.

    Args:
        alpha: 0 to 1.
        beta: 0 to 1.
        smooth: S. A channel that is empty in both has Dice 1.
        **kwargs: SegmentationLoss's. "mean" divides by the channels, "sum" adds them as the paper does.
    """

    def __init__(self, *, alpha: float = 0.5, beta: float = 0.5, smooth: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not (0 <= alpha <= 1 and 0 <= beta <= 1):
            raise ValueError(f"alpha and beta must lie between 0 and 1, got {alpha} and {beta}")
        self.alpha = alpha
        self.beta = beta
        self.smooth = smooth

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, ...) against labels (B, 1, ...) or channels (B, C, ...)."""
        truth = self.counted(self.one_hot(input, target))
        log_p, log_not_p = (self.counted(values) for values in self.log_probabilities(input))
        dims = self.dims(truth)
        entropy = -(self.beta * truth * log_p + (1 - self.beta) * (1 - truth) * log_not_p).mean(dims, keepdim=True)
        dice = self.soft_dice(log_p.exp(), truth, smooth=self.smooth)
        return self.reduce(self.alpha * entropy + (1 - self.alpha) * (1 - dice))
