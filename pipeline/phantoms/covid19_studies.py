"""Scans and single slices of synthetic patients, as the COVID-19 collections hold them, and their NIfTI files."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from pipeline.phantoms.chest import Chest, draw_chest
from pipeline.phantoms.chest_scan import ChestScanner, Slice
from pipeline.phantoms.chest_torso import outlines
from pipeline.phantoms.scan import Grid

# Distance of the slices in mm, and the fewest and the most of them, by size and kind of scan.
SERIES = {
    "full": {"thin": ((3.0, 3.6), (60, 80)), "thick": ((5.0, 6.0), (40, 56)), "8 mm": ((8.0, 8.0), (28, 40))},
    "small": {"thin": ((8.0, 8.0), (20, 24)), "thick": ((10.0, 12.0), (14, 20)), "8 mm": ((8.0, 8.0), (20, 24))},
}
CT = Grid(shape=(512, 512, 400), spacing=(0.75, 0.75, 0.9))


@dataclass(frozen=True)
class Study:
    """One scan, each array (right to left, front to back, feet to head).

    Args:
        image: int16, HU.
        lungs, findings: uint8, as Slice has them.
        spacing: mm.
        origin: position of the first voxel in mm (left, posterior, superior), as a scanner gives it.
    """

    image: np.ndarray
    lungs: np.ndarray
    findings: np.ndarray
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]

    @property
    def infection(self) -> np.ndarray:
        """Ground glass and consolidation, uint8 0 and 1."""
        return np.isin(self.findings, (1, 2)).astype(np.uint8)


def patient(key: tuple[int, ...], *, severity: str, size: str) -> Chest:
    """The patient of a key, always the same."""
    return draw_chest(np.random.default_rng((*key, 1)), severity=severity, small=size == "small")


def scan_volume(chest: Chest, key: tuple[int, ...], *, size: str, series: str, circle: bool = False) -> Study:
    """A scan of the whole chest. The slices are made one by one, so that memory holds little but the result.

    Args:
        chest: the patient.
        key: seed of the grid and the noise.
        size: "full", "small" or "ct" (CT, whatever the series).
        series: "thin", "thick" or "8 mm": distance of the slices, see SERIES.
        circle: whether there is nothing beyond the round field of view.
    """
    generator = np.random.default_rng((*key, 2))
    grid = CT if size == "ct" else _grid(chest, generator, size=size, series=series)
    spare = grid.shape[2] * grid.spacing[2] - chest.torso.height
    bottom = -max(0.6 * spare, 0.5 * spare - 5.0) + 0.5 * grid.spacing[2]
    aside, behind = generator.uniform(-6.0, 6.0, size=2).tolist()
    centre = aside, behind + 8.0
    kernel = "sharp" if series == "thin" else "soft"
    noise, seed = float(generator.uniform(8.0, 20.0)), int(generator.integers(2**31))
    scanner = ChestScanner(
        chest, grid, bottom=bottom, centre=centre, kernel=kernel, noise=noise, seed=seed, circle=circle
    )
    image = np.empty(grid.shape, np.int16, order="F")
    lungs, findings = (np.empty(grid.shape, np.uint8, order="F") for _ in range(2))
    for index, part in enumerate(scanner.slices()):
        image[..., index] = np.rint(part.image)
        lungs[..., index], findings[..., index] = part.lungs, part.findings
    first = np.array([scanner.x[0, 0], scanner.y[0, 0], bottom])
    place = first + generator.uniform((-9.0, -190.0, -1300.0), (9.0, -110.0, -200.0))
    return Study(image, lungs, findings, spacing=grid.spacing, origin=tuple(round(float(v), 2) for v in place))


def scan_slice(chest: Chest, key: tuple[int, ...], *, pixels: int = 0, matrix: int = 0, shift: float = 0.0) -> Slice:
    """One slice through the infection, or through the middle of a healthy chest.

    Args:
        chest: the patient.
        key: seed of the place and the noise.
        pixels: height of a picture that is cropped to the lungs.
        matrix: instead of `pixels`: width and height of a picture of the whole chest.
        shift: mm above the place that the key gives.
    """
    generator = np.random.default_rng((*key, 3))
    z, thickness = _level(chest, generator) + shift, float(generator.uniform(1.0, 6.0))
    noise, seed = float(generator.uniform(6.0, 40.0)), int(generator.integers(2**31))
    kernel = "sharp" if generator.random() < 0.5 else "soft"
    if matrix:
        width = 2.06 * chest.torso.trunk[0] / matrix
        shape, centre = (matrix, matrix), (0.0, 8.0)
    else:
        (left, right), (front, back) = _lung_box(chest, z)
        width = (right - left) / pixels
        shape = pixels, max(16, round((back - front) / width))
        centre = 0.5 * (left + right), 0.5 * (front + back)
    grid = Grid(shape=(*shape, 1), spacing=(width, width, thickness))
    scanner = ChestScanner(chest, grid, bottom=z, centre=centre, kernel=kernel, noise=noise, seed=seed)
    return scanner.slice(0)


def save_nifti(volume: np.ndarray, study: Study | None, path: str | os.PathLike, *, axes: str = "LPS") -> None:
    """Write NIfTI.

    Args:
        volume: (right to left, front to back, feet to head), or a stack of slices.
        study: whose grid it lies on; None for a stack, whose geometry says nothing (unit spacing).
        path: the file.
        axes: directions of the stored axes, e.g. "LPI" for slices from head to feet.
    """
    import nibabel as nib

    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    if study is not None:
        affine[:3, :3] *= study.spacing
        affine[:3, 3] = (-study.origin[0], -study.origin[1], study.origin[2])
    image = nib.Nifti1Image(volume, affine)
    orientations = [nib.orientations.axcodes2ornt(codes) for codes in ("LPS", axes)]
    image = image.as_reoriented(nib.orientations.ornt_transform(*orientations))
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)


def _grid(chest: Chest, generator: np.random.Generator, *, size: str, series: str) -> Grid:
    distances, (fewest, most) = SERIES[size][series]
    distance = round(float(generator.uniform(*distances)), 2)
    slices = int(np.clip(np.ceil((chest.torso.height + 35.0) / distance), fewest, most))
    matrix = 256 if size == "full" else int(generator.choice([64, 68, 72]))
    width = round(float(generator.uniform(1.92, 2.1)) * chest.torso.trunk[0] / matrix, 4)
    return Grid(shape=(matrix, matrix, slices), spacing=(width, width, distance))


def _level(chest: Chest, generator: np.random.Generator) -> float:
    """Height of the middle of one of the larger lesions, well inside the lungs."""
    height = chest.torso.height
    low, high = 0.32 * height, 0.78 * height
    if not chest.lesions:
        return float(generator.uniform(0.35, 0.7) * height)
    large = sorted(chest.lesions, key=lambda lesion: -lesion.volume)[: max(1, len(chest.lesions) // 3)]
    chosen = large[int(generator.integers(len(large)))]
    return float(np.clip(chosen.centre[2] + 0.2 * chosen.half[2] * generator.normal(), low, high))


def _lung_box(chest: Chest, z: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Left and right end, front and back of what a picture cropped to the lungs shows, in mm."""
    x, y = np.arange(-200.0, 200.0, 2.0)[:, None], np.arange(-150.0, 150.0, 2.0)[None]
    parts = outlines(chest.torso, x, y, z)
    column, row = np.nonzero(np.minimum(parts["right"], parts["left"]) < 0.0)
    return (x[column.min(), 0] - 9.0, x[column.max(), 0] + 9.0), (y[0, row.min()] - 12.0, y[0, row.max()] + 16.0)
