"""The lungs in CT from darkness and place alone."""

from __future__ import annotations

import numpy as np

from pipeline.baselines.brightness import gaussian_mixture, otsu, region_growing, watershed

CLOSING = 6.0  # mm: vessels and dense tissue this wide inside the lungs are taken in
SHARE = 0.2  # of the largest dark part: smaller ones are bowel, stomach, oesophagus


def lungs(image: np.ndarray, *, method: str, spacing: tuple[float, float, float]) -> np.ndarray:
    """Mask the lungs of one chest CT.

    Air and lung are the darker of two kinds of matter. What is connected with the sides of the image is the air around
    the patient; of the rest the largest part and those at least a fifth as large are the lungs, with their vessels and
    the denser tissue between them taken in (closing by 6 mm in plane). The trachea's air belongs to them.

    Args:
        image: (X, Y, Z), Hounsfield units or any linear scale of them; slices along the last axis.
        method: "otsu", "gaussian_mixture", "watershed", or "region_growing" from the innermost of Otsu's lungs.
        spacing: mm of each axis.

    Returns:
        bool mask of `image`'s shape; empty where nothing dark lies inside.
    """
    negative, everywhere = -image.astype(np.float32), np.ones(image.shape, bool)
    if method == "gaussian_mixture":
        dark = gaussian_mixture(negative, everywhere, classes=2)
    elif method == "watershed":
        dark = watershed(negative, everywhere, classes=2, spacing=spacing)
    else:
        dark = otsu(negative, everywhere, classes=2)
    inside = _largest(_enclosed(dark))
    if method == "region_growing" and inside.any():
        inside = region_growing(negative, _innermost(inside, spacing), region=inside | ~dark)
    return _closed(inside, spacing)


def _enclosed(dark: np.ndarray) -> np.ndarray:
    """What of `dark` is not connected with the four sides of the slices."""
    from scipy import ndimage

    number, _ = ndimage.label(dark)
    sides = np.concatenate([number[[0, -1]].ravel(), number[:, [0, -1]].ravel()])
    return dark & ~np.isin(number, np.unique(sides[sides > 0]))


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part and those at least `SHARE` as large."""
    from scipy import ndimage

    number, _ = ndimage.label(mask)
    sizes = np.bincount(number.ravel())
    sizes[0] = 0
    return (sizes >= max(1.0, SHARE * sizes.max()))[number]


def _innermost(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """The core of each connected part: what is at least 0.8 as deep in it as its deepest voxel."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(mask, sampling=spacing)
    number, parts = ndimage.label(mask)
    deepest = np.concatenate([[np.inf], ndimage.maximum(depth, number, np.arange(1, parts + 1))])
    return depth >= 0.8 * deepest[number]


def _closed(mask: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Each slice closed by a disc and its holes filled, without joining beyond the image's edge."""
    from scipy import ndimage
    from skimage.morphology import isotropic_closing

    rim = [int(np.ceil(CLOSING / mm)) + 1 for mm in spacing[:2]]
    out = np.zeros_like(mask)
    for z in np.flatnonzero(mask.any(axis=(0, 1))):
        padded = np.pad(mask[..., z], [(n, n) for n in rim])
        closed = isotropic_closing(padded, CLOSING, spacing=spacing[:2])
        filled = ndimage.binary_fill_holes(closed | padded)
        out[..., z] = filled[rim[0] : -rim[0], rim[1] : -rim[1]]
    return out
