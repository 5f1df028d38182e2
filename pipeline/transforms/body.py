"""Where in a CT scan the patient is, so that the air around is not computed."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

TISSUE = 0.3  # of the window -1250..250 HU mapped to -1..1: -275 HU, between fat and lung
COARSE_VOXELS = 96  # along the longest axis: a box needs no more
TABLE = 3  # coarse voxels; what is thinner (the table, a blanket) is cut off from the body before the largest is taken


def body_box(image: torch.Tensor) -> torch.Tensor:
    """A box around the body: its table, clothes and the air outside are left out.

    For MONAI's `CropForegroundd(select_fn="$transforms.body_box", ...)`. The largest connected piece of tissue is
    looked for on a coarse grid, after thin pieces have been eroded away.

    Args:
        image: (C, X, Y, Z), windowed to -1..1 by `HounsfieldWindowd`; the first channel counts.

    Returns:
        boolean (1, X, Y, Z), true inside the box; true everywhere where no body is found (a slice cropped to the
        lungs, an image without air).
    """
    first = image[0]
    steps = [max(1, size // COARSE_VOXELS) for size in first.shape]
    coarse = np.asarray(first[tuple(slice(None, None, step) for step in steps)].cpu() > TISSUE)
    inside = torch.zeros(first.shape, dtype=torch.bool)
    inside[_box(_largest(coarse), steps)] = True
    return inside[None]


def _largest(tissue: np.ndarray) -> np.ndarray:
    """The largest piece that survives an in-plane opening."""
    disc = ndimage.generate_binary_structure(2, 1)[..., None]
    opened = ndimage.binary_opening(tissue, disc, iterations=TABLE)
    pieces, count = ndimage.label(opened)
    if not count:
        return np.zeros_like(tissue)
    return pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))


def _box(mask: np.ndarray, steps: list[int]) -> tuple[slice, ...]:
    """The fine box around a coarse mask, one coarse voxel and the opening's reach wider."""
    if not mask.any():
        return (slice(None),) * mask.ndim
    box = []
    for found, step in zip(ndimage.find_objects(mask.astype(np.uint8))[0], steps, strict=True):
        box.append(slice(max(0, (found.start - 1) * step), (found.stop + 1) * step))
    return tuple(box)
