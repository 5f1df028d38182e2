"""Paired comparisons against hand-computed values and against their definitions."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pipeline.experiment.statistics import Comparison, compare, holm, rank_biserial


def series(values, names=None):
    return pd.Series(values, index=names or [f"p{i}" for i in range(len(values))], dtype=float)


def test_six_patients_who_all_gain_are_the_least_that_can_be_significant():
    first = series([0.5] * 6)
    c = compare(first, first.add(np.arange(1, 7) / 100))
    assert c.n == 6
    assert c.difference == pytest.approx(0.035)
    assert c.p == pytest.approx(2 / 2**6), "two of the 64 sign patterns are as extreme"
    assert c.effect == 1
    assert c.low > 0


def test_five_are_too_few_to_test():
    c = compare(series([0.5] * 5), series([0.6] * 5))
    assert math.isnan(c.p)
    assert not c.real
    assert c.difference == pytest.approx(0.1)


def test_only_patients_that_both_have_and_define_count():
    first = series([0.1, 0.2, np.nan, 0.4], ["a", "b", "c", "d"])
    second = series([0.3, 0.9, 0.9, 0.6], ["a", "x", "c", "d"])
    c = compare(first, second)
    assert c.n == 2
    assert (c.first, c.second) == (pytest.approx(0.25), pytest.approx(0.45))


def test_nothing_in_common_is_no_number():
    c = compare(series([0.1], ["a"]), series([0.2], ["b"]))
    assert c.n == 0
    assert math.isnan(c.difference)


def test_equal_values_are_no_difference():
    c = compare(series([0.5] * 8), series([0.5] * 8))
    assert (c.p, c.effect, c.real) == (1.0, 0.0, False)


def test_rank_biserial_by_hand():
    """Ranks 1, 2, 3 for -0.1, 0.2, 0.3: (5 - 1) / 6."""
    assert rank_biserial(np.array([-0.1, 0.2, 0.3, 0.0])) == pytest.approx(4 / 6)


def test_holm_by_hand():
    """0.01 x 3, then 0.03 x 2, then 0.04, which may not be smaller than the one before."""
    blank = Comparison(9, 0, 0, 0, 0, 0, 0)
    given_p = [0.04, 0.01, 0.03, math.nan]
    adjusted = [c.adjusted for c in holm([Comparison(9, 0, 0, 0, 0, p, 0) for p in given_p])]
    assert adjusted[:3] == [pytest.approx(0.06), pytest.approx(0.03), pytest.approx(0.06)]
    assert math.isnan(adjusted[3])
    assert math.isnan(blank.adjusted)


def test_seeds_that_disagree_make_no_real_difference():
    first, second = series(np.zeros(10)), series(np.linspace(0.01, 0.02, 10))
    assert compare(first, second, by_seed={"0": 0.01, "1": 0.02}).real
    assert not compare(first, second, by_seed={"0": 0.03, "1": -0.001}).real


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=6, max_size=9))
def test_swapping_the_two_turns_everything_round(pairs):
    first, second = (series([round(pair[i], 4) for pair in pairs]) for i in (0, 1))
    there, back = compare(first, second), compare(second, first)
    assert there.difference == pytest.approx(-back.difference)
    assert there.effect == pytest.approx(-back.effect)
    assert there.p == pytest.approx(back.p)
    differences = (second - first).to_numpy()
    if np.any(differences):
        assert there.p == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert -1 <= there.effect <= 1
