import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.structures import numbers_of, own_numbers, relabel, structure_masks

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


def test_a_structure_that_was_not_drawn_is_named():
    with pytest.raises(DataError, match=r"mask.nii: expected a mask of lungs, found only infection"):
        relabel(np.zeros(3), {"infection": [1]}, BOTH, source="mask.nii")
