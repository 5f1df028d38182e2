"""Counts and overlap scores against hand-computed values, counting loops and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pipeline.metrics import overlap

# 8 voxels. truth: three 0, three 1, two 2. prediction: one 1 lost to 0, one 2 called 1.
TRUTH = np.array([[0, 0, 0, 1], [1, 1, 2, 2]])
PRED = np.array([[0, 0, 0, 0], [1, 1, 1, 2]])

label_pairs = array_shapes(min_dims=1, max_dims=4, max_side=5).flatmap(
    lambda shape: arrays(np.uint8, (2, *shape), elements=st.integers(0, 3))
)


def test_counts_by_hand() -> None:
    expected = [[3, 0, 0], [1, 2, 0], [0, 1, 1]]
    counts = overlap.confusion(PRED, TRUTH, 3)
    assert counts.tolist() == expected
    assert counts.dtype == np.int64


def test_scores_by_hand() -> None:
    counts = overlap.confusion(PRED, TRUTH, 3)
    assert overlap.dice(counts) == pytest.approx([6 / 7, 4 / 6, 2 / 3])
    assert overlap.iou(counts) == pytest.approx([3 / 4, 2 / 4, 1 / 2])
    assert overlap.pixel_error(counts) == pytest.approx([1 / 8, 2 / 8, 1 / 8])
    assert overlap.overall_pixel_error(counts) == pytest.approx(2 / 8)


def test_slices_by_hand() -> None:
    counts = overlap.slice_confusions(PRED.T, TRUTH.T, 3)
    assert counts.tolist() == [[[3, 0, 0], [1, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 2, 0], [0, 1, 1]]]
    assert overlap.dice(counts)[0, 1] == 0  # missed in the first row
    assert np.isnan(overlap.dice(counts)[0, 2])  # in neither map there
    assert overlap.overall_pixel_error(counts) == pytest.approx([1 / 4, 1 / 4])


@settings(deadline=None)
@given(label_pairs)
def test_counts_equal_a_loop_over_voxels(pair: np.ndarray) -> None:
    pred, truth = pair
    expected = np.zeros((4, 4), int)
    for t, p in zip(truth.ravel(), pred.ravel(), strict=True):
        expected[t, p] += 1
    assert (overlap.confusion(pred, truth, 4) == expected).all()


@settings(deadline=None)
@given(label_pairs)
def test_slices_are_the_counts_of_each_slice(pair: np.ndarray) -> None:
    pred, truth = pair
    found = overlap.slice_confusions(pred, truth, 4)
    parts = zip(np.moveaxis(pred, -1, 0), np.moveaxis(truth, -1, 0), strict=True)
    assert (found == [overlap.confusion(p, t, 4) for p, t in parts]).all()
    assert (found.sum(0) == overlap.confusion(pred, truth, 4)).all()


@settings(deadline=None)
@given(label_pairs)
def test_properties_of_the_scores(pair: np.ndarray) -> None:
    counts = overlap.confusion(*pair, 4)
    dice, iou = overlap.dice(counts), overlap.iou(counts)
    known = ~np.isnan(dice)
    assert (np.isnan(iou) == ~known).all()
    assert iou[known] == pytest.approx((dice / (2 - dice))[known])
    assert overlap.dice(counts.T)[known] == pytest.approx(dice[known])  # symmetric
    # every wrong voxel is one false positive and one false negative
    assert overlap.pixel_error(counts).sum() == pytest.approx(2 * overlap.overall_pixel_error(counts))


@settings(deadline=None)
@given(label_pairs)
def test_a_map_agrees_with_itself(pair: np.ndarray) -> None:
    counts = overlap.confusion(pair[0], pair[0], 4)
    dice = overlap.dice(counts)
    assert set(dice[~np.isnan(dice)]) == {1.0}
    assert overlap.overall_pixel_error(counts) == 0


def test_undefined_only_where_both_are_empty() -> None:
    truth, pred = np.array([0, 1, 1, 0]), np.array([0, 1, 0, 2])  # 2 only in the prediction, 3 in neither
    for score in (overlap.dice, overlap.iou):
        scores = score(overlap.confusion(pred, truth, 4))
        assert scores[2] == 0
        assert np.isnan(scores[3])


def test_memory_order_and_type_do_not_matter() -> None:
    pred, truth = np.random.default_rng(0).integers(0, 4, (2, 5, 6, 7))
    expected = overlap.slice_confusions(pred, truth, 4)
    for one in (np.asfortranarray(pred.astype(np.float32)), pred.astype(np.int16), pred[::-1].copy()[::-1]):
        assert (overlap.slice_confusions(one, truth.astype(np.uint8), 4) == expected).all()
    assert overlap.confusion(pred > 0, truth > 0, 2).sum() == pred.size


def test_many_classes_do_not_overflow() -> None:
    labels = np.arange(300)
    assert (overlap.confusion(labels, labels, 300) == np.eye(300)).all()
    assert (overlap.confusion(labels[:17], labels[:17], 17) == np.eye(17)).all()
    assert (overlap.confusion(labels[:200], labels[:200], 200) == np.eye(200)).all()


@pytest.mark.parametrize(
    ("labels", "named"),
    [([0, 1, 7, 9], "7, 9"), ([-1, 0, 1, 2], "-1"), ([0, 0.5, 1, 2], "0.5"), ([0, float("nan"), 1, 1], "nan")],
)
def test_values_that_are_no_labels_are_named(labels: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=rf"truth: labels are 0 to 3, found {named}"):
        overlap.confusion(np.zeros(4), np.array(labels), 4)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        overlap.confusion(np.zeros((2, 3)), np.zeros((3, 2)), 2)


def test_no_voxels_no_scores() -> None:
    counts = overlap.confusion(np.zeros((0, 3)), np.zeros((0, 3)), 2)
    assert counts.sum() == 0
    assert np.isnan(overlap.dice(counts)).all()
    assert np.isnan(overlap.overall_pixel_error(counts))
    assert overlap.slice_confusions(np.zeros((3, 0)), np.zeros((3, 0)), 2).shape == (0, 2, 2)
