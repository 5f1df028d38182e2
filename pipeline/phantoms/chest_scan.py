"""How a synthetic chest looks in computed tomography: thick slices, blur, noise, the 8-bit window; and the truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from pipeline.phantoms.chest import Chest
from pipeline.phantoms.chest_tissues import Plane
from pipeline.phantoms.scan import Grid

OUTSIDE = -1024.0  # HU beyond the round field of view
FINEST = 2.6  # mm; a thicker slice is the mean of several planes, at least as far apart as pixels are
WINDOW = (-1250.0, 250.0)  # HU that 0 and 255 of an 8-bit picture stand for
LEFT_LUNG, RIGHT_LUNG = 1, 2
GROUND_GLASS, CONSOLIDATION, EFFUSION = 1, 2, 3


@dataclass(frozen=True)
class Slice:
    """One slice of a scan, each array (columns from the patient's right to the left, rows from front to back).

    Args:
        image: float32, HU.
        lungs: uint8, 1 left lung, 2 right lung, infections and the lungs' own vessels included.
        findings: uint8, 1 ground glass, 2 consolidation (both inside `lungs`), 3 pleural effusion (outside).
    """

    image: np.ndarray
    lungs: np.ndarray
    findings: np.ndarray


class ChestScanner:
    """One patient in the scanner. Any slice can be had by itself, always the same.

    Args:
        chest: the patient.
        grid: columns x rows x slices and their spacing in mm; slices are as thick as they are apart.
        bottom: height of the lowest slice's middle in the chest's coordinate, mm.
        centre: middle of the field of view (x, y) in mm.
        kernel: "soft", or "sharp" with crisp edges and grainy noise, as lung kernels have.
        noise: standard deviation in HU; 0 for none.
        seed: of the noise.
        circle: whether there is nothing beyond the round field of view.
    """

    def __init__(
        self,
        chest: Chest,
        grid: Grid,
        *,
        bottom: float,
        centre: tuple[float, float] = (0.0, 0.0),
        kernel: Literal["soft", "sharp"] = "soft",
        noise: float = 14.0,
        seed: int = 0,
        circle: bool = False,
    ) -> None:
        self.chest, self.grid, self.bottom = chest, grid, bottom
        self.kernel, self.noise, self.seed = kernel, noise, seed
        columns, rows = (np.arange(size) - (size - 1) / 2.0 for size in grid.shape[:2])
        self.x = (columns * grid.spacing[0] + centre[0]).astype(np.float32)[:, None]
        self.y = (rows * grid.spacing[1] + centre[1]).astype(np.float32)[None]
        self.pixel = float(np.mean(grid.spacing[:2]))
        half = 0.5 * min(grid.shape[:2])
        self.beyond = np.hypot(columns[:, None], rows[None]) > half if circle else None

    def slices(self) -> Iterator[Slice]:
        """All slices from the feet to the head."""
        return (self.slice(index) for index in range(self.grid.shape[2]))

    def slice(self, index: int) -> Slice:
        """One slice, counted from the feet: the mean of planes through its thickness."""
        thickness = self.grid.spacing[2]
        count = max(1, int(np.ceil(thickness / max(FINEST, self.pixel))))
        names = ("image", "right", "left", "infected", "solid", "fluid")
        total = dict.fromkeys(names, np.float32(0.0))
        for step in range(count):
            height = self.bottom + thickness * (index + (step + 0.5) / count - 0.5)
            plane = Plane(self.chest, self.x, self.y, height, pixel=self.pixel)
            total = {name: value + getattr(plane, name) * np.float32(1.0 / count) for name, value in total.items()}
        image, right, left, infected, solid, fluid = total.values()
        lungs = np.where(right > left, RIGHT_LUNG, LEFT_LUNG) * (right + left >= 0.5)
        findings = np.where(solid >= 0.5 * infected, CONSOLIDATION, GROUND_GLASS) * (infected >= 0.5)
        findings = np.where(fluid >= 0.5, EFFUSION, findings)
        image = self._reconstruct(image, index)
        return Slice(image=image, lungs=lungs.astype(np.uint8), findings=findings.astype(np.uint8))

    def _reconstruct(self, image: np.ndarray, index: int) -> np.ndarray:
        """Blur (soft) or crisp edges (sharp), noise that is stronger inside the body, and the field of view."""
        blurred = ndimage.gaussian_filter(image, 0.7 / self.pixel)
        image = blurred if self.kernel == "soft" else image + 0.5 * (image - blurred)
        if self.noise:
            generator = np.random.default_rng((self.seed, index))
            white = generator.standard_normal(image.shape, dtype=np.float32)
            smooth = ndimage.gaussian_filter(white, 0.6)
            grain = smooth / 0.47 if self.kernel == "soft" else (white - 0.8 * smooth) / 0.74
            image = image + self.noise * grain * np.where(image > -990.0, 1.0, 0.6).astype(np.float32)
        if self.beyond is not None:
            image[self.beyond] = OUTSIDE
        return np.clip(image, OUTSIDE, 3071.0)


def to_gray(image: np.ndarray, *, window: tuple[float, float] = WINDOW) -> np.ndarray:
    """HU as 8-bit gray levels: the window's ends become 0 and 255, all beyond is cut off."""
    low, high = window
    return np.rint(np.clip((image - low) / (high - low), 0.0, 1.0) * 255.0).astype(np.uint8)
