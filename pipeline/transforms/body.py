"""Where in a CT scan the patient is, so that the air around is not computed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, SpatialCrop
from scipy import ndimage

from pipeline.intensity_scale import Scale, scale_of, window_ends
from pipeline.transforms.intensity import SCALE

TISSUE = -275.0  # HU, between fat and lung
ARCHIVE_WINDOW = (-1250.0, 250.0)  # what images in grey levels are taken to have been windowed by
COARSE_VOXELS = 96  # along the longest axis: a box needs no more
TABLE = 3  # coarse voxels; what is thinner (the table, a blanket) is cut off from the body before the largest is taken


class CropToBodyd(MapTransform):
    """Crop a CT volume to a box around the body: its table, clothes and the air outside are left out.

    It comes before any window, since tissue may well be out of it. What the numbers mean is told from the whole volume,
    and noted for `HounsfieldWindowd`.

    Args:
        keys: MetaTensors (C, X, Y, Z), the first channel counts. They are kept whole where no body is found (a slice
            cropped to the lungs, an image without air).
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            scale = scale_of(float(d[key].min()), float(d[key].max()))
            d[key] = SpatialCrop(roi_slices=list(body_box(d[key], scale)))(d[key])
            d[key].meta[SCALE] = scale.value
        return d


def body_box(image: torch.Tensor, scale: Scale) -> tuple[slice, ...]:
    """The box around the largest connected piece of tissue; all of the image where there is none.

    It is looked for on a coarse grid, after thin pieces have been eroded away.

    Args:
        image: (C, X, Y, Z), the first channel counts.
        scale: what its numbers mean; grey levels are taken to come from the window -1250..250 HU.
    """
    first = image[0]
    low, high = window_ends(scale, *ARCHIVE_WINDOW)
    threshold = low + (high - low) * (TISSUE - ARCHIVE_WINDOW[0]) / (ARCHIVE_WINDOW[1] - ARCHIVE_WINDOW[0])
    steps = [max(1, size // COARSE_VOXELS) for size in first.shape]
    coarse = np.asarray(first[tuple(slice(None, None, step) for step in steps)].cpu() > threshold)
    return _box(_largest(coarse), steps, first.shape)


def _largest(tissue: np.ndarray) -> np.ndarray:
    """The largest piece that survives an in-plane opening."""
    disc = ndimage.generate_binary_structure(2, 1)[..., None]
    opened = ndimage.binary_opening(tissue, disc, iterations=TABLE)
    pieces, count = ndimage.label(opened)
    if not count:
        return np.zeros_like(tissue)
    return pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))


def _box(mask: np.ndarray, steps: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """The fine box around a coarse mask, one coarse voxel and the opening's reach wider."""
    if not mask.any():
        return tuple(slice(0, size) for size in shape)
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, (coarse.start - 1) * step), min(size, (coarse.stop + 1) * step))
        for coarse, step, size in zip(found, steps, shape, strict=True)
    )
