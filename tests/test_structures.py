import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.structures import (
    count_voxels,
    members,
    numbers_of,
    own_numbers,
    relabel,
    remove_small_components,
    structure_masks,
)

BOTH = {"background": 0, "lungs": [1, 2], "infection": [2]}


def test_single_numbers_and_regions_are_read_alike():
    assert numbers_of({"background": 0, "RV": 1, "LV": 3}) == {"RV": (1,), "LV": (3,)}
    assert numbers_of(BOTH) == {"lungs": (1, 2), "infection": (2,)}
    assert own_numbers(BOTH) == {"lungs": 1, "infection": 2}


@pytest.mark.parametrize("labels", [{}, {"background": 0}, {"a": 1, "b": 1}, {"a": 300}, {"a": "1"}, {"a": []}])
def test_labels_of_another_form_are_refused(labels):
    with pytest.raises(DataError, match="structures with one number each"):
        numbers_of(labels)


def test_a_structure_that_holds_another_covers_its_voxels():
    masks = structure_masks(np.array([0, 1, 2, 1]), BOTH)
    assert masks.tolist() == [[False, True, True, True], [False, False, True, False]]


def test_a_file_s_own_numbers_become_ours():
    combined = np.array([[0, 1], [2, 3]], np.int16)  # left lung, right lung, infection
    values = {"lungs": [1, 2, 3], "infection": [3]}
    assert relabel(combined, values, BOTH).tolist() == [[0, 1], [1, 2]]
    assert relabel(combined, values, {"infection": 1}).tolist() == [[0, 0], [0, 1]]
    assert relabel(combined, values, {"lungs": 1}).tolist() == [[0, 1], [1, 1]]
    assert relabel(combined, None, BOTH) is combined


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"liver": [1, 2], "tumour": 2}, [0, 1, 2]),
        ({"tumour": 2, "liver": [1, 2]}, [0, 1, 2]),
        ({"tumour": 1, "liver": 2}, [0, 2, 1]),
    ],
)
def test_an_inner_structure_stays_visible_whatever_the_order(labels, expected):
    assert relabel(np.array([0, 1, 2]), {"liver": [1, 2], "tumour": [2]}, labels).tolist() == expected


def test_small_pieces_go_and_inner_structures_stay_whatever_the_order():
    mask = np.array([1, 1, 2, 2, 1, 0, 1], np.uint8).reshape(7, 1, 1)
    for labels in ({"liver": [1, 2], "tumour": 2}, {"tumour": 2, "liver": [1, 2]}):
        assert remove_small_components(mask, labels, 2).flatten().tolist() == [1, 1, 2, 2, 1, 0, 0]


def test_a_structure_that_was_not_drawn_is_named():
    with pytest.raises(DataError, match=r"mask.nii: expected a mask of lungs, found only infection"):
        relabel(np.zeros(3), {"infection": [1]}, BOTH, source="mask.nii")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("turn", [lambda a: a, np.asfortranarray, lambda a: a[::-1, ::2], lambda a: a.T])
def test_members_and_counts_are_those_of_numpy_however_the_array_lies_in_memory(dtype, turn):
    array = turn(np.random.default_rng(0).integers(0, 6, (4, 6, 5)).astype(dtype))
    assert np.array_equal(members(array, (2, 5)), np.isin(array, [2, 5]))
    assert count_voxels(array, 9).tolist() == [int((array == number).sum()) for number in range(9)]


def test_numbers_beyond_8_bits_are_no_members_of_what_they_become_there():
    assert members(np.array([258, 2], np.uint16), [2]).tolist() == [False, True]
    assert not members(np.array([2], np.uint8), [258]).any()


def test_an_empty_array_has_no_voxels():
    assert count_voxels(np.zeros((0, 3, 2), np.uint8), 3).tolist() == [0, 0, 0]
