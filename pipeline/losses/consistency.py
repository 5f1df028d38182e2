"""Consistency loss: a turned image must be segmented as the image is, turned (Li et al.)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pipeline.losses.common import ImageLoss


class ConsistencyLoss(ImageLoss):
    """Mean squared difference of T(f(x)) and f'(T(x) + noise), over voxels and channels, as probabilities.

    T is drawn anew in each call: flips of `axes`, and the exchange of the first two of them where they are equally
    long, which together are the flips and rotations by 90 degrees. From Li, Yu, Chen, Fu and Heng, Semi-supervised Skin
    Lesion Segmentation via Transformation Consistent Self-ensembling Model, arXiv:1808.03887, and its extension
    arXiv:1903.00348. The target is not looked at, so unlabelled images can be learned from; add it to a supervised
    loss, with a weight that ramps up.

    f' is the network itself, and both sides learn; or `teacher`, a slow average of it (mean teacher), and only f
    learns. The average is kept by ignite's EMAHandler: `"teacher": "$@ema.ema_model"`. It is a part of this loss, so
    who saves the loss saves the teacher.

    Random numbers come from torch's global generator, which bundles renew in each epoch.

    Args:
        teacher: a network of the same form; without one the trained network is asked again.
        axes: the spatial axes that may be flipped; the first two must have equal spacing for the exchange.
        noise: standard deviation of the Gaussian noise that f' sees, in units of the image.
        **kwargs: SegmentationLoss's.
    """

    def __init__(
        self, *, teacher: torch.nn.Module | None = None, axes: Sequence[int] = (0, 1), noise: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.teacher = teacher
        self.axes = tuple(axes)
        self.noise = noise

    def forward(self, input: torch.Tensor, target: torch.Tensor | None = None, **given: Any) -> torch.Tensor:
        """The loss of logits (B, C, ...) of an image=(B, channels, ...).

        predict(image, network) gives the logits of an image; network None is the trained one.
        """
        x, predict = self.provided("image", given), self.provided("predict", given)
        flips, exchange = self._draw(x.shape[2:])
        turned = _turn(x, flips, exchange)
        if self.noise:
            turned = turned + self.noise * torch.randn_like(turned)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.teacher is None):
            other = predict(turned, self.teacher)
        difference = _turn(self.probabilities(input), flips, exchange) - self.probabilities(other)
        return self.reduce((self.counted(difference) ** 2).mean(self.dims(difference), keepdim=True))

    def _draw(self, size: Sequence[int]) -> tuple[list[int], tuple[int, int] | None]:
        """Axes to flip and axes to exchange, one of all combinations but the one that changes nothing."""
        square = len(self.axes) > 1 and size[self.axes[0]] == size[self.axes[1]]
        combinations = 2 ** (len(self.axes) + square)
        if combinations == 1:
            return [], None
        drawn = int(torch.randint(1, combinations, ()))
        flips = [axis + 2 for bit, axis in enumerate(self.axes) if drawn >> bit & 1]
        exchanged = bool(drawn >> len(self.axes) & 1)
        return flips, (self.axes[0] + 2, self.axes[1] + 2) if exchanged else None


def ramp_up(epoch: float, *, length: float, shape: str = "exponential") -> float:
    """The share, 0 to 1, that a term has after `epoch` of `length` epochs of its warm-up.

    Args:
        shape: "exponential", exp(-5 (1 - t)^2) with t = epoch / length (Laine and Aila, arXiv:1610.02242, whom Li et
            al. follow), or "linear", t. Both end at 1 and stay there.

    Raises:
        ValueError: another shape.
    """
    if shape not in ("exponential", "linear"):
        raise ValueError(f"shape must be exponential or linear, got {shape!r}")
    if epoch <= 0:
        return 0.0
    t = min(1.0, epoch / length) if length > 0 else 1.0
    return t if shape == "linear" else math.exp(-5 * (1 - t) ** 2)


def _turn(x: torch.Tensor, flips: Sequence[int], exchange: tuple[int, int] | None) -> torch.Tensor:
    x = x.flip(flips) if flips else x
    return x.transpose(*exchange) if exchange else x
