"""Any loss for a network with deep supervision, which gives several answers while it trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class DeepSupervision(nn.Module):
    """The mean of a loss over several answers, each weighing half as much as the finer one before it.

    Isensee et al., Nature Methods 18, 2021 (nnU-Net) weigh so. MONAI's DeepSupervisionLoss wants the answers in a list,
    while its DynUNet stacks them as here, and its sum grows with their number.

    Args:
        loss: called as loss(answer, target), once for each answer.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, input: torch.Tensor, target: torch.Tensor, **given: Any) -> torch.Tensor:
        """The loss of one answer (B, C, ...), or of N of them, (B, N, C, ...), the finest first, with (B, C, ...)."""
        if input.ndim == target.ndim:
            return self.loss(input, target, **given)
        answers = [(0.5**rank, self.loss(one, target, **given)) for rank, one in enumerate(input.unbind(1))]
        return sum(weight * value for weight, value in answers) / sum(weight for weight, _ in answers)


def finest(answer: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """The answer that counts, (B, C, ...), of one or several (B, N, C, ...) to an image (B, channels, ...)."""
    return answer[:, 0] if answer.ndim > image.ndim else answer
