"""What the losses share: MONAI's arguments, stable logarithms, gradients in mm, reductions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks import one_hot
from monai.utils import LossReduction
from torch.nn.modules.loss import _Loss


class SegmentationLoss(_Loss):
    """Base of the losses: forward(input, target) with MONAI's keyword names, in 2D and 3D.

    `input` holds logits (B, C, H, W[, D]); `target` holds label numbers (B, 1, H, W[, D]) with `to_onehot_y`, else one
    channel for each channel of `input`. Half precision is computed in float32; float64 stays float64.

    Args:
        include_background: without it the first channel is left out, where there are several.
        to_onehot_y: the target holds label numbers; ignored where there is one channel.
        sigmoid: every channel is a structure of its own, and they may overlap.
        softmax: the channels exclude each other.
        other_act: another function from logits to probabilities. Without any of the three, `input` holds probabilities.
        reduction: "mean" over items and channels, "sum", or "none": (B, C, 1, 1[, 1]).
        batch: sum over the items of the batch before any ratio is taken, as if they were one volume.
        weight: one number for each channel that counts, or one for all; the result is not divided by their sum.

    Raises:
        ValueError: more than one activation, a softmax over a single channel, or weights or shapes that do not fit.
    """

    def __init__(
        self,
        *,
        include_background: bool = True,
        to_onehot_y: bool = False,
        sigmoid: bool = False,
        softmax: bool = False,
        other_act: Callable[[torch.Tensor], torch.Tensor] | None = None,
        reduction: LossReduction | str = LossReduction.MEAN,
        batch: bool = False,
        weight: Sequence[float] | float | torch.Tensor | None = None,
    ) -> None:
        super().__init__(reduction=LossReduction(reduction).value)
        if sum((bool(sigmoid), bool(softmax), other_act is not None)) > 1:
            raise ValueError("give one of sigmoid, softmax and other_act, not several")
        self.include_background = include_background
        self.to_onehot_y = to_onehot_y
        self.sigmoid = sigmoid
        self.softmax = softmax
        self.other_act = other_act
        self.batch = batch
        self.weight = None if weight is None else torch.as_tensor(weight, dtype=torch.float32)
        if self.weight is not None and bool((self.weight < 0).any()):
            raise ValueError(f"weights must not be negative, got {self.weight.tolist()}")

    def one_hot(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The target as (B, C, ...) in the type that is computed in."""
        if self.softmax and input.shape[1] == 1:
            raise ValueError("a softmax over one channel is always 1: use sigmoid=True")
        if self.to_onehot_y and input.shape[1] > 1:
            target = one_hot(target, num_classes=input.shape[1])
        if target.shape != input.shape:
            raise ValueError(f"the target has shape {tuple(target.shape)}, the input {tuple(input.shape)}")
        return target.to(at_least_float32(input).dtype)

    def probabilities(self, input: torch.Tensor) -> torch.Tensor:
        """Probabilities (B, C, ...) of the logits."""
        x = at_least_float32(input)
        if self.sigmoid:
            return torch.sigmoid(x)
        if self.softmax:
            return torch.softmax(x, dim=1)
        return x if self.other_act is None else self.other_act(x)

    def log_probabilities(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """ln p and ln(1 - p), (B, C, ...) each.

        Exact for logits of any size with sigmoid; with softmax ln(1 - p) ends at -87 (in float32), beyond which its
        gradient is 0. Given probabilities are kept within 1e-12 of 0 and 1e-7 of 1.
        """
        x = at_least_float32(input)
        if self.sigmoid:
            return F.logsigmoid(x), F.logsigmoid(-x)
        if self.softmax:
            return log_softmax_and_complement(x)
        p = self.probabilities(x)
        return p.clamp_min(1e-12).log(), torch.log1p(-p.clamp_max(1 - 1e-7))

    def counted(self, values: torch.Tensor) -> torch.Tensor:
        """The channels that count: all, or without include_background all but the first of several."""
        return values[:, 1:] if not self.include_background and values.shape[1] > 1 else values

    def dims(self, values: torch.Tensor) -> list[int]:
        """The axes that one value sums over: the spatial ones, with `batch` the items too."""
        return ([0] if self.batch else []) + list(range(2, values.ndim))

    def soft_dice(self, p: torch.Tensor, truth: torch.Tensor, *, smooth: float) -> torch.Tensor:
        """(2 sum p t + smooth) / (sum p + sum t + smooth) of each channel, for probabilities and truth (B, C, ...)."""
        dims = self.dims(p)
        overlap = 2 * (p * truth).sum(dims, keepdim=True) + smooth
        return overlap / (p.sum(dims, keepdim=True) + truth.sum(dims, keepdim=True) + smooth)

    def reduce(self, values: torch.Tensor, *, add_channels: bool = False) -> torch.Tensor:
        """Weights and reduction of (B, C, 1, 1[, 1]), B being 1 with `batch`.

        Args:
            add_channels: the weighted channels are parts of one value and are added, never averaged.
        """
        if self.weight is not None:
            if self.weight.numel() not in (1, values.shape[1]):
                raise ValueError(f"{self.weight.numel()} weights for {values.shape[1]} channels that count")
            values = values * self.weight.to(values).reshape(1, -1, *[1] * (values.ndim - 2))
        if add_channels:
            values = values.sum(dim=1, keepdim=True)
        if self.reduction == LossReduction.MEAN.value:
            return values.mean()
        return values.sum() if self.reduction == LossReduction.SUM.value else values


class ImageLoss(SegmentationLoss):
    """A loss that looks at the image, or asks the network again: forward(input, target, image=..., predict=...).

    During training `LossSchedule` provides both, so that MONAI's engine need not know.

    Attributes:
        context: what LossSchedule provides: {"image": tensor, "predict": function of an image}.
    """

    context: dict | None = None

    def provided(self, name: str, given: Mapping[str, Any]) -> Any:
        """What was given by keyword, or by LossSchedule; raises ValueError where neither was."""
        context = {**(self.context or {}), **given}
        if name not in context:
            raise ValueError(f"{type(self).__name__} needs {name}=..., or pipeline.losses.LossSchedule as a handler")
        return context[name]


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Half precision as float32, everything else as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def log_softmax_and_complement(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """ln p and ln(1 - p) of the softmax over axis 1; 1 - p is the sum of the other channels, so nothing cancels."""
    log_p = torch.log_softmax(x, dim=1)
    others = 1 - torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    with torch.autocast(x.device.type, enabled=False):
        rest = (others @ log_p.exp().flatten(2)).reshape(x.shape)
    return log_p, rest.clamp_min(torch.finfo(x.dtype).tiny).log()


def axis_spacing(spacing: Sequence[float] | float, axes: int) -> tuple[float, ...]:
    """The spacing in mm of each of `axes` spatial axes; one number counts for all.

    Raises:
        ValueError: another number of values, or one that is not positive.
    """
    values = [float(n) for n in spacing] if isinstance(spacing, Sequence) else [float(spacing)] * axes
    if len(values) != axes or not all(0 < n < float("inf") for n in values):
        raise ValueError(f"spacing must be {axes} positive numbers (mm), got {spacing}")
    return tuple(values)


def gradient_length(u: torch.Tensor, spacing: Sequence[float] | float, *, eps: float) -> torch.Tensor:
    """sqrt(|grad u|^2 + eps) at every voxel of (B, C, ...), per mm: forward differences, none at the far border."""
    squares = torch.full_like(u, eps)
    for axis, step in enumerate(axis_spacing(spacing, u.ndim - 2), start=2):
        difference = torch.diff(u, dim=axis, append=u.narrow(axis, -1, 1)) / step
        squares = squares + difference * difference
    return squares.sqrt()
