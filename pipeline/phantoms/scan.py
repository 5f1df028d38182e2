"""How a synthetic heart looks in cine MRI: the body around it, partial volume, coil bias, breath-hold shifts, noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.phantoms.heart import Heart, outlines

# Brightness of balanced steady-state images, blood 1: fat, vessels and stomach are as bright as the blood pools, and
# liver and muscle as dark as the myocardium, so that no window of intensities separates a ventricle.
LUNG, MUSCLE, LIVER, MYO, BLOOD, FAT = 0.07, 0.3, 0.36, 0.33, 1.0, 1.0

# Bright blobs: how many, where (across, down, and along the axis from here to the apex), half axes (in the plane, along
# the axis), brightness, whether in the belly, whether hollow.
BLOBS = (
    (14, (-75.0, 95.0), (-95.0, 25.0), -10.0, (2.0, 5.0), (8.0, 30.0), (0.7, 1.1), False, False),  # vessels in the lung
    (3, (-30.0, 75.0), (70.0, 150.0), 0.0, (14.0, 30.0), (25.0, 60.0), (0.8, 1.1), True, True),  # stomach and bowel
    (9, (-80.0, 40.0), (55.0, 140.0), -10.0, (2.5, 8.0), (10.0, 35.0), (0.6, 1.0), True, False),  # vessels in the liver
)


@dataclass(frozen=True)
class Grid:
    """The volume's grid: shape in voxels, spacing in mm."""

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]


