"""The ventricles and the myocardium of short-axis cine MRI from brightness and shape alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from pipeline.baselines.brightness import gaussian_mixture, otsu, region_growing, watershed

RV, MYO, LV = 1, 2, 3
REACH = 75.0  # mm around the middle of the image in which the heart is looked for
WALL = 9.0  # mm of myocardium around the left ventricle
SMALLEST = 80.0  # mm2 of a blood pool in one slice


@dataclass
class _Pool:
    """One bright area in one slice."""

    slice: int
    centre: np.ndarray  # mm in plane
    area: float  # mm2
    roundness: float  # 1 for a disc
    mask: np.ndarray


def heart(image: np.ndarray, *, method: str, spacing: tuple[float, float]) -> np.ndarray:
    """Label the heart of one volume: 1 right ventricle, 2 myocardium, 3 left ventricle.

    Blood is the brightest of three kinds of tissue within 75 mm of the image's middle. The left ventricle is the pool
    that is round and lies at the same place through the slices; its convex hull takes in the papillary muscles. The
    right ventricle is the large pool beside it, on the side where such pools lie in most slices. The myocardium is what
    is not blood within 9 mm of the left ventricle. Slices in which no pool fits stay empty.

    Args:
        image: (X, Y, Z), slices along the last axis.
        method: "otsu", "gaussian_mixture", "watershed", or "region_growing" from the core of Otsu's ventricles.
        spacing: mm in plane.

    Returns:
        uint8 labels of `image`'s shape; all 0 where nothing is bright.
    """
    from scipy import ndimage

    image = ndimage.gaussian_filter(image, (0.5, 0.5, 0))
    region = np.broadcast_to(_disc(image.shape[:2], spacing)[..., None], image.shape)
    slices = range(image.shape[2])
    if method == "gaussian_mixture":
        return _anatomy(gaussian_mixture(image, region, classes=3), spacing)
    if method == "watershed":
        parts = [watershed(image[..., z], region[..., z], classes=3, spacing=spacing) for z in slices]
        return _anatomy(np.stack(parts, axis=2), spacing)
    first = _anatomy(otsu(image, region, classes=3), spacing)
    if method == "otsu":
        return first
    grown = np.zeros(image.shape, bool)
    for ventricle in (LV, RV):
        core = ndimage.binary_erosion(first == ventricle, np.ones((3, 3, 1)), iterations=2)
        for z in slices:
            grown[..., z] |= region_growing(image[..., z], core[..., z], region=region[..., z])
    return _anatomy(grown, spacing)


def _anatomy(blood: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Labels from a mask of blood."""
    from scipy import ndimage

    labels = np.zeros(blood.shape, np.uint8)
    pools = [pool for z in range(blood.shape[2]) for pool in _pools(blood[..., z], z, spacing)]
    middle = np.array([(n - 1) / 2 * mm for n, mm in zip(blood.shape, spacing, strict=False)])
    left = _left(pools, middle)
    right = _right(pools, left, spacing)
    for z, pool in left.items():
        cavity = _hull(pool.mask)
        beside = right[z].mask & ~cavity if z in right else np.zeros_like(cavity)
        distance = ndimage.distance_transform_edt(~cavity, sampling=spacing)
        wall = (distance <= WALL) & ~cavity & ~beside & ~ndimage.binary_opening(blood[..., z] & ~cavity)
        labels[..., z][wall] = MYO
        labels[..., z][ndimage.binary_fill_holes(beside)] = RV
        labels[..., z][cavity] = LV
    return labels


def _pools(blood: np.ndarray, z: int, spacing: tuple[float, float]) -> list[_Pool]:
    """The bright areas of a slice, thin connections between them cut."""
    from scipy import ndimage
    from skimage.measure import regionprops

    number, _ = ndimage.label(ndimage.binary_opening(blood, ndimage.generate_binary_structure(2, 1)))
    pools = []
    for found in regionprops(number, spacing=spacing):
        if found.area >= SMALLEST:
            disc = np.pi * (found.axis_major_length / 2) ** 2
            roundness = float(found.solidity * min(1.0, found.area / max(disc, 1e-6)))
            pools.append(_Pool(z, np.array(found.centroid), float(found.area), roundness, number == found.label))
    return pools


def _left(pools: list[_Pool], middle: np.ndarray) -> dict[int, _Pool]:
    """The left ventricle's pool of each slice: round, and where most slices have a round one."""

    def worth(pool: _Pool) -> float:
        near = np.exp(-((np.linalg.norm(pool.centre - middle) / 40) ** 2))
        size = min(1.0, pool.area / 600) * min(1.0, 2500 / pool.area)
        return pool.roundness**2 * near * size

    def best_of_slices(some: Iterable[_Pool]) -> dict[int, _Pool]:
        best = {pool.slice: pool for pool in sorted(some, key=worth)}
        return dict(sorted(best.items()))

    def through(pool: _Pool) -> float:
        """What the best pools of all slices within 12 mm are worth together."""
        near = (other for other in pools if np.linalg.norm(other.centre - pool.centre) <= 12)
        return sum(map(worth, best_of_slices(near).values()))

    if not pools:
        return {}
    axis = max(pools, key=through).centre
    round_ones = [pool for pool in pools if pool.roundness > 0.3 and pool.area <= 4500]
    return best_of_slices(pool for pool in round_ones if np.linalg.norm(pool.centre - axis) <= 15)


def _right(pools: list[_Pool], left: dict[int, _Pool], spacing: tuple[float, float]) -> dict[int, _Pool]:
    """The right ventricle's pool of each slice: large, 3 to 25 mm beside the left one, on the side of most slices."""
    from scipy import ndimage

    beside: list[tuple[_Pool, np.ndarray, float]] = []
    for z, ventricle in left.items():
        distance = ndimage.distance_transform_edt(~_hull(ventricle.mask), sampling=spacing)
        for pool in pools:
            if pool.slice == z and pool is not ventricle and pool.area <= 5000:
                gap = float(distance[pool.mask].min())
                side = pool.centre - ventricle.centre
                if 3 <= gap <= 25 and np.linalg.norm(side) <= 80:
                    beside.append((pool, side / np.linalg.norm(side), pool.area * np.exp(-gap / 15)))
    if not beside:
        return {}

    def agreed(side: np.ndarray) -> float:
        return sum(worth for _, other, worth in beside if side @ other > 0.7)

    direction = max((side for _, side, _ in beside), key=agreed)
    fitting = sorted((found for found in beside if found[1] @ direction > 0.5), key=itemgetter(2))
    return {pool.slice: pool for pool, _, _ in fitting}  # the last of a slice is worth most


def _disc(shape: tuple[int, ...], spacing: tuple[float, float]) -> np.ndarray:
    """Pixels within reach of the middle."""
    x, y = (np.arange(n) - (n - 1) / 2 for n in shape)
    return (x[:, None] * spacing[0]) ** 2 + (y[None] * spacing[1]) ** 2 <= REACH**2


def _hull(mask: np.ndarray) -> np.ndarray:
    from skimage.morphology import convex_hull_image

    return convex_hull_image(mask)
