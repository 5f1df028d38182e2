"""The tissues of a synthetic chest in Hounsfield units, painted over each other in one axial plane."""

from __future__ import annotations

import math

import numpy as np

from pipeline.phantoms.chest import Chest
from pipeline.phantoms.chest_torso import VERTEBRA_PITCH, Torso, ellipse, outlines
from pipeline.phantoms.chest_tubes import Tubes, tube_share

AIR = -1000.0
FAT, MUSCLE, BLOOD, LIVER, SPLEEN, FLUID, SKIN = -100.0, 52.0, 42.0, 58.0, 48.0, 12.0, 20.0
MARROW, CORTEX, DISC = 190.0, 520.0, 85.0
SOLID = 38.0  # a lung without air: consolidation
VESSEL_WALL, AIRWAY_WALL = 1.5, 1.2  # mm
WANDER = np.float32(2.5)  # mm, how far the rib cage lies from its regular form


class Plane:
    """One axial plane of a chest: what is where, each array (columns, rows), float32.

    Args:
        chest: the patient.
        x, y: positions of the columns (n, 1) and rows (1, m) in mm.
        z: height in mm.
        pixel: width of a pixel in mm; borders are shared by pixels on either side.
    Attributes:
        image: HU.
        right, left: share of each pixel that is lung, infections and small vessels included.
        infected, solid: share that is infected lung, and consolidated lung.
        fluid: share that is pleural effusion.
    """

    def __init__(self, chest: Chest, x: np.ndarray, y: np.ndarray, z: float, *, pixel: float) -> None:
        self.chest, self.x, self.y, self.z, self.pixel = chest, x, y, z, pixel
        self.wide = chest.wide.plane(x, y, z)
        parts = outlines(chest.torso, x, y, z, shift=WANDER * self.wide)
        self.parts = {name: part.astype(np.float32, copy=False) for name, part in parts.items()}
        self.coarse, self.fine = chest.coarse.plane(x, y, z), chest.fine.plane(x, y, z)
        self.image = np.full(self.coarse.shape, AIR, dtype=np.float32)
        self._paint_table()
        self._paint_wall()
        self._paint_inside()
        self._paint_belly()
        self._paint_bones()
        airway = self._tubes(chest.trachea, wall=2.0)
        self._paint_lungs(great=np.maximum(self._tubes(chest.great_vessels, wall=VESSEL_WALL), airway))
        self._cover(airway, MUSCLE)
        self._cover(self._tubes(chest.trachea), AIR)

    def _share(self, distance: np.ndarray, *, soft: float | None = None) -> np.ndarray:
        """Share of each pixel inside an outline."""
        return np.clip(np.float32(0.5) - distance * np.float32(1.0 / (soft or self.pixel)), 0.0, 1.0)

    def _cover(self, share: np.ndarray, value: float | np.ndarray) -> None:
        self.image += share * (value - self.image)

    def _paint(self, distance: np.ndarray, value: float | np.ndarray, *, soft: float | None = None) -> None:
        self._cover(self._share(distance, soft=soft), value)

    def _paint_layers(self, distance: np.ndarray, layers: dict[float, float | np.ndarray]) -> None:
        """What lies at a depth below an outline in mm and deeper, from outside in."""
        for depth, value in layers.items():
            self._paint(distance + depth, value)

    def _tubes(self, tubes: Tubes, *, wall: float = 0.0) -> np.ndarray:
        return tube_share(tubes.wider(wall), self.x, self.y, self.z, width=self.pixel)

    def _paint_table(self) -> None:
        """A mattress on a hollow, slightly curved plate."""
        torso = self.chest.torso
        top = torso.trunk[1] + 1.0 - (self.x / 48.0) ** 2
        self._paint(np.maximum(np.maximum(top - self.y, self.y - top - 14.0), np.abs(self.x) - 190.0), -945.0)
        plate = np.maximum(np.abs(self.y - top - 26.0) - 12.0, np.abs(self.x) - 205.0)
        self._paint_layers(plate, {0.0: -120.0, 2.5: -930.0})

    def _paint_wall(self) -> None:
        """Skin, fat, muscles with fat between them."""
        torso, trunk = self.chest.torso, self.parts["trunk"]
        self._paint_layers(trunk, {0.0: SKIN, 1.8: FAT + 6.0 * self.coarse})
        front = 0.5 - 0.5 * self.y / torso.trunk[1]
        muscles = trunk + torso.fat * (0.75 + 0.5 * front + 0.06 * self.coarse)
        streaks = 70.0 * np.exp(-((self.coarse / 0.09) ** 2))
        self._paint(np.minimum(muscles, self.parts["cavity"] - 8.0), MUSCLE + 4.0 * self.fine - streaks)
        level = self.z / torso.height
        if 0.5 < level < 1.05:  # shoulder blades
            for side in (-1.0, 1.0):
                u, v = side * self.x - 0.72 * torso.half_width, self.y - 1.06 * torso.half_depth - 4.0
                blade = ellipse(u * 0.93 + v * 0.37, v * 0.93 - u * 0.37, 50.0 * math.sqrt(1.05 - level), 4.5)
                self._paint_layers(blade, {0.0: CORTEX - 80.0, 2.0: MARROW})

    def _paint_inside(self) -> None:
        """Fat of the mediastinum, the heart in its fat, the gullet and the great vessels."""
        torso = self.chest.torso
        fat = FAT + 45.0 + 12.0 * self.coarse + 12.0 * self.fine
        self._paint_layers(self.parts["cavity"], {-2.0: MUSCLE, 1.0: fat})
        self._paint(self.parts["heart"] + 3.0 + 2.0 * self.coarse, MUSCLE - 8.0 + 3.0 * self.fine)
        back = np.maximum(np.abs(self.x) - 26.0, torso.spine - self.y)
        self._paint(np.maximum(back, self.parts["cavity"]), MUSCLE)
        gullet = ellipse(self.x - 6.0, self.y - torso.spine + 27.0, 9.0, 6.0)
        self._paint_layers(gullet, {0.0: MUSCLE - 15.0, 5.0: -300.0})
        self._cover(self._tubes(self.chest.great_vessels, wall=VESSEL_WALL), BLOOD + 10.0)
        self._cover(self._tubes(self.chest.great_vessels), BLOOD)

    def _paint_belly(self) -> None:
        """What lies below the diaphragm: liver, spleen, stomach with its bubble, fat."""
        torso, below = self.chest.torso, np.maximum(self.parts["diaphragm"], self.parts["cavity"] + 1.0)
        if self.z > max(torso.domes):
            return
        a, b = torso.half_width, torso.half_depth
        self._paint_layers(below, {-2.5: MUSCLE, 0.0: FAT + 8.0 * self.coarse})
        liver = np.maximum(below, 0.5 * self.x + 0.3 * self.y - 0.18 * a + 4.0 * self.coarse)
        self._paint(liver, LIVER + 3.0 * self.fine)
        spleen = np.maximum(below, ellipse(self.x - 0.66 * a, self.y - 0.45 * b, 0.28 * a, 0.36 * b))
        self._paint(spleen, SPLEEN + 3.0 * self.fine)
        stomach = np.maximum(ellipse(self.x - 0.42 * a, self.y + 0.35 * b, 0.36 * a, 0.42 * b), below) + 3.0
        food = 15.0 - 250.0 * np.clip(self.fine + self.coarse - 1.2, 0.0, 2.0)
        self._paint_layers(stomach, {0.0: MUSCLE - 10.0, 4.0: food})
        self._paint(np.maximum(stomach + 4.0, self.y + 0.42 * b), AIR + 20.0)
        self._paint(np.maximum(self.parts["spine"] - 16.0, below), MUSCLE)

    def _paint_bones(self) -> None:
        torso, z = self.chest.torso, self.z
        rib = np.maximum(self.parts["rib"], 14.0 - np.abs(self.x))
        cartilage = (self.y < -0.55 * torso.half_depth) & (np.abs(self.x) < 0.62 * torso.half_width)
        self._paint_layers(rib, {0.0: np.where(cartilage, 95.0, CORTEX - 60.0), 1.8: np.where(cartilage, 95.0, MARROW)})
        if 0.3 < z / torso.height < 0.86:
            sternum = ellipse(self.x, self.y + torso.half_depth + 4.0, 17.0, 6.0)
            self._paint_layers(sternum, {0.0: CORTEX - 150.0, 1.8: MARROW - 60.0})
        self._paint_spine(torso, z)

    def _paint_spine(self, torso: Torso, z: float) -> None:
        phase = (z % VERTEBRA_PITCH) / VERTEBRA_PITCH
        spine, y = self.parts["spine"], self.y - torso.spine
        vertebra = {0.0: CORTEX - 60.0, 2.0: MARROW + 25.0 * self.fine}
        self._paint_layers(spine, {0.0: DISC} if phase < 0.22 else vertebra)
        canal = ellipse(self.x, y - 23.0, 10.0, 8.5)
        if 0.3 < phase < 0.8:
            process = np.maximum(np.abs(self.x) - 3.5, np.abs(y - 42.0) - 14.0)
            wing = ellipse(np.abs(self.x) - 20.0, y - 20.0 - 0.25 * np.abs(self.x), 20.0, 6.0)
            bone = np.minimum(np.minimum(canal - 5.0, process), wing)
            self._paint_layers(bone, {0.0: CORTEX - 100.0, 2.0: MARROW})
        self._paint(canal, 25.0)

    def _paint_lungs(self, *, great: np.ndarray) -> None:
        chest, torso = self.chest, self.chest.torso
        shares = {name: self._share(self.parts[name]) * (1.0 - great) for name in ("right", "left")}
        self.fluid = np.zeros_like(self.image)
        for (name, share), depth in zip(shares.items(), chest.effusion, strict=True):
            height = depth * min(1.0, 1.6 * (1.0 - self.z / (0.4 * torso.height)))
            if depth and height > 0.0:
                wet = share * self._share(0.93 * torso.half_depth - height - self.y)
                shares[name] = share - wet
                self.fluid += wet
        self.right, self.left = shares["right"], shares["left"]
        lungs = self.right + self.left
        self._cover(self.fluid, FLUID)
        self.infected = self.solid = np.zeros_like(lungs)
        if lungs.any():
            air, infected, solid = self._lung_tissue()
            self._cover(lungs, air)
            self.infected, self.solid = infected * lungs, solid * lungs

    def _lung_tissue(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """HU inside the lungs, and which share of it is infected and consolidated."""
        chest, torso = self.chest, self.chest.torso
        density = 1.0 + chest.air / 1000.0 + (9.0 * self.coarse + 7.0 * self.fine) / 1000.0
        depth = np.maximum(-self.parts["cavity"], 0.0)
        behind = np.clip(self.y / torso.half_depth, -1.0, 1.0)
        lowest = np.maximum(behind, 0.0) * np.exp(-depth / 7.0)
        density += chest.dependence / 1000.0 * (0.5 * behind + 1.4 * lowest)
        density += 0.16 * self._share(self._fissures(), soft=2.0 * self.pixel) * min(1.0, 1.0 / self.pixel)
        infected, filled, solid = self._lesions(density.shape)
        density += (1.0 - density) * filled
        density += (1.0 - density) * self._tubes(chest.bronchi, wall=AIRWAY_WALL) * 0.75
        density += (1.0 - density) * self._tubes(chest.lung_vessels)
        density *= 1.0 - self._tubes(chest.bronchi)
        return AIR + density * (1000.0 + SOLID), infected, solid

    def _fissures(self) -> np.ndarray:
        """Distance to the oblique fissures, and on the right to the horizontal one: thin sheets."""
        torso = self.chest.torso
        height = self.z - (0.52 * torso.height + 0.62 * self.y + 5.0 * self.wide + 0.08 * np.abs(self.x))
        oblique = np.abs(height) * 0.8
        level = np.abs(self.z - 0.50 * torso.height - 5.0 * self.wide)
        level = np.where((self.x < 0.0) & (height > 0.0), level, np.inf)
        return np.minimum(oblique, level) - 0.6

    def _lesions(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shares infected, filled with something other than air, and consolidated."""
        infected, filled, solid = (np.zeros(shape, dtype=np.float32) for _ in range(3))
        columns, rows = self.x[:, 0], self.y[0]
        for lesion in self.chest.lesions:
            reach, (cx, cy, cz) = lesion.reach, lesion.centre
            if abs(cz - self.z) > reach:
                continue
            i, k = np.searchsorted(columns, (cx - reach, cx + reach))
            j, m = np.searchsorted(rows, (cy - reach, cy + reach))
            if i == k or j == m:
                continue
            box = np.s_[i:k, j:m]
            coarse, fine = self.coarse[box], self.fine[box]
            distance = lesion.distance(self.x[i:k], self.y[:, j:m], self.z, coarse=coarse, fine=fine)
            glass = self._share(distance, soft=max(lesion.soft, self.pixel))
            lines = 1.0 + lesion.paving * np.exp(-((fine / 0.25) ** 2))
            part = glass * lesion.density * np.clip((1.0 + 0.22 * fine + 0.15 * coarse) * lines, 0.35, 2.0)
            core = self._share(distance + lesion.core + 1.5 * fine, soft=max(2.0, self.pixel))
            part = np.maximum(part, core * (0.97 + 0.03 * coarse))
            infected[box] = np.maximum(infected[box], np.maximum(glass, core))
            filled[box] = np.maximum(filled[box], np.minimum(part, 1.02))
            solid[box] = np.maximum(solid[box], core)
        return infected, filled, solid
