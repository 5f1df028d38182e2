"""The shape of a synthetic heart: two ventricles that beat, as outlines in any short-axis plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GROUPS = ("NOR", "DCM", "HCM", "MINF", "RV")

# Low and high end of: LV end-diastolic volume (ml), LV ejection fraction, wall (mm), RV width (mm), RV ejection
# fraction. Rough clinical ranges of each of ACDC's groups.
RANGES = {
    "NOR": ((115, 150), (0.58, 0.68), (7.0, 9.0), (30, 36), (0.50, 0.62)),
    "DCM": ((210, 270), (0.18, 0.32), (6.0, 8.0), (30, 38), (0.30, 0.45)),
    "HCM": ((100, 135), (0.66, 0.76), (13.0, 17.0), (28, 33), (0.55, 0.65)),
    "MINF": ((150, 200), (0.36, 0.46), (7.0, 9.0), (28, 34), (0.42, 0.55)),
    "RV": ((95, 125), (0.55, 0.65), (7.0, 9.0), (46, 56), (0.26, 0.36)),
}
SHORTENING = 0.2  # of the long axis, for an ejection fraction of one
BLUNT = 2.5  # exponent of the cavity's taper: 2 is a half ellipsoid


@dataclass(frozen=True)
class Heart:
    """One patient's heart; lengths in mm, angles in radians, the base at end-diastole at depth 0."""

    group: str
    length: float
    radius: float
    wall: float
    ejection: float
    rv_width: float
    rv_ejection: float
    septum: float  # direction from the left to the right ventricle
    lesion: float  # direction of the thick (HCM) or scarred (MINF) wall
    harmonics: tuple[tuple[float, float], ...]  # amplitude and direction of the 2nd and 3rd harmonic of the outline
    rv_tilt: float  # how far the right ventricle lies to one side of the septum's axis

    @property
    def extent(self) -> float:
        """Depth of the lowest point of the myocardium."""
        return self.length + self.wall


def draw_heart(group: str, generator: np.random.Generator, *, length: float) -> Heart:
    """A random heart of one pathology.

    Args:
        group: one of GROUPS.
        generator: source of randomness.
        length: of the left ventricle's cavity at end-diastole in mm; its volume is that of the group for about 88 mm
            and proportionally smaller for shorter hearts.
    """
    volume, ejection, wall, rv_width, rv_ejection = (generator.uniform(*limits) for limits in RANGES[group])
    full = BLUNT / (BLUNT + 1) * np.pi * 88.0  # volume of the cavity for a radius of 1 mm, in mm3
    septum = np.pi + generator.uniform(-0.45, 0.45)
    return Heart(
        group=group,
        length=length,
        radius=float(np.sqrt(volume * 1000.0 / full)),
        wall=wall,
        ejection=ejection,
        rv_width=rv_width,
        rv_ejection=rv_ejection,
        septum=septum,
        lesion=septum if group == "HCM" else generator.uniform(-np.pi, np.pi),
        harmonics=tuple((generator.uniform(0.0, 0.06), generator.uniform(-np.pi, np.pi)) for _ in range(2)),
        rv_tilt=generator.uniform(-0.25, 0.25),
    )


