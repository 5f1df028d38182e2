"""Hausdorff loss by distance transforms (Karimi and Salcudean): MONAI's, many times faster and in millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.data import MetaTensor

from pipeline.losses.common import SegmentationLoss
from pipeline.losses.distance_field import check_field, distance_field

CHECKED_CALLS = 8  # given fields are checked in the first calls; the check costs a third of the cheapest loss


class HausdorffDTLoss(SegmentationLoss):
    """Mean over the voxels of (p - q)^2 (d_p^alpha + d_q^alpha), for each channel.

    p is the truth, q the prediction; d_p and d_q are the distances in mm to the boundary of p and of q > 0.5, constants
    of the gradient. From Karimi and Salcudean, Reducing the Hausdorff Distance in Medical Image Segmentation with
    Convolutional Neural Networks, arXiv:1904.10030. At spacing 1 it equals monai.losses.HausdorffDTLoss (1.6.1).

    Where the truth is empty or full, d_p is 0 (unless a given field knows boundaries outside the patch), and d_q is 0
    where the prediction is: with both, or with an empty truth and no prediction above 0.5, there is no gradient. The
    value grows with the patch and with spacing^alpha. So use it beside DiceCELoss, after a warm-up.

    Args:
        alpha: exponent of the distances; larger ones weigh the farthest errors more.
        include_background: whether the first of several channels counts; not by default, as in MONAI's.
        spacing: mm, one number or one for each axis.
        two_sided: False leaves out d_q (the one-sided form of the paper). With a given truth field no distance
            transform is left.
        **kwargs: SegmentationLoss's.

    Attributes:
        truth_field: used where forward is given none; TruthFieldHandler sets it during training.
    """

    truth_field: torch.Tensor | None = None

    def __init__(
        self,
        alpha: float = 2.0,
        *,
        include_background: bool = False,
        spacing: Sequence[float] | float = 1.0,
        two_sided: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(include_background=include_background, **kwargs)
        self.alpha = alpha
        self.spacing = spacing
        self.two_sided = two_sided
        self._unchecked = CHECKED_CALLS

    def forward(
        self, input: torch.Tensor, target: torch.Tensor, truth_field: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The loss of logits (B, C, H, W[, D]) against labels (B, 1, ...) or channels (B, C, ...).

        Args:
            truth_field: distances to the truth's boundary in mm (see TruthDistanced), one channel for each channel of
                `input`, or for each that counts.

        Raises:
            ValueError: another number of axes, shapes that do not fit, or a field that is not the truth's.
        """
        if input.ndim not in (4, 5):
            raise ValueError(f"expected (B, C, H, W) or (B, C, H, W, D), got {tuple(input.shape)}")
        truth = self.counted(self.one_hot(input, target))
        pred = self.counted(self.probabilities(input))
        given = self.truth_field if truth_field is None else truth_field
        with torch.no_grad():
            weight = self._powers(truth) if given is None else self._given(given, truth) ** self.alpha
            if self.two_sided:
                weight = weight + self._powers(pred)
        error = pred - truth
        return self.reduce((error * error * weight).mean(self.dims(error), keepdim=True))

    def _powers(self, masks: torch.Tensor) -> torch.Tensor:
        """Distances to the power of alpha."""
        squares = distance_field(masks, self.spacing, squared=True)
        return squares if self.alpha == 2 else squares ** (self.alpha / 2)

    def _given(self, field: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """A given field, cut to the channels that count, on the truth's device and in its type."""
        if field.shape[1] == truth.shape[1] + 1:
            field = self.counted(field)
        if field.shape != truth.shape:
            raise ValueError(f"the truth field has shape {tuple(field.shape)}, the channels {tuple(truth.shape)}")
        field = field.as_tensor() if isinstance(field, MetaTensor) else field
        field = field.to(truth.device, truth.dtype)
        if self._unchecked > 0:
            self._unchecked -= 1
            check_field(field, truth, self.spacing)
        return field
