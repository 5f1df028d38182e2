"""Axes and grids against their definitions, for any affine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pipeline.preflight.geometry import axes_fault, grid_problem, scan_warnings, unlike_pixdim, volume_shape
from pipeline.preflight.scan import Scan

ANGLE = st.floats(-np.pi, np.pi)
ROTATION = st.tuples(ANGLE, ANGLE, ANGLE).map(lambda angles: Rotation.from_euler("xyz", angles).as_matrix())
SPACING = st.tuples(*[st.floats(0.1, 12.0)] * 3)
ORIGIN = st.tuples(*[st.floats(-500, 500)] * 3)
FLIP = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)
SHAPE = st.tuples(*[st.integers(2, 300)] * 3)


def matrix(rotation: np.ndarray, spacing: tuple[float, ...], origin: tuple[float, ...] = (0, 0, 0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def scanned(affine: np.ndarray, shape: tuple[int, ...], name: str = "x.nii.gz") -> Scan:
    spacing = tuple(np.linalg.norm(affine[:3, :3], axis=0).tolist())
    return Scan(name, shape=shape, spacing=spacing, affine=affine, stated_affine=affine)


@settings(max_examples=100, deadline=None)
@given(ROTATION, SPACING, FLIP, st.permutations(range(3)))
def test_turned_mirrored_and_permuted_axes_are_upright(rotation, spacing, flip, order):
    affine = matrix((rotation * np.array(flip))[:, order], spacing)
    assert axes_fault(affine.astype(np.float32).astype(float)) == "", "as a header holds it"


@settings(max_examples=100, deadline=None)
@given(ROTATION, SPACING, st.floats(0.2, 80), st.sampled_from([(0, 1), (0, 2), (1, 2)]))
def test_a_tilted_axis_is_found_and_its_angle_told(rotation, spacing, tilt, axes):
    """Axis b is turned towards axis a by `tilt` degrees, so that 90 - tilt are left between them."""
    one, other = axes
    directions = np.eye(3)
    directions[one, other] = np.sin(np.radians(tilt))
    directions[other, other] = np.cos(np.radians(tilt))
    fault = axes_fault(matrix(rotation @ directions, spacing))
    assert float(fault.removeprefix("two axes at ").removesuffix(" degrees")) == pytest.approx(90 - tilt, abs=0.006)


@pytest.mark.parametrize(("broken", "told"), [
    (np.full((4, 4), np.nan), "NaN"),
    (np.diag([1.0, 0.0, 1.0, 1.0]), "span no volume"),
    (np.array([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1.0]]), "span no volume"),
])  # fmt: skip
def test_axes_that_are_none(broken, told):
    assert told in axes_fault(broken)


@settings(max_examples=100, deadline=None)
@given(ROTATION, SPACING, ORIGIN, SHAPE, st.floats(0, 3), ROTATION)
def test_a_shift_is_a_fault_from_a_tenth_of_a_millimetre_on(rotation, spacing, origin, shape, distance, towards):
    affine = matrix(rotation, spacing, origin)
    other = affine.copy()
    other[:3, 3] += distance * towards[:, 0]
    problem = grid_problem(scanned(other, shape), scanned(affine, shape, "image.nii.gz"))
    if distance < 0.0999:
        assert problem is None
    elif distance > 0.1001:
        assert float(problem.found.removeprefix("corners up to ").split()[0]) == pytest.approx(distance, abs=0.051)
        assert problem.expected == "the grid of image.nii.gz"


@settings(max_examples=100, deadline=None)
@given(ROTATION, SPACING, ORIGIN, SHAPE, st.floats(0.001, 1.0))
def test_a_turn_is_measured_at_the_far_corner(rotation, spacing, origin, shape, degrees):
    """Turned about the first voxel's third axis: by the chord of the corner that lies farthest from that axis."""
    affine = matrix(rotation, spacing, origin)
    turn = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    other = affine.copy()
    other[:3, :3] = rotation @ turn @ np.diag(spacing)
    radius = np.hypot((shape[0] - 1) * spacing[0], (shape[1] - 1) * spacing[1])
    chord = 2 * radius * np.sin(np.radians(degrees) / 2)
    problem = grid_problem(scanned(other, shape), scanned(affine, shape))
    if chord < 0.0999:
        assert problem is None
    elif chord > 0.1001:
        assert float(problem.found.split()[3]) == pytest.approx(chord, abs=0.051)


def test_pictures_have_no_grid_but_a_size():
    picture = Scan("a.png", shape=(8, 9, 1), has_geometry=False)
    far = scanned(matrix(np.eye(3), (2, 2, 2), (90, 0, 0)), (8, 9, 1))
    assert grid_problem(picture, far) is None
    assert grid_problem(Scan("b.png", shape=(9, 8, 1), has_geometry=False), picture).found == "9 x 8 x 1"
    assert (axes_fault(picture.stated_affine), unlike_pixdim(picture), list(scan_warnings(picture))) == ("", "", [])


def test_channels_in_a_fourth_axis_are_no_part_of_the_grid():
    affine = matrix(np.eye(3), (1, 2, 3))
    assert volume_shape((5, 6)) == (5, 6, 1)
    assert volume_shape((5, 6, 7, 2)) == (5, 6, 7)
    assert grid_problem(scanned(affine, (5, 6, 7)), scanned(affine, (5, 6, 7, 4))) is None


def test_odd_distances():
    metres = scanned(matrix(np.eye(3), (0.001, 0.001, 0.003)), (9, 9, 9))
    ((check, problem),) = scan_warnings(metres)
    assert (check, problem.found) == ("spacing", "0.001 x 0.001 x 0.003 mm")
    lost = Scan("x.nii.gz", shape=(9, 9, 9), spacing=(1.5, 1.5, 8.0))
    assert unlike_pixdim(lost) == "1 x 1 x 1 mm in the affine and 1.5 x 1.5 x 8 mm in pixdim"