def outlines(heart: Heart, x: np.ndarray, y: np.ndarray, *, depth: float, squeeze: float) -> dict[str, np.ndarray]:
    """Approximate signed distances (mm, negative inside) to the heart's parts in one plane.

    Args:
        heart: the heart.
        x, y: positions in mm from the left ventricle's axis, of one shape.
        depth: of the plane in mm, from the base at end-diastole towards the apex.
        squeeze: 0 at end-diastole, 1 at end-systole.
    Returns:
        "LV" (cavity), "EPI" (outer border of the myocardium), "RV" (cavity), "RV_EPI" (its thin wall included),
        "ATRIA"; parts that the plane does not meet are +inf everywhere. The cavity lies in EPI; RV and EPI are apart.
    """
    parts = dict.fromkeys(("LV", "EPI", "RV", "RV_EPI", "ATRIA"), np.full(x.shape, np.inf))
    length = heart.length * (1.0 - SHORTENING * heart.ejection * squeeze)
    level = (depth - (heart.length - length)) / length  # 0 at the base, 1 at the end of the cavity
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    if level < 0.0:
        shifted = x - 0.5 * heart.rv_width * np.cos(heart.septum)
        return parts | {"ATRIA": _ellipse(shifted, y, 1.9 * heart.radius, 1.15 * heart.radius)}
    inner, outer = _borders(heart, angle, level=level, length=length, squeeze=squeeze)
    epi = distance - outer
    if level < 1.0:
        parts["LV"] = distance - inner
    rv = _right(heart, x, y, reach=float(np.mean(outer)), level=level / 0.92, squeeze=squeeze)
    return parts | {"EPI": epi, "RV": np.maximum(rv, -epi), "RV_EPI": rv - 3.0}


def _borders(
    heart: Heart, angle: np.ndarray, *, level: float, length: float, squeeze: float
) -> tuple[np.ndarray, np.ndarray]:
    """Inner and outer radius by angle: the myocardium's volume stays the same while the cavity shrinks."""
    taper = np.sqrt(max(0.0, 1.0 - level**BLUNT))
    relaxed = heart.radius * taper
    stretch = heart.length / length
    inner = relaxed * np.sqrt((1.0 - heart.ejection * squeeze) * stretch)
    wall = heart.wall * (1.0 - 0.3 * min(level, 1.0))
    outer = np.sqrt(inner**2 + ((relaxed + wall) ** 2 - relaxed**2) * stretch)
    if level > 1.0:  # the cap below the cavity
        outer = wall * np.sqrt(max(0.0, 1.0 - ((level - 1.0) * length / wall) ** 2))
    bump = np.exp(-0.5 * (np.angle(np.exp(1j * (angle - heart.lesion))) / 0.6) ** 2)
    if heart.group == "HCM":
        outer = outer + 0.35 * (outer - inner) * bump
    if heart.group == "MINF" and 0.2 < level <= 1.0:
        inner = inner + bump * 0.8 * (relaxed - inner)
        outer = outer + bump * (relaxed + 0.5 * wall - outer)
    form = sum(
        amplitude * np.cos(order * (angle - direction))
        for order, (amplitude, direction) in zip((2, 3), heart.harmonics, strict=True)
    )
    return inner * (1.0 + form), outer * (1.0 + form)


def _right(heart: Heart, x: np.ndarray, y: np.ndarray, *, reach: float, level: float, squeeze: float) -> np.ndarray:
    """An ellipse around the septal half of the left ventricle; what the latter leaves of it is the crescent."""
    if level >= 1.0:
        return np.full(x.shape, np.inf)
    taper = (1.0 - level**2) ** 0.6
    shrink = (1.0 - heart.rv_ejection * squeeze) ** 0.75
    width = heart.rv_width * taper * shrink
    height = (heart.radius + heart.wall) * (0.35 + 0.75 * taper) * (1.0 - 0.3 * heart.rv_ejection * squeeze)
    height *= np.sqrt(heart.rv_width / 33.0)
    direction = heart.septum + heart.rv_tilt
    along = x * np.cos(direction) + y * np.sin(direction)
    across = -x * np.sin(direction) + y * np.cos(direction)
    half = 0.5 * (reach + width)
    return _ellipse(along - half, across + 0.15 * along, half, height)


def _ellipse(u: np.ndarray, v: np.ndarray, a: float, b: float) -> np.ndarray:
    """First-order distance to an ellipse with half axes a and b (mm); exact on the border and on a circle."""
    level = np.hypot(u / a, v / b)
    slope = np.hypot(u / a**2, v / b**2) / np.maximum(level, 1e-6)
    return (level - 1.0) / np.maximum(slope, 1.0 / max(a, b))
