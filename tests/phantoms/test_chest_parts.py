"""What a synthetic chest is made of, against formulas: ovals, random fields, tubes and trees of tubes."""

from __future__ import annotations

from math import gamma, pi

import numpy as np
import pytest

from pipeline.phantoms.chest_texture import Texture
from pipeline.phantoms.chest_torso import BLUNT, ellipse, oval, smooth_max, smooth_min
from pipeline.phantoms.chest_tubes import Tubes, beside, grow, path, tube_share

STEP = 0.5
X = np.arange(-60, 60, STEP, dtype=np.float32)[:, None]
Y = np.arange(-60, 60, STEP, dtype=np.float32)[None]


def test_the_trunks_oval_has_the_area_of_a_superellipse():
    exact = 4 * 50 * 30 * gamma(1 + 1 / BLUNT) ** 2 / gamma(1 + 2 / BLUNT)
    assert (oval(X, Y, 50.0, 30.0) < 0).sum() * STEP**2 == pytest.approx(exact, rel=0.005)
    # 5 mm inside and outside of the border, on the axes
    distance = oval(np.array([[45.0], [55.0], [0.0]]), np.array([[0.0, 25.0, 35.0]]), 50.0, 30.0)
    assert distance[:2, 0] == pytest.approx([-5, 5], abs=0.01)
    assert distance[2, 1:] == pytest.approx([-5, 5], abs=0.01)


def test_the_distance_to_a_circle_is_exact():
    assert np.allclose(ellipse(X, Y, 20.0, 20.0), np.hypot(X, Y) - 20.0, atol=1e-4)


def test_a_texture_is_about_standard_normal_and_smooth():
    field = Texture(np.random.default_rng(0), grain=5.0)
    planes = np.stack([field.plane(X, Y, z) for z in np.arange(0.0, 144.0, 4.1)])
    assert abs(planes.mean()) < 0.05
    assert planes.std() == pytest.approx(1.0, abs=0.05)
    plane = field.plane(X * 3, Y * 3, 2.3)
    near, far = (np.abs(field.plane(X * 3, Y * 3, 2.3 + step) - plane).mean() for step in (0.1, 5.0))
    assert near < 0.1 * far
    assert np.allclose(field.plane(X, Y, 7.0)[::2, ::4], field.plane(X[::2], Y[:, ::4], 7.0)), "depends on the grid"


@pytest.mark.parametrize("radius", [8.0, 2.0])
def test_a_tube_across_the_plane_has_the_area_of_a_circle(radius):
    tube = path((3.0, 4.0, -30.0, radius), (3.0, 4.0, 30.0, radius))
    assert tube_share(tube, X, Y, 1.0, width=STEP).sum() * STEP**2 == pytest.approx(pi * radius**2, rel=0.03)
    assert tube_share(tube, X, Y, 30.0 + radius + STEP, width=STEP).max() == 0.0


@pytest.mark.parametrize("radius", [3.0, 0.5, 0.2, 0.05])
def test_a_tube_along_the_plane_keeps_its_width_however_thin(radius):
    tube = path((-200.0, 4.1, 0.0, radius), (200.0, 4.1, 0.0, radius))
    across = tube_share(tube, X, Y, 0.0, width=1.0).sum(axis=1) * STEP
    assert across == pytest.approx(2 * radius, rel=0.05)


def test_a_tube_narrows_from_one_end_to_the_other():
    tube = path((0.0, 0.0, 0.0, 9.0), (0.0, 0.0, 40.0, 3.0))
    areas = [tube_share(tube, X, Y, z, width=STEP).sum() * STEP**2 for z in (10.0, 30.0)]
    assert areas == pytest.approx([pi * 7.5**2, pi * 4.5**2], rel=0.06)


def test_no_tubes_fill_nothing():
    none = Tubes(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 2)))
    assert tube_share(none, X, Y, 0.0, width=1.0).shape == (X.size, Y.size)
    assert not tube_share(none, X, Y, 0.0, width=1.0).any()


def test_a_tree_reaches_every_twig_is_of_one_piece_and_thins_out():
    generator = np.random.default_rng(1)
    root, twigs = np.zeros(3), generator.uniform(-60, 60, size=(80, 3))
    tree = grow(root, twigs, generator, twig_radius=0.5)
    for twig in twigs:
        assert np.linalg.norm(tree.end - twig, axis=1).min() < 1e-9
    nodes = {tuple(place) for place in tree.end} | {tuple(root)}
    assert all(tuple(place) in nodes for place in tree.start), "a branch begins nowhere"
    assert len(tree) + 1 == len(nodes), "a branch is drawn twice"
    assert np.all(tree.radius[:, 1] <= tree.radius[:, 0] + 1e-9)
    assert np.linalg.norm(tree.end - tree.start, axis=1).max() < 20.0
    first = tree.where(np.all(tree.start == root, axis=1))
    assert first.radius.max() > 4 * 0.5, "the stem is hardly thicker than a twig"
    assert tree.radius.min() >= 0.5


def test_airways_run_beside_the_wider_vessels_and_touch_them():
    tubes = Tubes(np.zeros((2, 3)), np.array([[0.0, 0.0, 40.0], [40.0, 0.0, 0.0]]), np.array([[4.0, 4.0], [1.0, 1.0]]))
    airways = beside(tubes, least=2.0)
    assert len(airways) == 1
    assert airways.radius[0] == pytest.approx([3.0, 3.0])
    for z in (10.0, 30.0):  # seen from above, the walls (1 mm) of an airway meet the vessel and the lumen does not
        vessel, lumen, wall = (tube_share(t, X, Y, z, width=STEP) for t in (tubes, airways, airways.wider(1.2)))
        assert np.minimum(vessel, lumen).max() == 0.0
        assert np.minimum(vessel, wall).max() > 0.3


def test_smooth_extremes_differ_from_sharp_ones_only_near_the_edge():
    one, other = np.array([0.0, 0.0, 3.0]), np.array([9.0, 0.0, -2.0])
    assert smooth_min(one, other, 4.0) == pytest.approx([0.0, -1.0, -2.0])
    assert smooth_max(one, other, 4.0) == pytest.approx([9.0, 1.0, 3.0])
