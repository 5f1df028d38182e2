"""The shape of a synthetic chest: trunk, rib cage, lungs, heart and diaphragm as outlines in any axial plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BLUNT = 2.4  # exponent of the trunk's and the rib cage's oval: 2 is an ellipse
RIB_PITCH = 24.0  # mm from rib to rib
VERTEBRA_PITCH = 25.0
HEART_AXIS = (0.72, -0.45, -0.53)  # to the left, the front and the feet


@dataclass(frozen=True)
class Torso:
    """One patient's trunk. Positions in mm: x to the patient's left, y to the back, z to the head.

    x and y count from the middle of the rib cage, z from the lungs' lowest recess.
    """

    height: float  # of the lungs, from the lowest recess to the apex
    half_width: float  # of the rib cage's inside
    half_depth: float
    muscle: float  # thickness of the layers around the ribs
    fat: float
    domes: tuple[float, float]  # top of the diaphragm on the right and on the left
    column: float  # half width of the mediastinum
    heart: tuple[float, float]  # long and short half axis
    apices: tuple[float, float]  # how much lower than the height each lung ends
    rib_phase: float
    rib_drop: float  # how much lower a rib is in front than at the back

    @property
    def spine(self) -> float:
        """y of the vertebral bodies' middle."""
        return 0.68 * self.half_depth

    @property
    def trunk(self) -> tuple[float, float]:
        """Half width and half depth of the whole trunk."""
        layers = 14.0 + self.muscle + self.fat
        return self.half_width + layers, self.half_depth + 0.9 * layers

    @property
    def heart_centre(self) -> np.ndarray:
        """Middle of the heart; it rests on the diaphragm."""
        return np.array([33.0, -0.28 * self.half_depth, 0.39 * sum(self.domes) + 0.62 * self.heart[1]])

    @property
    def carina(self) -> np.ndarray:
        """Where the trachea divides."""
        return np.array([-1.0, 0.22 * self.half_depth, 0.64 * self.height])

    def hilum(self, side: int) -> np.ndarray:
        """Where vessels and bronchi enter the right (-1) or left (1) lung."""
        return np.array([side * (self.column + 16.0), 0.16 * self.half_depth, 0.53 * self.height + 4.0 * side])


def draw_torso(generator: np.random.Generator, *, small: bool = False) -> Torso:
    """A random trunk.

    Args:
        generator: source of randomness.
        small: a short person, for grids of few slices; the lungs then hold about 2-3 litres, otherwise about 3-6.
    """

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))  # no numpy scalar: it would turn all planes into double precision

    height = between(172.0, 190.0) if small else between(212.0, 262.0)
    half_width = between(116.0, 124.0) if small else between(124.0, 144.0)
    short = between(41.0, 46.0) if small else between(44.0, 53.0)
    left = between(0.19, 0.25) * height
    return Torso(
        height=height,
        half_width=half_width,
        half_depth=half_width * between(0.73, 0.83),
        muscle=between(11.0, 18.0),
        fat=between(5.0, 22.0),
        domes=(left + between(8.0, 20.0), left),
        column=between(25.0, 31.0),
        heart=(short * between(1.3, 1.5), short),
        apices=(between(0.0, 6.0), between(0.0, 6.0)),
        rib_phase=between(0.0, RIB_PITCH),
        rib_drop=between(60.0, 85.0),
    )


def outlines(
    torso: Torso, x: np.ndarray, y: np.ndarray, z: float, *, shift: np.ndarray | float = 0.0
) -> dict[str, np.ndarray]:
    """Approximate signed distances (mm, negative inside) to the parts of a trunk in one axial plane.

    Args:
        torso: the trunk.
        x: positions of the columns, (n, 1).
        y: positions of the rows, (1, m).
        z: height of the plane.
        shift: how far inwards the rib cage lies from its regular form, mm, (n, m) or one number.
    Returns:
        (n, m) each: "trunk" (skin), "cavity" (inside of the rib cage), "diaphragm" (negative below it), "heart",
        "spine" (vertebral body), "rib", "right" and "left" (lungs; +inf on the other side).
    """
    level = min(max(z / torso.height, -0.3), 1.3)
    shoulder = min(max((level - 0.75) / 0.25, 0.0), 1.0)
    wide, deep = torso.trunk
    trunk = oval(x, y, wide * (1.0 - 0.06 * shoulder), deep * (1.0 - 0.08 * shoulder))
    taper = max(0.4, 1.0 - 1.65 * max(0.0, level - 0.5) ** 2 - 0.15 * max(0.0, 0.12 - level))
    narrow = 1.0 - 0.8 * (1.0 - taper)
    back = 0.3 * torso.half_depth * (1.0 - taper)  # the upper ribs lie further back
    cavity = oval(x, y - back, torso.half_width * taper, torso.half_depth * narrow) + shift
    spine = ellipse(x, y - torso.spine, 18.0, 15.0)
    heart = _heart(torso, x, y, z)
    diaphragm = _diaphragm(torso, x, y, z)
    column = _column(torso, x, y, level)
    behind = np.maximum(np.abs(x) - 15.0, torso.spine - y)  # muscles beside the vertebrae
    middle = smooth_min(smooth_min(column, heart, 10.0), smooth_min(spine - 4.0, behind, 8.0), 8.0)
    lungs = smooth_max(np.maximum(cavity + 1.0, _apex(torso, x, y, z)), diaphragm * -1.0 + 1.5, 5.0)
    lungs = smooth_max(lungs, -middle, 6.0)
    return {
        "trunk": trunk,
        "cavity": cavity,
        "diaphragm": diaphragm,
        "heart": heart,
        "spine": spine,
        "rib": _rib(torso, cavity, y, z),
        "right": np.where(x < 0.0, lungs, np.inf),
        "left": np.where(x >= 0.0, lungs, np.inf),
    }