class Scanner:
    """One patient in the scanner: what does not change from frame to frame is drawn once.

    Args:
        heart: the patient's heart.
        grid: the grid of every frame.
        generator: source of randomness.
        first_depth: depth in mm of the first slice, in the heart's coordinate.
    """

    def __init__(self, heart: Heart, grid: Grid, generator: np.random.Generator, *, first_depth: float) -> None:
        self.heart, self.grid, self.generator = heart, grid, generator
        self.depths = first_depth + grid.spacing[2] * np.arange(grid.shape[2])
        self.centre = generator.uniform(-22.0, 22.0, size=2)
        self.shifts = np.clip(generator.normal(0.0, 1.3, size=(grid.shape[2], 2)), -4.0, 4.0)
        self.levels = generator.uniform(0.9, 1.1, size=4)
        self.trunk = generator.uniform(0.92, 1.15) * np.array([108.0, 175.0])
        self.blobs = _draw_blobs(generator, heart.extent)
        self.papillary = generator.uniform(0.4, 0.75, size=2), generator.uniform(0.15, 0.24, size=2)
        self.waves = generator.uniform(0.0, 2.0 * np.pi, size=6)
        self.bias = _bias(grid.shape[:2], generator)
        self.texture = _texture(grid, generator)
        self.body = [self._body(index) for index in range(grid.shape[2])]

    def frame(self, squeeze: float) -> tuple[np.ndarray, np.ndarray]:
        """Image (float32, blood about 1) and label (uint8, ACDC's numbers) at a phase between 0 (ED) and 1 (ES)."""
        slices = [self._slice(index, squeeze) for index in range(self.grid.shape[2])]
        image = np.stack([image for image, _ in slices], axis=-1)
        noise = self.generator.normal(0.0, 0.025, size=(2, *image.shape))
        image = np.hypot(image + noise[0], noise[1])  # the magnitude of a complex signal: Rician
        return image.astype(np.float32), np.stack([label for _, label in slices], axis=-1)

    def _position(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """In-plane positions in mm from the heart's axis."""
        rows, columns = self.grid.shape[:2]
        x = (np.arange(rows) - (rows - 1) / 2.0) * self.grid.spacing[0]
        y = (np.arange(columns) - (columns - 1) / 2.0) * self.grid.spacing[1]
        shift = self.centre + self.shifts[index]
        return np.meshgrid(x - shift[0], y - shift[1], indexing="ij")

    def _body(self, index: int) -> np.ndarray:
        x, y = self._position(index)
        depth, waves = self.depths[index], self.waves
        image = np.full(x.shape, 0.02)
        angle = np.arctan2(y - 42.0, x - 12.0)
        girth = _oval(x - 12.0, y - 42.0, *self.trunk) + 5.0 * np.sin(3.0 * angle + waves[0] + depth / 60.0)
        fat = 15.0 + 8.0 * np.sin(2.0 * angle + waves[1] + depth / 40.0)
        self._paint(image, girth, FAT * self.levels[3])
        self._paint(image, girth + fat, MUSCLE)
        self._paint(image, girth + fat + 9.0, LUNG)
        lid = 38.0 - 0.1 * depth + 0.12 * x + 8.0 * np.sin(x / 35.0 + waves[2])  # the diaphragm
        self._paint(image, np.maximum(girth + fat + 6.0, lid - y), LIVER)
        self._paint(image, np.maximum(girth + fat + 6.0, _ellipsoid(x + 50.0, y + 6.0, 22.0, 60.0)), 0.9 * FAT)
        self._paint(image, _ellipsoid(x - 62.0, y - 52.0, 11.0, 11.0), BLOOD)  # descending aorta
        for cx, cy, cz, a, b, c, value, low in self.blobs:
            rest = 1.0 - ((depth - cz) / c) ** 2
            if rest > 0.0:
                blob = _ellipsoid(x - cx, y - cy, a * np.sqrt(rest), b * np.sqrt(rest))
                inside = np.maximum(blob, girth + fat + 4.0)
                self._paint(image, np.maximum(inside, lid + 3.0 - y) if low else inside, value)
        return image

    def _slice(self, index: int, squeeze: float) -> tuple[np.ndarray, np.ndarray]:
        x, y = self._position(index)
        parts = outlines(self.heart, x, y, depth=self.depths[index], squeeze=squeeze)
        image = self.body[index].copy()
        self._paint(image, np.minimum(parts["RV_EPI"], parts["EPI"]) - 5.0, 0.85 * FAT, soft=4.0)  # epicardial fat
        self._paint(image, parts["ATRIA"] - 2.5, MYO)
        self._paint(image, parts["ATRIA"], BLOOD * self.levels[1])
        self._paint(image, parts["RV_EPI"], MYO)
        self._paint(image, parts["RV"], BLOOD * self.levels[1])
        self._paint(image, parts["EPI"], MYO * self.levels[2])
        self._paint(image, parts["LV"], BLOOD * self.levels[0])
        for direction, (share, size) in enumerate(zip(*self.papillary, strict=True)):
            self._paint(image, self._papillary(parts["LV"], x, y, direction, share, size), 1.1 * MYO, soft=2.0)
        label = np.zeros(x.shape, dtype=np.uint8)
        label[parts["RV"] < 0.0] = 1
        label[parts["EPI"] < 0.0] = 2
        label[parts["LV"] < 0.0] = 3
        image = ndimage.gaussian_filter(image * self.texture[index], 0.6)
        return image * self.bias, label

    def _papillary(
        self, cavity: np.ndarray, x: np.ndarray, y: np.ndarray, direction: int, share: float, size: float
    ) -> np.ndarray:
        """A dark muscle inside the cavity, away from the septum; part of the cavity's label, as in ACDC."""
        if not np.any(cavity < -6.0):
            return np.full(x.shape, np.inf)
        radius = -float(cavity.min())
        angle = self.heart.septum + np.pi + (1.1 if direction else -1.1)
        u, v = x - share * radius * np.cos(angle), y - share * radius * np.sin(angle)
        return np.maximum(_ellipsoid(u, v, size * radius, size * radius), cavity + 1.0)

    def _paint(self, image: np.ndarray, distance: np.ndarray, value: float, *, soft: float | None = None) -> None:
        """Cover what lies inside an outline; a voxel on the border gets the share of it that is inside."""
        share = np.clip(0.5 - distance / (soft or self.grid.spacing[0]), 0.0, 1.0)
        image += share * (value - image)


def _draw_blobs(generator: np.random.Generator, extent: float) -> list[tuple]:
    """Ellipsoids: centre and half axes in mm (from the heart's axis at the base), brightness, whether in the belly."""
    between, blobs = generator.uniform, []
    for count, across, down, above, inplane, along, brightness, low, hollow in BLOBS:
        for _ in range(count):
            place = between(*across), between(*down), between(above, extent)
            half = *between(*inplane, size=2), between(*along)
            blobs.append((*place, *half, BLOOD * between(*brightness), low))
            if hollow:
                ring = tuple(0.55 * value for value in half)
                blobs.append((*place, *ring, generator.choice([LUNG, MUSCLE, MYO, FAT]), low))
    return blobs


def _bias(shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
    """A smooth factor around 1, between about 0.6 and 1.6, as of a surface coil."""
    u, v = np.meshgrid(*(np.linspace(-1.0, 1.0, size) for size in shape), indexing="ij")
    weights = generator.uniform(-0.25, 0.25, size=5)
    return np.exp(sum(w * term for w, term in zip(weights, (u, v, u * v, u**2, v**2), strict=True)))


def _texture(grid: Grid, generator: np.random.Generator) -> np.ndarray:
    """A factor for each slice and voxel with grain of 3 and of 12 mm; slices first."""
    white = generator.normal(size=(2, grid.shape[2], *grid.shape[:2])).astype(np.float32)
    total = np.ones(white.shape[1:], dtype=np.float32)
    for field, grain, strength in zip(white, (3.0, 12.0), (0.06, 0.05), strict=True):
        sigma = grain / 2.0 / grid.spacing[0]
        smooth = ndimage.gaussian_filter(field, (0.0, sigma, sigma))
        total += strength * smooth / max(float(smooth.std()), 1e-6)
    return np.clip(total, 0.5, 1.5)


def _ellipsoid(u: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
    return (np.hypot(u / a, v / b) - 1.0) * min(a, b)


def _oval(u: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
    """A superellipse: straighter sides than an ellipse, as a trunk has."""
    return ((np.abs(u / a) ** 2.6 + np.abs(v / b) ** 2.6) ** (1.0 / 2.6) - 1.0) * min(a, b)
