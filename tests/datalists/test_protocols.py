"""The published protocols on the 20 cases: counts by hand, patients whole, and every other set refused."""

from __future__ import annotations

import random

import pytest

from pipeline.datalists.protocols import PROTOCOLS, twenty_cases
from pipeline.errors import DataError


def the_twenty():
    """Ten coronacases, ten radiopaedia; numbers 10 and 29 of the latter are two scans of one patient."""
    items = [{"case": f"coronacases_{n:03d}", "patient": f"c{n}", "group": "coronacases"} for n in range(1, 11)]
    pages = [4, 7, 10, 10, 14, 27, 29, 29, 36, 40]
    for index, page in enumerate(pages):
        items.append({"case": f"radiopaedia_{index}", "patient": f"r{page}", "group": "radiopaedia"})
    return items


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_fold_has_two_cases_of_each_source_and_no_patient_is_split(protocol):
    items = the_twenty()
    folds, _ = twenty_cases(items, protocol)
    assert set(folds) == {item["case"] for item in items}
    for fold in range(5):
        members = [item for item in items if folds[item["case"]] == fold]
        assert [sum(item["group"] == source for item in members) for source in ("coronacases", "radiopaedia")] == [2, 2]
    for patient in {item["patient"] for item in items}:
        assert len({folds[item["case"]] for item in items if item["patient"] == patient}) == 1


def test_both_protocols_share_their_folds_and_differ_in_the_side_that_is_trained_on():
    shuffled = the_twenty()
    random.Random(1).shuffle(shuffled)
    four, meta_four = twenty_cases(the_twenty(), "benchmark-4-16")
    sixteen, meta_sixteen = twenty_cases(shuffled, "miscnn-16-4")
    assert four == sixteen
    assert meta_four["train_on"] == "fold"
    assert "train_on" not in meta_sixteen


@pytest.mark.parametrize("left", [0, 19])
def test_any_other_set_is_refused_in_one_line(left):
    with pytest.raises(DataError, match=r"split miscnn-16-4: expected the 20 cases .*10 coronacases and 10") as caught:
        twenty_cases(the_twenty()[:left], "miscnn-16-4")
    assert len(caught.value.problems) == 1


def test_a_name_that_is_no_protocol_is_a_programming_error():
    with pytest.raises(ValueError, match="no such protocol"):
        twenty_cases(the_twenty(), "8-12")
