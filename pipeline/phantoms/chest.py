"""A synthetic patient's chest: trunk, vessels, airways and infections, known exactly at every point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.phantoms.chest_lesions import SEVERITIES, Lesion, draw_lesions
from pipeline.phantoms.chest_texture import Texture
from pipeline.phantoms.chest_torso import Torso, draw_torso, outlines
from pipeline.phantoms.chest_tubes import Tubes, beside, grow, join, path

STEP = 7.0  # mm, of the lattice on which places in the lungs are chosen
VEIN, BRONCHUS = np.array([0.0, -12.0, -16.0]), np.array([0.0, -2.0, 6.0])  # where they lie, from the hilum, in mm


@dataclass(frozen=True)
class Chest:
    """One patient. Positions in mm: x to the left, y to the back, z to the head (see Torso).

    Args:
        torso: the trunk.
        lung_vessels: branching vessels inside the lungs; they count as lung.
        bronchi: airways inside the lungs (their lumen); they count as lung.
        great_vessels: aorta, pulmonary trunk and large veins; no lung.
        trachea: trachea and main bronchi (their lumen); no lung.
        lesions: the infections.
        effusion: depth of the fluid behind the right and the left lung in mm, 0 where there is none.
        coarse, fine: random fields of 13 and 4.5 mm that everything is textured with.
        wide: a random field of 45 mm by which the borders wander.
        air, dependence: density of healthy lung in HU, and how much more the lowest (rearmost) part has.
    """

    torso: Torso
    lung_vessels: Tubes
    bronchi: Tubes
    great_vessels: Tubes
    trachea: Tubes
    lesions: tuple[Lesion, ...]
    effusion: tuple[float, float]
    coarse: Texture
    fine: Texture
    wide: Texture
    air: float
    dependence: float


def draw_chest(generator: np.random.Generator, *, severity: str = "moderate", small: bool = False) -> Chest:
    """A random patient.

    Args:
        generator: source of randomness.
        severity: of the infection: none, mild, moderate, severe or critical.
        small: a short person with fewer vessels, for coarse grids.
    Raises:
        ValueError: no such severity.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity!r}: choose one of {', '.join(SEVERITIES)}")
    torso = draw_torso(generator, small=small)
    points, depths = lung_points(torso, generator)
    twigs = 70 if small else 320
    vessels = [
        _lung_vessels(torso, side, points[(np.sign(points[:, 0]) == side) & (depths > 5.0)], generator, twigs=twigs)
        for side in (-1, 1)
    ]
    arteries = join(*(artery for artery, _ in vessels))
    fluid = severity in ("severe", "critical") and generator.random() < 0.25
    return Chest(
        torso=torso,
        lung_vessels=join(arteries, *(vein for _, vein in vessels)),
        bronchi=beside(arteries, least=1.5),
        great_vessels=_great_vessels(torso),
        trachea=_trachea(torso),
        lesions=draw_lesions(torso, points, depths, generator, severity=severity),
        effusion=tuple(float(depth) for depth in generator.uniform(4.0, 22.0, size=2)) if fluid else (0.0, 0.0),
        coarse=Texture(generator, grain=13.0),
        fine=Texture(generator, grain=4.5),
        wide=Texture(generator, grain=45.0),
        air=float(generator.uniform(-885.0, -830.0)),
        dependence=float(generator.uniform(40.0, 110.0)),
    )


def lung_points(torso: Torso, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places spread evenly over both lungs: positions (n, 3) and how far below the rib cage's inside each lies (mm)."""
    x = np.arange(-torso.half_width, torso.half_width, STEP)[:, None]
    y = np.arange(-torso.half_depth, torso.half_depth, STEP)[None]
    places, depths = [], []
    for z in np.arange(0.5 * STEP, torso.height, STEP):
        parts = outlines(torso, x, y, z)
        column, row = np.nonzero(np.minimum(parts["right"], parts["left"]) < -1.0)
        places.append(np.stack([x[column, 0], y[0, row], np.full(len(column), z)], axis=1))
        depths.append(-parts["cavity"][column, row])
    points = np.concatenate(places)
    return points + generator.uniform(-0.5 * STEP, 0.5 * STEP, size=points.shape), np.concatenate(depths)


def _lung_vessels(
    torso: Torso, side: int, points: np.ndarray, generator: np.random.Generator, *, twigs: int
) -> tuple[Tubes, Tubes]:
    """Arteries and veins of one lung."""
    hilum = torso.hilum(side)
    tips = points[generator.choice(len(points), size=2 * twigs, replace=False)]
    artery = grow(hilum, tips[:twigs], generator, twig_radius=0.55)
    vein = grow(hilum + VEIN, tips[twigs:], generator, twig_radius=0.52)
    return artery, vein


def _trachea(torso: Torso) -> Tubes:
    x, y, z = torso.carina
    windpipe = path((x, y - 6.0, torso.height + 80.0, 8.5), (x, y - 3.0, torso.height, 8.5), (x, y, z, 8.5))
    mains = [path((x, y, z, 7.0), (*(torso.hilum(side) + BRONCHUS), 5.5)) for side in (-1, 1)]
    return join(windpipe, *mains)


def _great_vessels(torso: Torso) -> Tubes:
    back, top = torso.spine - 25.0, 0.72 * torso.height
    heart = torso.heart_centre
    root = (2.0, heart[1] - 4.0, heart[2] + 0.6 * torso.heart[1])
    arch = [(*root, 15.0), (-9.0, heart[1] - 4.0, top - 22.0, 15.0), (-4.0, heart[1] + 6.0, top - 4.0, 14.0)]
    arch += [(10.0, 0.5 * (heart[1] + back), top, 13.0), (23.0, back - 4.0, top - 12.0, 12.5)]
    arch += [(24.0, back + 2.0, 0.5 * top, 12.0), (12.0, back + 4.0, -60.0, 11.0)]
    split = (8.0, heart[1] + 14.0, 0.58 * torso.height)
    trunk = path((14.0, heart[1] - 8.0, root[2] + 10.0, 14.0), (*split, 13.0))
    branches = [path((*split, 11.0), (*torso.hilum(side), 7.0)) for side in (-1, 1)]
    cava = path((-26.0, heart[1] + 8.0, torso.height + 60.0, 8.0), (-24.0, heart[1] + 4.0, heart[2], 9.5))
    places = ((-10, -8), (4, -2), (14, 6))
    neck = [path((x, y, top, 5.0), (2.4 * x, y - 4.0, torso.height + 60.0, 4.5)) for x, y in places]
    lower = path((-20.0, 8.0, -60.0, 11.0), (-20.0, 4.0, heart[2], 11.0))
    return join(path(*arch), trunk, *branches, cava, *neck, lower)
