"""A rule called as a network, so that it runs, is saved and is scored as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from pipeline.baselines.brightness import METHODS
from pipeline.baselines.heart import heart
from pipeline.baselines.lungs import lungs
from pipeline.errors import DataError, Problem

CLASSES = {"heart": 4, "lungs": 2}


class Baseline(nn.Module):
    """Label whole volumes by a rule, without parameters and without training.

    Args:
        organ: "heart" (background, RV, MYO, LV) or "lungs" (background, lungs).
        method: "otsu", "region_growing", "watershed" or "gaussian_mixture".
        spacing: mm of each axis of the volumes that it is called with. Where the last one is not positive (the
            slices keep their own distance), 5 mm are assumed; it matters to nothing but the watershed of the lungs and
            the depth from which their regions grow.

    Raises:
        DataError: no such organ or method.
    """

    def __init__(self, organ: str, *, method: str = "otsu", spacing: Sequence[float] = (1.5, 1.5, -1.0)) -> None:
        super().__init__()
        if organ not in CLASSES:
            raise DataError(Problem("organ", "heart or lungs", repr(organ), "Choose one of these"))
        if method not in METHODS:
            raise DataError(Problem("method", "one of " + ", ".join(METHODS), repr(method), "Choose one of these"))
        self.organ = organ
        self.method = method
        x, y, z = (float(mm) for mm in spacing)
        self.spacing = (x, y, z if z > 0 else 5.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One-hot labels (B, classes, X, Y, Z), float32, of the first channel of `x` (B, C, X, Y, Z)."""
        labels = [torch.from_numpy(self._labels(volume[0].float().cpu().numpy())) for volume in x]
        onehot = nn.functional.one_hot(torch.stack(labels).long(), CLASSES[self.organ])
        return onehot.movedim(-1, 1).to(x.device, torch.float32)

    def _labels(self, image: np.ndarray) -> np.ndarray:
        if self.organ == "heart":
            return heart(image, method=self.method, spacing=self.spacing[:2])
        return lungs(image, method=self.method, spacing=self.spacing).astype(np.uint8)
