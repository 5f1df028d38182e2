"""Left and right: lungs apart, touching, in any orientation, in thick and thin voxels, in a slice, and one alone."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from pipeline.metrics.sides import LEFT, RIGHT, split_sides

SPACING = (2.0, 2.0, 3.0)
RAS = np.diag([*SPACING, 1.0])


def lungs(bridge: int = 0, shape: tuple[int, int, int] = (80, 50, 40), gap: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Two ellipsoids in RAS (left is the smaller x), the right one larger; and which voxels are whose.

    They are joined by a bar of `bridge` x `bridge` voxels across the gap, which is cut at its middle.
    """
    x, y, z = np.indices(shape)
    middle, half, deep = shape[0] / 2, shape[1] / 2, shape[2] / 2
    sides = np.zeros(shape, np.uint8)
    for number, width, centre in ((LEFT, 14, middle - gap / 2 - 14), (RIGHT, 16, middle + gap / 2 + 16)):
        inside = ((x - centre) / width) ** 2 + ((y - half) / 20) ** 2 + ((z - deep) / max(deep - 1, 0.6)) ** 2 < 1
        sides[inside] = number
    bar = (abs(x - middle) <= gap) & (abs(y - half) < bridge / 2) & (abs(z - deep) < bridge / 2) & (sides == 0)
    sides[bar] = np.where(x < middle, LEFT, RIGHT)[bar]
    return sides > 0, sides


def test_lungs_apart_are_split_exactly() -> None:
    organ, expected = lungs()
    assert (split_sides(organ, SPACING, RAS) == expected).all()


@pytest.mark.parametrize("bridge", [2, 6, 10])
def test_touching_lungs_are_split_at_the_bridge(bridge: int) -> None:
    organ, expected = lungs(bridge)
    found = split_sides(organ, SPACING, RAS)
    assert ((found > 0) == organ).all()
    assert (found != expected).sum() <= 0.01 * organ.sum()
    assert (found != expected)[[*range(30), *range(52, 80)]].sum() == 0  # none but near the bridge


@pytest.mark.parametrize("codes", ["LPS", "RAI", "PIR", "SLA"])
def test_any_orientation(codes: str) -> None:
    organ, expected = lungs(4)
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    affine = RAS @ nib.orientations.inv_ornt_aff(turn, organ.shape)
    spacing = nib.affines.voxel_sizes(affine)
    found = split_sides(nib.apply_orientation(organ, turn), spacing, affine)
    assert (found != nib.apply_orientation(expected, turn)).sum() <= 0.01 * organ.sum()


@pytest.mark.parametrize("order", ["C", "F"])
def test_masks_are_split_alike_however_they_lie_in_memory(order: str) -> None:
    organ, expected = lungs(gap=10)
    mirrored = np.diag([-SPACING[0], *SPACING[1:], 1.0])  # x runs to the patient's left
    assert (split_sides(np.array(organ, order=order), SPACING, RAS) == expected).all()
    assert (split_sides(np.array(organ[::-1], order=order), SPACING, mirrored) == expected[::-1]).all()


def test_specks_belong_to_the_side_where_they_lie() -> None:
    organ, expected = lungs()
    organ[2, 3:5, 3], expected[2, 3:5, 3] = True, LEFT
    organ[77, 40, 30], expected[77, 40, 30] = True, RIGHT
    assert (split_sides(organ, SPACING, RAS) == expected).all()


def test_the_middle_of_the_image_does_not_matter() -> None:
    organ, expected = lungs()
    organ, expected = (np.pad(array, ((90, 3), (0, 0), (0, 0))) for array in (organ, expected))
    assert (split_sides(organ, SPACING, RAS) == expected).all()


def test_one_slice() -> None:
    organ, expected = lungs(shape=(160, 100, 1))
    assert organ.any()
    assert (split_sides(organ, (1.0, 1.0, 1.0), np.diag([-1.0, -1, 1, 1])) == np.where(organ, 3 - expected, 0)).all()


def test_fine_voxels_are_split_as_coarse_ones() -> None:
    organ, expected = lungs(4)
    organ, expected = (array.repeat(4, 0).repeat(4, 1) for array in (organ, expected))
    found = split_sides(organ, (0.5, 0.5, 3.0), np.diag([0.5, 0.5, 3, 1]))
    assert (found != expected).sum() <= 0.01 * organ.sum()


def test_where_there_are_no_two_sides() -> None:
    organ, sides = lungs()
    assert split_sides(np.zeros_like(organ), SPACING, RAS) is None
    assert split_sides(sides == LEFT, SPACING, RAS) is None  # one lung: which of the two is not to be seen
    upper = (sides == RIGHT) & (np.indices(organ.shape)[2] != 20)  # its lobes lie above each other
    assert split_sides(upper, SPACING, RAS) is None
    assert split_sides(np.ones((5, 5, 5), bool), SPACING, RAS) is None


def test_a_lung_in_two_pieces_beside_a_larger_whole() -> None:
    """A loose lobe is no side of its own while both lungs hang together."""
    organ, expected = lungs(4)
    lobe = (expected == LEFT) & (np.indices(organ.shape)[2] == 14)
    organ, expected = organ & ~lobe, np.where(lobe, 0, expected)
    found = split_sides(organ, SPACING, RAS)
    assert (found != expected).sum() <= 0.01 * organ.sum()