def oval(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    """First-order distance to a superellipse with half axes a and b (mm); x is (n, 1), y is (1, m)."""
    u, v = np.abs(x) / a, np.abs(y) / b
    total = u**BLUNT + v**BLUNT + 1e-6
    level = total ** (1.0 / BLUNT)
    slope = np.sqrt((u ** (BLUNT - 1.0) / a) ** 2 + (v ** (BLUNT - 1.0) / b) ** 2) + 1e-9
    return (level - 1.0) * total / (level * slope)


def ellipse(x: np.ndarray, y: np.ndarray, a: float, b: float) -> np.ndarray:
    """Distance to a circle, or roughly to an ellipse, with half axes a and b (mm)."""
    return (np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1.0) * min(a, b)


def smooth_min(one: np.ndarray, other: np.ndarray, width: float) -> np.ndarray:
    """The smaller of two distances, their edge rounded over `width` mm."""
    near = np.maximum(width - np.abs(one - other), 0.0)
    return np.minimum(one, other) - near * near * (0.25 / width)


def smooth_max(one: np.ndarray, other: np.ndarray, width: float) -> np.ndarray:
    """The larger of two distances, their edge rounded over `width` mm."""
    near = np.maximum(width - np.abs(one - other), 0.0)
    return np.maximum(one, other) + near * near * (0.25 / width)


def _heart(torso: Torso, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    centre, (long, short) = torso.heart_centre.tolist(), torso.heart
    u, v, w = x - centre[0], y - centre[1], z - centre[2]
    along = u * HEART_AXIS[0] + v * HEART_AXIS[1] + w * HEART_AXIS[2]
    square = u**2 + v**2 + w**2
    return (np.sqrt(np.maximum((square - along**2) / short**2 + (along / long) ** 2, 0.0)) - 1.0) * short


def _diaphragm(torso: Torso, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """Two domes, the right one higher, with deep recesses along the ribs."""
    a, b = torso.half_width, torso.half_depth
    right = 1.0 / (1.0 + np.exp(np.clip(x / 8.0, -30.0, 30.0)))
    top = torso.domes[1] + (torso.domes[0] - torso.domes[1]) * right
    across = ((np.abs(x) - 0.42 * a) / (0.55 * a)) ** 2
    surface = (top - 38.0 * across) - 0.30 * torso.height * np.maximum((y + 0.25 * b) / b, -0.45 - 0.35 * y / b) ** 2
    return (z - np.maximum(surface, 0.0)) * 0.75


def _apex(torso: Torso, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """The two rounded tops of the rib cage's inside."""
    a, b = torso.half_width, torso.half_depth
    top = torso.height - np.where(x < 0.0, *torso.apices)
    across = ((np.abs(x) - 0.38 * a) / (0.55 * a)) ** 2
    return (z - (top - 0.36 * torso.height * (across + ((y - 0.15 * b) / (0.85 * b)) ** 2))) * 0.6


def _column(torso: Torso, x: np.ndarray, y: np.ndarray, level: float) -> np.ndarray:
    """What lies between the lungs from the breastbone to the spine, narrow in front."""
    width = torso.column * (0.85 + 0.3 * math.exp(-(((level - 0.72) / 0.22) ** 2)))
    return ellipse(x - 3.0, y - 0.06 * torso.half_depth, width, 1.0 * torso.half_depth)


def _rib(torso: Torso, cavity: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
    """Rings around the cavity that descend towards the front."""
    height = z - 0.5 * torso.rib_drop * y / torso.half_depth + torso.rib_phase
    phase = np.mod(height, RIB_PITCH) - 0.5 * RIB_PITCH
    return (np.sqrt((0.75 * phase / 6.5) ** 2 + ((cavity - 6.5) / 4.5) ** 2) - 1.0) * 4.5
