"""Hausdorff loss by soft erosions of the error (Karimi and Salcudean): how deep each wrong region is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pipeline.losses.common import SegmentationLoss, axis_spacing


class HausdorffERLoss(SegmentationLoss):
    """Mean over the voxels of sum_k (k h)^alpha e_k, k = 1..erosions, for each channel.

    e_0 = (p - q)^2 is the error, p the truth, q the prediction; e_k = max(0, 2 B * e_(k-1) - 1) is its k-th soft
    erosion, B the mean over a voxel and its face neighbours (4 in 2D, 6 in 3D), beyond the border there is no error.
    From Karimi and Salcudean, arXiv:1904.10030. The threshold 0.5 is theirs; the rescaling of [0.5, 1] to [0, 1], in
    place of a division by the image's own range, keeps every step local and monotone: the gradient is exact, never
    pulls the wrong way, and a cluster of a few voxels wears off instead of being blown up to 1 again at every step.

    No error above 0.5 (a voxel wrong by more than 0.7) means no loss and no gradient, whatever the truth is; an empty
    or full channel is treated like any other. Use it beside DiceCELoss, after a warm-up.

    Args:
        alpha: exponent of the depth.
        erosions: steps, each of them h mm; the deepest error that is told apart.
        spacing: mm, one number or one for each axis; h is the smallest. Along an axis of spacing s the k-th step
            erodes only where k h passes another multiple of s, so that k steps erode k h mm in every direction.
        **kwargs: SegmentationLoss's.
    """

    def __init__(
        self, *, alpha: float = 2.0, erosions: int = 10, spacing: Sequence[float] | float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if erosions < 1:
            raise ValueError(f"erosions must be at least 1, got {erosions}")
        self.alpha = alpha
        self.erosions = erosions
        self.spacing = spacing

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, H, W[, D]) against labels (B, 1, ...) or channels (B, C, ...)."""
        truth = self.counted(self.one_hot(input, target))
        error = (self.counted(self.probabilities(input)) - truth) ** 2
        steps = erosion_steps(error.shape[2:], self.spacing, self.erosions)
        step = min(axis_spacing(self.spacing, error.ndim - 2))
        weights = [(k * step) ** self.alpha for k in range(1, self.erosions + 1)]
        eroded = _SoftErosions.apply(error[_wrong_box(error)], steps, weights)
        total = error.numel() / (error.shape[1] if self.batch else error.shape[0] * error.shape[1])
        return self.reduce(eroded.sum(self.dims(error), keepdim=True) / total)


def erosion_steps(shape: Sequence[int], spacing: Sequence[float] | float, erosions: int) -> list[tuple[int, ...]]:
    """The tensor axes (2, 3, ...) along which each step erodes; an axis of one voxel is never eroded.

    Args:
        shape: voxels along each spatial axis.
        spacing: mm, one number or one for each axis.
    """
    steps = axis_spacing(spacing, len(shape))
    whole = [[int(k * min(steps) / step + 1e-6) for k in range(erosions + 1)] for step in steps]
    return [
        tuple(axis + 2 for axis, n in enumerate(whole) if n[k] > n[k - 1] and shape[axis] > 1)
        for k in range(1, erosions + 1)
    ]


class _SoftErosions(torch.autograd.Function):
    """sum_k weight_k e_k of errors (B, C, ...), with the gradient through every step."""

    @staticmethod
    def forward(ctx: Any, error: torch.Tensor, steps: list[tuple[int, ...]], weights: list[float]) -> torch.Tensor:
        total = torch.zeros_like(error)
        left = []
        for axes, weight in zip(steps, weights, strict=True):
            size = 2 * len(axes) + 1
            error = _cross_sum(error, axes).mul_(2 / size).sub_(1).clamp_min_(0)
            if not error.any():
                break
            total.add_(error, alpha=weight)
            left.append(error > 0)
        ctx.left, ctx.steps, ctx.weights = left, steps, weights
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        passed = torch.zeros_like(gradient)
        for left, axes, weight in reversed(list(zip(ctx.left, ctx.steps, ctx.weights, strict=False))):
            passed = passed.add_(gradient, alpha=weight).mul_(left)
            passed = _cross_sum(passed, axes).mul_(2 / (2 * len(axes) + 1))
        return passed, None, None


def _cross_sum(x: torch.Tensor, axes: Sequence[int]) -> torch.Tensor:
    """Each voxel plus its two neighbours along each of the axes; its own adjoint. A new tensor."""
    total = x.clone()
    for axis in axes:
        inner = x.shape[axis] - 1
        total.narrow(axis, 1, inner).add_(x.narrow(axis, 0, inner))
        total.narrow(axis, 0, inner).add_(x.narrow(axis, 1, inner))
    return total


def _wrong_box(error: torch.Tensor) -> tuple[slice, ...]:
    """The box around all errors above 0.5, with a margin of two voxels: all that the eroded errors depend on.

    A mean above 0.5 needs one of these errors, so the first erosion leaves nothing farther than one voxel from them, at
    most a third there, and later ones add nothing.
    """
    wrong = (error.detach() > 0.5).flatten(0, 1).any(0)
    box = [slice(None), slice(None)]
    for axis in range(wrong.ndim):
        others = [other for other in range(wrong.ndim) if other != axis]
        found = (wrong.amax(others) if others else wrong).nonzero()
        ends = (int(found[0]), int(found[-1])) if len(found) else (0, 0)
        box.append(slice(max(ends[0] - 2, 0), ends[1] + 3))
    return tuple(box)
