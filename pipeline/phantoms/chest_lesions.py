"""Infections of a synthetic lung: ground glass and consolidation, in the sizes and places that COVID-19 prefers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.phantoms.chest_torso import Torso

# Fewest and most lesions, and median and largest volume of one in ml (log-normal): from one lesion to dozens, of 0.1 ml
# to hundreds. Published: 4-7 % of the lungs on average in the first two weeks, mean density -462 to -430 HU ("Lung
# involvement in patients with coronavirus disease-19: a retrospective study based on quantitative CT findings", 2020,
# 52 patients); peripheral in 82 % and posterior in 82 % of patients (PMC7355135, 552 patients); lower lobes in 90 %
# (Iranian Journal of Pathology, article 240036, 163 patients).
SEVERITIES = {
    "none": (0, 0, 0.0, 0.0),
    "mild": (2, 8, 3.0, 20.0),
    "moderate": (6, 18, 7.0, 80.0),
    "severe": (14, 30, 16.0, 250.0),
    "critical": (18, 40, 40.0, 500.0),
}
SPREAD = 1.1  # of the logarithm of the volume


@dataclass(frozen=True)
class Lesion:
    """One infected region: an ellipsoid with a ragged border. Lengths in mm.

    Args:
        centre: (x, y, z).
        half: half axes, along the pleura in the plane, across it, and along z.
        turn: angle of the first axis in the plane.
        ragged: how much the border wanders, as a share of the size.
        density: share of the air that is replaced, 0.2-0.6: ground glass of about -700 to -300 HU.
        soft: width of the border.
        core: depth below the border at which consolidation begins; infinite where there is none.
        paving: how much brighter the lines of a crazy paving are.
    """

    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    turn: float = 0.0
    ragged: float = 0.0
    density: float = 0.4
    soft: float = 2.0
    core: float = np.inf
    paving: float = 0.0

    @property
    def volume(self) -> float:
        """Of the ellipsoid in ml; the lung's border and the ragged one may take or add some."""
        return 4.0 / 3.0 * np.pi * float(np.prod(self.half)) / 1000.0

    @property
    def reach(self) -> float:
        """No part of it is farther than this from its centre."""
        return max(self.half) * (1.0 + 1.6 * self.ragged) + self.soft

    def distance(self, x: np.ndarray, y: np.ndarray, z: float, *, coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
        """Approximate signed distance (mm, negative inside) in a plane; the two fields make the border ragged."""
        u, v, w = x - self.centre[0], y - self.centre[1], (z - self.centre[2]) / self.half[2]
        cosine, sine = math.cos(self.turn), math.sin(self.turn)
        along = (u * cosine + v * sine) / self.half[0]
        across = (v * cosine - u * sine) / self.half[1]
        level = np.sqrt(along * along + across * across + w * w)
        if self.ragged:
            level = level + self.ragged * np.clip(0.55 * coarse + 0.3 * fine, -1.6, 1.6)
        return (level - 1.0) * min(self.half)


def draw_lesions(
    torso: Torso, points: np.ndarray, depths: np.ndarray, generator: np.random.Generator, *, severity: str
) -> tuple[Lesion, ...]:
    """Random lesions, mostly below the pleura, at the back and in the lower lungs, on both sides.

    Args:
        torso: the trunk.
        points: (n, 3) positions inside the lungs to choose from.
        depths: (n,) how far below the rib cage's inside each lies, in mm.
        generator: source of randomness.
        severity: one of SEVERITIES.
    """
    fewest, most, median, largest = SEVERITIES[severity]
    count = int(generator.integers(fewest, most + 1))
    if not count:
        return ()
    weights = _weights(torso, points, depths)
    chosen = points[generator.choice(len(points), size=count, p=weights / weights.sum())]
    cores = generator.random(count) < generator.choice([0.1, 0.3, 0.6])
    density = generator.uniform(0.28, 0.45)  # lesions of one patient are of about one age
    return tuple(
        _draw_lesion(place, generator, median=median, largest=largest, density=density, core=core)
        for place, core in zip(chosen, cores, strict=True)
    )


def _weights(torso: Torso, points: np.ndarray, depths: np.ndarray) -> np.ndarray:
    peripheral = np.exp(-np.maximum(depths, 0.0) / 12.0) + 0.06
    posterior = 1.0 / (1.0 + np.exp(-points[:, 1] / (0.35 * torso.half_depth))) + 0.1
    lower = 1.0 / (1.0 + np.exp((points[:, 2] - 0.5 * torso.height) / (0.12 * torso.height))) + 0.2
    return peripheral * posterior * lower


def _draw_lesion(
    place: np.ndarray, generator: np.random.Generator, *, median: float, largest: float, density: float, core: bool
) -> Lesion:
    volume = float(np.clip(median * np.exp(generator.normal(0.0, SPREAD)), 0.1, largest))
    radius = (1000.0 * volume / (4.0 / 3.0 * np.pi)) ** (1.0 / 3.0)
    flat = generator.uniform(1.0, 1.9)  # along the pleura
    tall = generator.uniform(0.8, 1.4)
    half = np.array([flat, 1.0, tall]) / (flat * tall) ** (1.0 / 3.0) * radius
    return Lesion(
        centre=tuple(float(value) for value in place + generator.normal(0.0, 2.0, size=3)),
        half=tuple(float(value) for value in half),
        turn=float(np.arctan2(place[1], place[0]) + np.pi / 2.0 + generator.normal(0.0, 0.3)),
        ragged=float(generator.uniform(0.15, 0.45)),
        density=float(np.clip(density + generator.normal(0.0, 0.06), 0.2, 0.6)),
        soft=float(generator.uniform(2.0, 7.0)),
        core=float(generator.uniform(0.05, 0.45) * radius) if core else np.inf,
        paving=float(generator.uniform(0.3, 0.9)) if generator.random() < 0.3 else 0.0,
    )
