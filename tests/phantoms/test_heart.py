"""The synthetic heart against the formulas it is drawn from: volumes, contraction, and which part lies where."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.phantoms.heart import GROUPS, Heart, draw_heart, outlines

STEP = 0.5  # mm
POSITIONS = np.meshgrid(np.arange(-70, 70, STEP), np.arange(-70, 70, STEP), indexing="ij")
ROUND = Heart(
    group="NOR",
    length=80.0,
    radius=25.0,
    wall=8.0,
    ejection=0.6,
    rv_width=33.0,
    rv_ejection=0.5,
    septum=np.pi,
    lesion=0.0,
    harmonics=((0.0, 0.0), (0.0, 0.0)),
    rv_tilt=0.0,
)


def area(heart, part, depth, squeeze):
    return float((outlines(heart, *POSITIONS, depth=depth, squeeze=squeeze)[part] < 0).sum() * STEP**2)


def volumes(heart, squeeze, thickness=2.0):
    """LV, myocardium and RV in ml, by adding up planes."""
    lv = epi = rv = 0.0
    for depth in np.arange(thickness / 2, heart.extent, thickness):
        lv += area(heart, "LV", depth, squeeze)
        epi += area(heart, "EPI", depth, squeeze)
        rv += area(heart, "RV", depth, squeeze)
    return np.array([lv, epi - lv, rv]) * thickness / 1000


@pytest.mark.parametrize("depth", [1.0, 40.0, 70.0])
def test_the_cavity_tapers_as_its_formula_says(depth):
    assert area(ROUND, "LV", depth, 0.0) == pytest.approx(np.pi * 25**2 * (1 - (depth / 80) ** 2.5), rel=0.02)


def test_the_cavity_empties_by_the_ejection_fraction():
    relaxed, squeezed = volumes(ROUND, 0.0)[0], volumes(ROUND, 1.0)[0]
    assert relaxed == pytest.approx(2.5 / 3.5 * np.pi * 25**2 * 80 / 1000, rel=0.02)
    assert 1 - squeezed / relaxed == pytest.approx(0.6, abs=0.02)


def test_the_myocardium_keeps_its_volume():
    assert volumes(ROUND, 1.0)[1] == pytest.approx(volumes(ROUND, 0.0)[1], rel=0.1)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("squeeze", [0.0, 0.5, 1.0])
def test_parts_neither_overlap_nor_leave_the_wall_open(group, squeeze):
    heart = draw_heart(group, np.random.default_rng(3), length=80.0)
    for depth in np.arange(-12.0, heart.extent + 10.0, 7.0):
        parts = outlines(heart, *POSITIONS, depth=depth, squeeze=squeeze)
        inside = {name: distance < 0 for name, distance in parts.items()}
        assert not (inside["LV"] & ~inside["EPI"]).any()
        assert not (inside["RV"] & inside["EPI"]).any()
        assert not (inside["ATRIA"] & (inside["EPI"] | inside["RV"])).any()
        if inside["LV"].any():
            assert parts["EPI"][inside["LV"]].max() < -2.0, "the wall is thinner than 2 mm"


def test_above_the_base_are_atria_and_below_the_apex_nothing():
    above = outlines(ROUND, *POSITIONS, depth=-1.0, squeeze=0.0)
    assert [name for name, distance in above.items() if (distance < 0).any()] == ["ATRIA"]
    below = outlines(ROUND, *POSITIONS, depth=ROUND.extent + 0.1, squeeze=0.0)
    assert not any((distance < 0).any() for distance in below.values())
    # the base comes down as the heart contracts: by 0.2 * 0.6 * 80 = 9.6 mm
    assert area(ROUND, "LV", 9.0, 1.0) == 0.0
    assert area(ROUND, "LV", 10.0, 1.0) > 0.0


def test_the_right_ventricle_lies_on_the_septal_side():
    inside = outlines(ROUND, *POSITIONS, depth=30.0, squeeze=0.0)["RV"] < 0
    assert POSITIONS[0][inside].mean() < -ROUND.radius


def test_a_scar_thins_the_wall_and_does_not_move():
    scarred = dataclasses.replace(ROUND, group="MINF", lesion=0.0)
    row = POSITIONS[0][:, 0]
    middle = POSITIONS[1].shape[1] // 2  # y = 0: from the septum (x < 0) through the axis to the scar (x > 0)

    def wall(heart, squeeze):
        parts = outlines(heart, *POSITIONS, depth=40.0, squeeze=squeeze)
        inside = (parts["EPI"][:, middle] < 0) & (parts["LV"][:, middle] >= 0)
        return (inside & (row > 0)).sum() * STEP, (inside & (row < 0)).sum() * STEP

    assert wall(scarred, 0.0)[0] < 0.7 * wall(scarred, 0.0)[1]
    assert wall(scarred, 1.0)[1] > 1.25 * wall(scarred, 0.0)[1]
    assert wall(scarred, 1.0)[0] < 0.7 * wall(scarred, 1.0)[1]


def test_groups_differ_as_their_pathology_does():
    hearts = {group: draw_heart(group, np.random.default_rng(5), length=85.0) for group in GROUPS}
    relaxed = {group: volumes(heart, 0.0, 5.0) for group, heart in hearts.items()}
    squeezed = {group: volumes(heart, 1.0, 5.0) for group, heart in hearts.items()}
    ejection = {group: 1 - squeezed[group] / relaxed[group] for group in GROUPS}
    assert relaxed["DCM"][0] > 1.4 * relaxed["NOR"][0]
    assert ejection["DCM"][0] < 0.4 < 0.5 < ejection["NOR"][0]
    assert ejection["MINF"][0] < 0.5
    assert relaxed["HCM"][1] > 1.6 * relaxed["NOR"][1]
    assert relaxed["RV"][2] > 1.4 * relaxed["NOR"][2]
    assert ejection["RV"][2] < 0.45 < ejection["NOR"][2]
