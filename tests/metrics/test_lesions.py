"""Lesions against hand-computed values, a brute-force oracle and MONAI's Dice by component."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.errors import DataError
from pipeline.metrics import lesions_among, parse_lesions
from pipeline.metrics.affected import Grid
from pipeline.metrics.lesions import check_lesions, components, score_lesions, scores_of, stratum_of

CUBE = Grid((10.0, 10.0, 10.0), np.diag([10.0, 10, 10, 1]))  # 1 ml a voxel
LABELS = {"infection": 1}
ONLY = {"infection": None}


def row_of(length: int, *spans: tuple[int, int]) -> np.ndarray:
    """(length, 1, 1) with ones in each span, its end excluded."""
    line = np.zeros((length, 1, 1), np.uint8)
    for first, end in spans:
        line[first:end] = 1
    return line


def by_source(rows: list[dict], source: str) -> list[dict]:
    return [row for row in rows if row["source"] == source]


def test_one_case_by_hand() -> None:
    truth = row_of(40, (0, 12), (20, 22), (30, 31))  # 12, 2 and 1 ml
    pred = row_of(40, (1, 10), (21, 24), (36, 37))  # finds 9 of the 12 and 1 of the 2, and one that is not there
    score = score_lesions(pred, truth, CUBE, LABELS, ONLY)
    large, middle, small = by_source(score.components, "truth")
    assert [row["ml"] for row in (large, middle, small)] == [12, 2, 1]
    assert [row["stratum"] for row in (large, middle, small)] == [">= 10 ml", "1 to 10 ml", "1 to 10 ml"]
    assert [row["covered"] for row in (large, middle, small)] == [9 / 12, 1 / 2, 0]
    assert [row["detected"] for row in (large, middle, small)] == [1, 1, 0]
    # the first has 9 predicted voxels, all its own; the second those at 21, 22 and 23; the last the one at 36
    assert [row["dice"] for row in (large, middle, small)] == pytest.approx([18 / 21, 2 / 5, 0])
    assert [row["x"] for row in (large, middle, small)] == [5.5, 20.5, 30]
    first, second, third = by_source(score.components, "pred")
    assert [row["detected"] for row in (first, second, third)] == [1, 1, 0]
    assert [row["covered"] for row in (first, second, third)] == pytest.approx([1, 1 / 3, 0])
    assert math.isnan(first["dice"])
    (case,) = score.cases
    assert {key: case[key] for key in ("truth", "detected", "missed", "pred", "false")} == {
        "truth": 3,
        "detected": 2,
        "missed": 1,
        "pred": 3,
        "false": 1,
    }
    assert (case["sensitivity"], case["precision"], case["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (case["load_truth_ml"], case["load_pred_ml"], case["note"]) == (15, 13, "")


@pytest.mark.parametrize(("covered", "detected"), [(1, 0), (2, 1)])
def test_a_tenth_must_be_covered(covered: int, detected: int) -> None:
    truth, pred = row_of(40, (0, 20)), row_of(40, (0, covered))
    assert score_lesions(pred, truth, CUBE, LABELS, ONLY).components[0]["detected"] == detected
    assert score_lesions(truth, pred, CUBE, LABELS, ONLY).components[1]["detected"] == detected  # of the predicted one


@pytest.mark.parametrize(
    ("truth", "pred", "sensitivity", "precision", "f1"),
    [
        ([], [], math.nan, math.nan, math.nan),
        ([(0, 2)], [], 0, math.nan, 0),
        ([], [(0, 2), (5, 6)], math.nan, 0, 0),
        ([(0, 2)], [(3, 4)], 0, 0, 0),
        ([(0, 2)], [(0, 2)], 1, 1, 1),
    ],
)
def test_empty_masks(truth: list, pred: list, sensitivity: float, precision: float, f1: float) -> None:
    (case,) = score_lesions(row_of(9, *pred), row_of(9, *truth), CUBE, LABELS, ONLY).cases
    assert (case["truth"], case["pred"]) == (len(truth), len(pred))
    found = case["sensitivity"], case["precision"], case["f1"]
    assert found == pytest.approx((sensitivity, precision, f1), nan_ok=True)


def test_rates_of_counts() -> None:
    assert scores_of([1, 1, 1, 0], [1, 1, 0, 0, 0, 0])["f1"] == pytest.approx(2 * 0.75 * (1 / 3) / (0.75 + 1 / 3))


def test_corners_join_in_volumes_and_in_slices() -> None:
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[3, 3, 3] = True
    parts, sizes = components(mask)
    assert sizes.tolist() == [2, 1]
    assert parts[0, 0, 0] == parts[1, 1, 1] == 1
    assert parts[3, 3, 3] == 2
    assert components(np.eye(4, dtype=bool)[..., None])[1].tolist() == [4]
    assert components(np.zeros((2, 2, 1), bool))[1].tolist() == []
    assert components(np.array([True, False, True]).reshape(1, 1, 3))[1].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("size", "stratum"), [(0.0999, "< 0.1 ml"), (0.1, "0.1 to 1 ml"), (1, "1 to 10 ml"), (10, ">= 10 ml")]
)
def test_bounds_of_the_strata(size: float, stratum: str) -> None:
    assert stratum_of(size, "ml") == stratum
    assert stratum_of(size, "percent") == stratum.replace("ml", "%")


def test_pictures_are_measured_in_percent() -> None:
    truth = np.zeros((20, 10, 1), np.uint8)
    truth[:3, 0] = 1
    grid = Grid((1.0, 1.0, 1.0), np.diag([-1.0, -1, 1, 1]), has_geometry=False)
    score = score_lesions(truth, truth, grid, LABELS, ONLY)
    assert score.components[0]["percent"] == pytest.approx(1.5)
    assert score.components[0]["stratum"] == "1 to 10 %"
    assert score.cases[0]["load_truth_percent"] == pytest.approx(1.5)
    assert "ml" not in score.components[0]


def nearest_by_loop(parts: np.ndarray, place: tuple[int, ...], spacing: tuple[float, ...]) -> set[int]:
    """Every lesion that is nearest to a voxel."""
    distance = {}
    for other in zip(*np.nonzero(parts), strict=True):
        mm = math.dist([a * s for a, s in zip(place, spacing, strict=True)], np.multiply(other, spacing))
        distance[parts[other]] = min(mm, distance.get(parts[other], math.inf))
    return {number for number, mm in distance.items() if mm <= min(distance.values()) + 1e-9}


@settings(deadline=None, max_examples=60)
@given(arrays(bool, (2, 6, 4, 3), elements=st.integers(0, 4).map(lambda n: n == 0)))
def test_against_loops(pair: np.ndarray) -> None:
    pred, truth = pair
    spacing = (1.0, 1.3, 4.0)
    rows = score_lesions(pred, truth, Grid(spacing, np.diag([*spacing, 1])), LABELS, ONLY).components
    parts, sizes = components(truth)
    # lesions are classes of voxels that reach each other by steps to one of the 26 neighbours
    for one, other in itertools.combinations(list(zip(*np.nonzero(truth), strict=True)), 2):
        if max(abs(a - b) for a, b in zip(one, other, strict=True)) == 1:
            assert parts[one] == parts[other]
    assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)
    truths = by_source(rows, "truth")
    assert [row["voxels"] for row in truths] == [int((parts == row["lesion"]).sum()) for row in truths]
    least, most = np.zeros((2, len(sizes) + 1), int)  # where two lesions are equally near, either may have the voxel
    for place in zip(*np.nonzero(pred & ~truth), strict=True):
        owners = nearest_by_loop(parts, place, spacing) if len(sizes) else set()
        for number in owners:
            most[number] += 1
            least[number] += len(owners) == 1
    for row in truths:
        both = int((pred & (parts == row["lesion"])).sum())
        assert row["covered"] == both / row["voxels"]
        total = row["voxels"] + both
        assert 2 * both / (total + most[row["lesion"]]) <= row["dice"] <= 2 * both / (total + least[row["lesion"]])
    swapped = score_lesions(truth, pred, Grid(spacing, np.eye(4)), LABELS, ONLY).components
    assert [row["covered"] for row in by_source(rows, "pred")] == [
        row["covered"] for row in by_source(swapped, "truth")
    ]


def test_dice_by_lesion_is_monai_s() -> None:
    torch = pytest.importorskip("torch")
    from monai.metrics import DiceMetric

    truth, pred = np.zeros((2, 24, 24, 12), np.uint8)
    truth[2:8, 2:8, 2:6], truth[14:17, 15:20, 5:9] = 1, 1
    pred[3:9, 2:8, 2:7], pred[13:17, 14:18, 5:8], pred[20:22, 2:4, 0:2] = 1, 1, 1
    hot = [torch.stack([torch.from_numpy(1 - mask), torch.from_numpy(mask)])[None] for mask in (pred, truth)]
    expected = DiceMetric(include_background=False, per_component=True)(*hot)
    rows = by_source(score_lesions(pred, truth, CUBE, LABELS, ONLY).components, "truth")
    assert np.mean([row["dice"] for row in rows]) == pytest.approx(float(torch.nanmean(expected)))


def test_dice_follows_millimetres() -> None:
    truth = np.zeros((7, 1, 7), np.uint8)
    truth[0, 0, 3], truth[3, 0, 0] = 1, 1
    pred = truth.copy()
    pred[3, 0, 3] = 1  # 3 voxels from either
    for spacing, owner in (((1.0, 1.0, 2.0), 0), ((2.0, 1.0, 1.0), 1)):
        rows = by_source(score_lesions(pred, truth, Grid(spacing, np.eye(4)), LABELS, ONLY).components, "truth")
        near = sorted(rows, key=lambda row: row["x"])
        assert [row["dice"] for row in near] == [2 / 3 if place == owner else 1.0 for place in (0, 1)]


BOTH = {"lungs": [1, 2], "infection": [2]}


def chest() -> np.ndarray:
    """Two lungs of 400 voxels in RAS; 40 of the left (smaller x) and 100 of the right are infected."""
    labels = np.zeros((24, 10, 10), np.uint8)
    labels[2:6], labels[16:20] = 1, 1
    labels[2, :4], labels[16] = 2, 2
    return labels


def test_affected_shares_by_hand() -> None:
    truth, pred = chest(), chest()
    pred[16] = 1
    score = score_lesions(pred, truth, CUBE, BOTH, {"infection": "lungs"})
    (case,) = score.cases
    found = {key: case[f"affected{key}_percent"] for key in ("_truth", "_left_truth", "_right_truth")}
    assert found == pytest.approx({"_truth": 100 * 140 / 800, "_left_truth": 10, "_right_truth": 25})
    assert case["affected_right_pred_percent"] == 0
    assert (case["organ_truth_ml"], case["organ_left_truth_ml"], case["organ_right_pred_ml"]) == (800, 400, 400)
    assert case["note"] == ""


def test_a_mask_may_number_infected_lung_once() -> None:
    single = {"lungs": 1, "infection": 2}
    (case,) = score_lesions(chest(), chest(), CUBE, single, {"infection": "lungs"}).cases
    assert case["affected_left_truth_percent"] == pytest.approx(10)


def test_shares_that_are_unknown_say_why() -> None:
    one_lung, none = chest(), chest()
    one_lung[12:] = 0
    none[none == 1] = 0
    (case,) = score_lesions(none, one_lung, CUBE, BOTH, {"infection": "lungs"}).cases
    assert case["affected_truth_percent"] == pytest.approx(10)
    assert math.isnan(case["affected_left_truth_percent"])
    assert math.isnan(case["affected_pred_percent"])
    assert case["note"] == "truth: left and right cannot be told apart; pred: no lungs in the mask"


def test_a_picture_does_not_say_where_the_left_is() -> None:
    picture = Grid((1.0, 1.0, 1.0), np.diag([-1.0, -1, 1, 1]), has_geometry=False)
    (case,) = score_lesions(chest(), chest(), picture, BOTH, {"infection": "lungs"}).cases
    assert case["affected_truth_percent"] == pytest.approx(100 * 140 / 800)
    assert math.isnan(case["affected_left_truth_percent"])
    assert math.isnan(case["organ_right_pred_percent"])
    assert case["note"] == "; ".join(f"{side}: left and right cannot be told apart" for side in ("truth", "pred"))


def test_lesions_in_words() -> None:
    assert parse_lesions("infection=lungs, nodule") == {"infection": "lungs", "nodule": None}
    assert check_lesions({"infection": "lungs"}, BOTH) == {"infection": "lungs"}
    assert check_lesions({"infection": "lungs"}, LABELS) == {"infection": None}
    assert check_lesions(None, LABELS) == {}
    assert lesions_among(LABELS, {"infection": "lungs", "nodule": None}) == {"infection": "lungs"}
    assert lesions_among(LABELS, None) == {}
    with pytest.raises(DataError, match="one of the structures lungs, infection, found nodule"):
        check_lesions({"nodule": None}, BOTH)
    with pytest.raises(DataError, match="one of the structures lungs, infection, found lung"):
        check_lesions({"infection": "lung"}, BOTH, organs=True)
    assert check_lesions({"infection": "lungs"}, BOTH, organs=True) == {"infection": "lungs"}
