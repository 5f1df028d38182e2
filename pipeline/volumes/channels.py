"""How far the grids of a case's channels lie apart, and how far they may."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.volumes.grid import corner_displacement

GRID_MM = 0.01  # as far as the corners of two channels may lie apart: what rounding does to a header


def grid_distance(one: np.ndarray, other: np.ndarray, shape: Sequence[int]) -> float:
    """The largest distance in mm between equal corners of two grids, to the far side of their last voxels.

    Args:
        one, other: (4, 4) voxel -> mm.
        shape: of both; channels and time behind the third axis do not count.
    """
    return corner_displacement(one, other, tuple(length + 1 for length in (*shape, 1)[:3]))
