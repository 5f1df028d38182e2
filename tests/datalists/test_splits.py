"""Folds and holdouts: properties that hold for every patient list, hand-counted cases, and nnU-Net's published rule."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.datalists.splits import holdout, kfold, nnunet_acdc_folds
from pipeline.errors import DataError

ACDC = [f"patient{number:03d}" for number in range(1, 101)]
ACDC_GROUPS = [("DCM", "HCM", "MINF", "NOR", "RV")[index // 20] for index in range(100)]


@st.composite
def cohorts(draw):
    """Patients, a group each, and sets of linked patients."""
    groups = draw(st.lists(st.sampled_from("abcd"), min_size=2, max_size=40))
    patients = [f"p{index:02d}" for index in range(len(groups))]
    links = draw(st.lists(st.sets(st.sampled_from(patients), min_size=2, max_size=3), max_size=3))
    return patients, groups, links


def separate(patients, links):
    """Number of connected sets of patients, by a search of its own."""
    left, count = set(patients), 0
    while left:
        reached = {left.pop()}
        while grown := {p for link in links if link & reached for p in link} - reached:
            reached |= grown
        left -= reached
        count += 1
    return count


@given(cohorts(), st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_kfold_places_everyone_once_fills_every_fold_and_keeps_links_together(cohort, folds, seed):
    patients, groups, links = cohort
    if separate(patients, links) < folds:
        with pytest.raises(DataError, match="folds"):
            kfold(patients, groups, folds=folds, seed=seed, together=links)
        return
    found = kfold(patients, groups, folds=folds, seed=seed, together=links)
    assert set(found) == set(patients)
    assert set(found.values()) == set(range(folds))
    for link in links:
        assert len({found[patient] for patient in link}) == 1


@given(cohorts(), st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_without_links_folds_differ_by_one_patient_at_most_in_the_whole_and_in_each_group(cohort, folds, seed):
    patients, groups, _ = cohort
    if len(patients) < folds:
        return
    found = kfold(patients, groups, folds=folds, seed=seed)
    for group in (*set(groups), None):
        counts = Counter(found[p] for p, g in zip(patients, groups, strict=True) if group in (g, None))
        sizes = [counts[fold] for fold in range(folds)]
        assert max(sizes) - min(sizes) <= 1


@given(cohorts(), st.integers(0, 9), st.randoms())
@settings(max_examples=50, deadline=None)
def test_kfold_does_not_depend_on_the_order_of_its_input(cohort, seed, random):
    patients, groups, links = cohort
    if separate(patients, links) < 2:
        return
    pairs = list(zip(patients, groups, strict=True))
    random.shuffle(pairs)
    shuffled = kfold(*map(list, zip(*pairs, strict=True)), folds=2, seed=seed, together=links[::-1])
    assert shuffled == kfold(patients, groups, folds=2, seed=seed, together=links)


def test_kfold_of_acdc_has_four_of_each_group_in_each_fold_with_a_linked_pair():
    found = kfold(ACDC, ACDC_GROUPS, together=[("patient074", "patient076")])
    counts = Counter(zip(found.values(), (ACDC_GROUPS[ACDC.index(patient)] for patient in found), strict=True))
    assert len(counts) == 25
    assert set(counts.values()) == {4}
    assert found["patient074"] == found["patient076"]


def test_seeds_give_different_folds():
    assert kfold(ACDC, ACDC_GROUPS, seed=0) != kfold(ACDC, ACDC_GROUPS, seed=1)


def test_chained_links_are_one_unit():
    found = kfold(list("abcdef"), ["x"] * 6, folds=2, together=[("a", "b"), ("b", "c"), ("c", "elsewhere")])
    assert found["a"] == found["b"] == found["c"]
    assert {found[patient] for patient in "def"} == {1 - found["a"]}


@pytest.mark.parametrize("folds", [0, 1, 4])
def test_folds_out_of_range_are_named(folds):
    with pytest.raises(DataError, match=f"between 2 and 3.* found {folds}"):
        kfold(["a", "b", "c"], ["x", "x", "y"], folds=folds)


def test_nnunet_folds_follow_the_published_rule():
    patients = np.unique(ACDC)  # the lines of nnU-Net's create_ACDC_split, Dataset027_ACDC.py
    np.random.RandomState(1234).shuffle(patients)
    found = nnunet_acdc_folds(reversed(ACDC))
    for fold in range(5):
        assert {patient for patient, there in found.items() if there == fold} == set(patients[fold::5])
    # numpy's legacy generator never changes: the first five validation patients, one in each fold
    first = [f"patient{index + 1:03d}" for index in np.random.RandomState(1234).permutation(100)[:5]]
    assert [found[patient] for patient in first] == [0, 1, 2, 3, 4]


def test_nnunet_folds_need_as_many_patients():
    with pytest.raises(DataError, match="at most 4"):
        nnunet_acdc_folds(ACDC[:4])


def test_holdout_of_acdc_is_14_2_4_in_each_group():
    found = holdout(ACDC, ACDC_GROUPS, together=[("patient074", "patient076")])
    counts = Counter(zip(ACDC_GROUPS, (found[patient] for patient in ACDC), strict=True))
    for group in set(ACDC_GROUPS) - {"NOR"}:
        assert [counts[group, side] for side in ("train", "validation", "test")] == [14, 2, 4]
    assert sum(counts["NOR", side] for side in ("train", "validation", "test")) == 20
    assert found["patient074"] == found["patient076"]


@given(cohorts(), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_holdout_leaves_no_side_empty(cohort, seed):
    patients, groups, links = cohort
    if separate(patients, links) < 3:
        with pytest.raises(DataError, match="70/10/20"):
            holdout(patients, groups, seed=seed, together=links)
        return
    found = holdout(patients, groups, seed=seed, together=links)
    assert set(found) == set(patients)
    assert set(found.values()) == {"train", "validation", "test"}
    assert all(len({found[patient] for patient in link}) == 1 for link in links)
