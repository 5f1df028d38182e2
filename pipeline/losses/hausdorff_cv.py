"""Hausdorff loss by convolution with balls (Karimi and Salcudean): errors far from the other mask weigh more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len

from pipeline.losses.common import SegmentationLoss, axis_spacing


class HausdorffCVLoss(SegmentationLoss):
    """Mean over the voxels of a sum over the radii r, for each channel:

        r^alpha [ (f(1 - B*p) + f(B*q)) (p - q)^2 q + (f(B*p) + f(1 - B*q)) (p - q)^2 p ]

    p is the truth, q the prediction, B* the mean over a ball of radius r, f(x) = max(0, x - 0.5). What the prediction
    adds (its weight is q) counts the more, the fewer voxels of the truth and the more of the prediction are around it;
    what it leaves out the other way round. From Karimi and Salcudean, arXiv:1904.10030. Beyond the border of the
    volume there is background. The gradient goes through both factors.

    Empty and full channels have a loss and a gradient like any other. The value grows with r^alpha: use it beside
    DiceCELoss, after a warm-up.

    Convolutions are products in the frequency domain, one transform back for each radius and mask: measured at
    128x128x16 that is cheaper than a grouped convolution at every radius above one voxel.

    Args:
        alpha: exponent of the radius.
        radii: mm.
        spacing: mm, one number or one for each axis: balls are round in mm. A ball that is thinner than the spacing of
            an axis is flat along it, as along an axis of one voxel.
        **kwargs: SegmentationLoss's.
    """

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        radii: Sequence[float] = (3, 6, 9, 12, 15, 18),
        spacing: Sequence[float] | float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not radii or min(radii) <= 0:
            raise ValueError(f"radii must be positive numbers (mm), got {list(radii)}")
        self.alpha = alpha
        self.radii = [float(r) for r in radii]
        self.spacing = spacing
        self._kernels: dict[tuple, list[torch.Tensor]] = {}

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss of logits (B, C, H, W[, D]) against labels (B, 1, ...) or channels (B, C, ...)."""
        p = self.counted(self.one_hot(input, target))
        q = self.counted(self.probabilities(input))
        in_p, out_p = self._thresholded(p)
        in_q, out_q = self._thresholded(q)
        values = (p - q) ** 2 * (q * (out_p + in_q) + p * (in_p + out_q))
        return self.reduce(values.mean(self.dims(values), keepdim=True))

    def _thresholded(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """sum over r of r^alpha f(B*x), and of r^alpha f(1 - B*x)."""
        size = self._padded(x.shape[2:])
        return _BallMeans.apply(x, self._spectra(x, size), [radius**self.alpha for radius in self.radii], size)

    def _padded(self, shape: Sequence[int]) -> list[int]:
        """A good length for the transform of each axis: no ball reaches around its ends."""
        reach = [min(r, n - 1) for n, r in zip(shape, _reach(max(self.radii), self._steps(shape)), strict=True)]
        return [next_fast_len(n + r, real=True) for n, r in zip(shape, reach, strict=True)]

    def _steps(self, shape: Sequence[int]) -> list[float]:
        steps = axis_spacing(self.spacing, len(shape))
        return [step if n > 1 else np.inf for n, step in zip(shape, steps, strict=True)]

    def _spectra(self, x: torch.Tensor, size: list[int]) -> list[torch.Tensor]:
        """The transforms of the balls: real, since balls are symmetric. Kept for the next call."""
        shape = tuple(x.shape[2:])
        key = (shape, x.dtype, x.device)
        if key not in self._kernels:
            self._kernels = {key: [_spectrum(r, self._steps(shape), shape, size).to(x) for r in self.radii]}
        return self._kernels[key]


class _BallMeans(torch.autograd.Function):
    """sum_r weight_r max(0, B_r*x - 0.5) and sum_r weight_r max(0, 0.5 - B_r*x) of x (B, C, ...).

    Written by hand, since the gradients of all radii add up before the one transform back.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, spectra: list[torch.Tensor], weights: list[float], size: list[int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        axes = tuple(range(2, x.ndim))
        inner = (..., *(slice(n) for n in x.shape[2:]))
        spectrum = torch.fft.rfftn(x, s=size, dim=axes)
        above, below, signs = torch.zeros_like(x), torch.zeros_like(x), []
        for kernel, weight in zip(spectra, weights, strict=True):
            excess = torch.fft.irfftn(spectrum * kernel, s=size, dim=axes)[inner] - 0.5
            above.add_(excess.clamp_min(0), alpha=weight)
            below.sub_(excess.clamp_max(0), alpha=weight)
            if ctx.needs_input_grad[0]:
                signs.append(excess > 0)
        ctx.signs, ctx.spectra, ctx.weights, ctx.size = signs, spectra, weights, size
        return above, below

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, above: torch.Tensor, below: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        axes = tuple(range(2, above.ndim))
        inner = (..., *(slice(n) for n in above.shape[2:]))
        total, below = None, -below
        for sign, kernel, weight in zip(ctx.signs, ctx.spectra, ctx.weights, strict=True):
            passed = torch.fft.rfftn(torch.where(sign, above, below), s=ctx.size, dim=axes)
            passed = passed.mul_(kernel * weight)
            total = passed if total is None else total.add_(passed)
        return torch.fft.irfftn(total, s=ctx.size, dim=axes)[inner], None, None, None


def ball(radius: float, spacing: Sequence[float]) -> np.ndarray:
    """The share of each voxel in a ball of `radius` mm around a voxel's centre: float64 of odd size, sum 1.

    Args:
        spacing: mm along each axis; np.inf for a ball that is flat along it.
    """
    reach = _reach(radius, spacing)
    offsets = np.meshgrid(
        *(np.arange(-n, n + 1) * (step if n else 0.0) for n, step in zip(reach, spacing, strict=True)), indexing="ij"
    )
    inside = sum(offset**2 for offset in offsets) <= radius**2 * (1 + 1e-6)
    return inside / inside.sum()


def _reach(radius: float, spacing: Sequence[float]) -> list[int]:
    """How many voxels a ball extends from its middle along each axis."""
    return [int(radius / step + 1e-6) for step in spacing]


def _spectrum(radius: float, spacing: Sequence[float], shape: Sequence[int], size: Sequence[int]) -> torch.Tensor:
    """The transform of a ball with its centre at the origin of a periodic grid of `size`.

    Offsets that leave the volume from every one of its voxels are dropped; the others keep their share.
    """
    kernel = torch.from_numpy(ball(radius, spacing))
    middle = [n // 2 for n in kernel.shape]
    reach = [min(m, n - 1) for m, n in zip(middle, shape, strict=True)]
    kernel = kernel[tuple(slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))]
    grid = torch.zeros(tuple(size), dtype=torch.float64)
    grid[tuple(slice(n) for n in kernel.shape)] = kernel
    grid = grid.roll([-r for r in reach], tuple(range(len(reach))))
    return torch.fft.rfftn(grid).real
