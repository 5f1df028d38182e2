"""MONAI's Dice + cross entropy, made right for structures that overlap."""

from __future__ import annotations

from typing import Any

import monai.losses
import torch
import torch.nn.functional as F


class DiceCELoss(monai.losses.DiceCELoss):
    """lambda_ce * CE + lambda_dice * Dice: MONAI's own class, but for several channels with sigmoid.

    There MONAI 1.6.1 takes the softmax cross entropy over the channels, as if the structures excluded each other; this
    class takes the mean binary cross entropy of the channels. Everything else is MONAI's.

    Args:
        weight: one number for each channel. With sigmoid it multiplies the voxels of the structure in the cross
            entropy (PyTorch's pos_weight), with softmax those of the class; it multiplies the Dice terms too.
        **kwargs: MONAI's.
    """

    def __init__(self, *args: Any, weight: Any = None, **kwargs: Any) -> None:
        super().__init__(
            *args, weight=None if weight is None else torch.as_tensor(weight, dtype=torch.float32), **kwargs
        )

    def ce(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Cross entropy of logits (B, C, ...): over the channels, or with sigmoid of each channel by itself."""
        self.cross_entropy.to(input.device)
        return self.bce(input, target) if self.dice.sigmoid else super().ce(input, target)

    def bce(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Mean binary cross entropy of the channels."""
        weight = self.binary_cross_entropy.pos_weight
        if weight is not None:
            weight = weight.to(input.device).reshape(-1, *[1] * (input.ndim - 2))
        return F.binary_cross_entropy_with_logits(
            input, target.to(input.dtype), pos_weight=weight, reduction=self.cross_entropy.reduction
        )
