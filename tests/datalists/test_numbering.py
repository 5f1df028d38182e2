"""Numbers of a label file become 1, 2, 3, ..., nested structures keep what is inside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datalists.numbering import target_labels
from pipeline.errors import DataError
from pipeline.structures import numbers_of, relabel, structure_masks


def test_numbers_without_a_gap_stay_as_they_are():
    assert target_labels({"RV": [1], "LV": [3], "MYO": [2]}) == {"RV": 1, "LV": 3, "MYO": 2}


def test_other_numbers_become_1_to_n():
    assert target_labels({"liver": [63], "spleen": [252]}) == {"liver": 1, "spleen": 2}
    assert target_labels({"lesion": [255]}) == {"lesion": 1}


def test_a_structure_holds_those_inside_it_and_comes_before_them():
    kits = {"kidney": [1, 2, 3], "masses": [2, 3], "tumor": [2]}
    assert target_labels(kits) == {"kidney": [1, 2, 3], "masses": [2, 3], "tumor": 3}
    assert target_labels(kits, own={"kidney": 1, "masses": 3, "tumor": 2}) == {
        "kidney": [1, 3, 2],
        "masses": [3, 2],
        "tumor": 2,
    }
    turned = target_labels({"infection": [3], "lungs": [1, 2, 3]})
    assert list(turned.items()) == [("lungs", [1, 2]), ("infection", 2)]


@pytest.mark.parametrize(
    ("structures", "said"),
    [
        ({}, "none but the background"),
        ({"a": [1, 2], "b": [2, 3]}, "a and b, which share numbers"),
        ({"a": [1], "b": [1]}, "a and b, which share numbers"),
        ({"a": [256]}, "from 1 to 255 for a"),
        ({"a": []}, "from 1 to 255 for a"),
        ({"a": ["1"]}, "from 1 to 255 for a"),
    ],
)
def test_what_cannot_be_painted_is_refused(structures, said):
    with pytest.raises(DataError, match=said):
        target_labels(structures)


@settings(deadline=None, max_examples=50)
@given(st.permutations(range(1, 9)), st.integers(1, 8), st.data())
def test_the_truth_survives_relabelling(numbers, kinds, data):
    """A random forest of structures: each is apart from every other or inside it; relabelling must keep every mask."""
    structures, members = {}, {}
    for index, number in enumerate(numbers[:kinds]):
        parent = data.draw(st.sampled_from([None, *structures])) if structures else None
        name = f"s{index}"
        structures[name], members[name] = {number}, parent
        while parent is not None:
            structures[parent].add(number)
            parent = members[parent]
    listed = {name: sorted(values) for name, values in structures.items()}
    order = data.draw(st.permutations(list(listed)))
    listed = {name: listed[name] for name in order}
    labels = target_labels(listed)
    array = np.arange(9, dtype=np.uint8)
    painted = relabel(array, listed, labels)
    masks = dict(zip(numbers_of(labels), structure_masks(painted, labels), strict=True))
    for name, values in listed.items():
        assert np.array_equal(masks[name], np.isin(array, values)), name
    assert sorted({number for value in numbers_of(labels).values() for number in value}) == list(range(1, kinds + 1))
