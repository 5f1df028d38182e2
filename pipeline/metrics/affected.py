"""How much of an organ, and of each of its two sides, a lesion takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metrics.sides import LEFT, RIGHT, split_sides

SIDES = {"left": LEFT, "right": RIGHT}
NO_SIDES = "left and right cannot be told apart"


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a mask lie.

    Args:
        spacing: mm along each axis.
        affine: (4, 4) voxel -> RAS.
        has_geometry: whether these are millimetres; sizes are percent of the picture otherwise.
    """

    spacing: Sequence[float]
    affine: np.ndarray
    has_geometry: bool = True

    def unit(self) -> str:
        """What sizes are given in: "ml" or "percent"."""
        return "ml" if self.has_geometry else "percent"

    def voxel(self, shape: Sequence[int]) -> float:
        """Size of one voxel in that unit."""
        return math.prod(self.spacing) / 1000 if self.has_geometry else 100 / math.prod(shape)


def affected(lesion: np.ndarray, organ: np.ndarray, grid: Grid, *, name: str = "organ") -> dict[str, Any]:
    """How much of an organ a lesion takes, on both sides and on each.

    Args:
        lesion, organ: masks (X, Y, Z). What is lesion counts as organ too, since a mask may number it as lesion only.
        name: of the organ, for the reason.

    Returns:
        "both", "left", "right": {"size" (ml, or percent of the picture), "percent" (affected)}, None where unknown: no
        organ beside the lesion, no two sides, or a picture, which does not say where the patient's left is. "reason"
        says which, "" where all are known.
    """
    whole = organ | lesion
    voxel = grid.voxel(organ.shape)
    found: dict[str, Any] = {"both": None, **dict.fromkeys(SIDES), "reason": ""}
    if not (organ & ~lesion).any():
        return found | {"reason": f"no {name} in the mask"}
    found["both"] = _share(lesion, whole, voxel)
    sides = split_sides(whole, grid.spacing, grid.affine) if grid.has_geometry else None
    if sides is None:
        return found | {"reason": NO_SIDES}
    return found | {side: _share(lesion & (sides == number), sides == number, voxel) for side, number in SIDES.items()}


def _share(lesion: np.ndarray, whole: np.ndarray, voxel: float) -> dict[str, float]:
    size = int(whole.sum())
    return {"size": size * voxel, "percent": 100 * int(lesion.sum()) / size}
