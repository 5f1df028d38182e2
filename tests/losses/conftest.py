"""What the tests of the Hausdorff losses compare with: distances by trying every pair of voxels, and round objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def distances_by_pairs():
    """(mask, spacing) -> for each voxel the distance to the nearest voxel on the other side, in float64."""

    def compute(mask, spacing):
        mask = np.asarray(mask, bool)
        if mask.all() or not mask.any():
            return np.zeros(mask.shape)
        points = np.stack(np.indices(mask.shape), -1).reshape(-1, mask.ndim) * np.asarray(spacing, float)
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        distances[mask.ravel()[:, None] == mask.ravel()[None]] = np.inf
        return distances.min(1).reshape(mask.shape)

    return compute


@pytest.fixture(scope="session")
def balls():
    """(size, radii, centre) -> label map (1, *size) of nested balls, the innermost with the highest number."""

    def draw(size, radii, centre=None):
        centre = [(n - 1) / 2 for n in size] if centre is None else centre
        squares = sum((axis - c) ** 2 for axis, c in zip(np.indices(size), centre, strict=True))
        label = sum((squares <= radius**2).astype(np.uint8) for radius in radii)
        return torch.from_numpy(label)[None]

    return draw
