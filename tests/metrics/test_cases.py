"""Scores of one case against hand-computed values and against the metric of validation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.metrics import CaseDice, parse_labels, score_case
from pipeline.metrics.labels import compact, structures_of
from pipeline.metrics.surface import hausdorff, surface_distances

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
SPACING = (2.0, 1.0, 10.0)


def two_slices() -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction (3, 4, 2): RV partly found, MYO missed, LV in neither; 20 mm3 a voxel."""
    truth, pred = np.zeros((2, 3, 4, 2), np.uint8)
    truth[0, :2, 0] = 1
    truth[2, 0, 1] = 2
    pred[0, :3, 0] = 1
    return pred, truth


def by_name(rows: list[dict]) -> dict[str, dict]:
    return {row["structure"]: row for row in rows}


def test_rows_by_hand() -> None:
    rows = by_name(score_case(*two_slices(), SPACING, LABELS).structures)
    assert list(rows) == ["RV", "MYO", "LV", "mean"]
    rv = rows["RV"]
    assert (rv["dice"], rv["iou"], rv["pixel_error"]) == pytest.approx((4 / 5, 2 / 3, 1 / 24))
    assert rv["hd_mm"] == 1.0  # one voxel further along y
    assert rv["hd95_mm"] == pytest.approx(0.9)  # 95th percentile of [0 0 1] is 0.9, of [0 0] is 0
    assert (rv["truth_ml"], rv["pred_ml"]) == pytest.approx((0.04, 0.06))
    assert (rv["truth_voxels"], rv["pred_voxels"], rv["empty"]) == (2, 3, "")
    assert (rows["MYO"]["dice"], rows["MYO"]["iou"], rows["MYO"]["empty"]) == (0.0, 0.0, "pred")
    assert rows["LV"]["empty"] == "both"
    assert all(math.isnan(rows["LV"][metric]) for metric in ("dice", "iou", "hd_mm", "hd95_mm"))
    mean = rows["mean"]
    assert mean["dice"] == pytest.approx((4 / 5 + 0) / 2)
    assert mean["pixel_error"] == pytest.approx(2 / 24)
    assert math.isnan(mean["hd_mm"])  # MYO was missed: the case must not profit from that
    assert mean["truth_ml"] is None


def test_slices_by_hand() -> None:
    slices = score_case(*two_slices(), SPACING, LABELS).slices
    assert [row["slice"] for row in slices] == [0] * 4 + [1] * 4
    first, second = by_name(slices[:4]), by_name(slices[4:])
    assert first["RV"]["dice"] == pytest.approx(4 / 5)
    assert first["RV"]["pixel_error"] == pytest.approx(1 / 12)
    assert first["mean"]["dice"] == pytest.approx(4 / 5)  # the others are in neither mask here
    assert second["MYO"]["dice"] == 0
    assert (second["MYO"]["empty"], second["RV"]["empty"]) == ("pred", "both")
    assert second["mean"]["pixel_error"] == pytest.approx(1 / 12)


@pytest.mark.parametrize("corner", [(0, 0, 0), (3, 2, 1), (6, 5, 4)])
def test_distances_do_not_depend_on_the_background_around(corner: tuple[int, int, int]) -> None:
    small = np.random.default_rng(1).integers(0, 4, (2, 6, 5, 4))
    large = np.zeros((2, 12, 10, 8), int)
    large[(slice(None), *(slice(start, start + size) for start, size in zip(corner, (6, 5, 4), strict=True)))] = small
    for structure, number in (("RV", 1), ("LV", 3)):
        expected = hausdorff(surface_distances(*(small == number), SPACING))
        assert by_name(score_case(*large, SPACING, LABELS).structures)[structure]["hd_mm"] == expected


@pytest.mark.parametrize("across", [0, 2])
def test_of_one_slice_distances_run_between_outlines(across: int) -> None:
    """A square of 9 x 9 within one of 11 x 11: 4 corners lie a diagonal off, of 40 outline pixels or 121 in all."""
    pred, truth = np.zeros((2, 20, 20), np.uint8)
    truth[4:15, 4:15] = 1
    pred[5:14, 5:14] = 1
    spacing = np.insert([2.0, 2.0], across, 8.0)
    rows = by_name(score_case(*(np.expand_dims(mask, across) for mask in (pred, truth)), spacing, {"RV": 1}).structures)
    assert rows["RV"]["hd_mm"] == rows["RV"]["hd95_mm"] == pytest.approx(2 * math.sqrt(2))
    assert rows["RV"]["truth_ml"] == pytest.approx(121 * 2 * 2 * 8 / 1000)


def test_of_one_slice_distances_are_those_of_monai_in_2d() -> None:
    torch = pytest.importorskip("torch")
    from monai.metrics import compute_hausdorff_distance
    from scipy.ndimage import gaussian_filter

    blobs = gaussian_filter(np.random.default_rng(3).normal(size=(2, 40, 48)), (0, 4, 4)) > 0
    options = {"include_background": True, "spacing": (1.5, 0.7)}
    planes = [torch.from_numpy(blob)[None, None] for blob in blobs]
    rows = by_name(score_case(*blobs[..., None].astype(np.uint8), (1.5, 0.7, 10.0), {"RV": 1}).structures)
    assert rows["RV"]["hd_mm"] == pytest.approx(float(compute_hausdorff_distance(*planes, **options)), rel=1e-5)
    expected = float(compute_hausdorff_distance(*planes, percentile=95, **options))
    assert rows["RV"]["hd95_mm"] == pytest.approx(expected, rel=1e-5)


def test_slices_are_counted_across_the_slices() -> None:
    pred, truth = two_slices()
    first = [np.moveaxis(mask, 2, 0) for mask in (pred, truth)]
    turned = score_case(*first, (10.0, 2.0, 1.0), LABELS)
    np.testing.assert_equal(turned.slices, score_case(pred, truth, SPACING, LABELS).slices)


def test_equals_the_metric_of_validation() -> None:
    torch = pytest.importorskip("torch")
    pred, truth = np.random.default_rng(0).integers(0, 4, (2, 7, 6, 5))
    structures = {"RV": 1, "MYO": 2, "LV": 3}
    metric = CaseDice(structures)
    metric([torch.from_numpy(pred)[None]], [torch.from_numpy(truth)[None]])
    rows = by_name(score_case(pred, truth, SPACING, LABELS).structures)
    assert metric.aggregate().item() == pytest.approx(rows["mean"]["dice"])
    assert metric.by_structure() == pytest.approx({name: rows[name]["dice"] for name in structures})


def test_label_numbers_may_be_any() -> None:
    pred, truth = two_slices()
    numbers = np.array([0, 205, 40, 1000], np.int32)
    other = score_case(numbers[pred], numbers[truth], SPACING, {"RV": 205, "MYO": 40, "LV": 1000})
    np.testing.assert_equal(other.structures, score_case(pred, truth, SPACING, LABELS).structures)
    with pytest.raises(ValueError, match="prediction: labels are 0, 40, 205, found 1000"):
        score_case(numbers[np.full((2, 2, 2), 3)], np.zeros((2, 2, 2)), SPACING, {"RV": 205, "MYO": 40})


def test_compact_by_hand() -> None:
    assert compact(np.array([0, 9, 4, 4.0]), {"a": 4, "b": 9}).tolist() == [0, 2, 1, 1]
    with pytest.raises(ValueError, match=r"found 4\.5, 10"):
        compact(np.array([0, 9, 4.5, 10]), {"a": 4, "b": 9})


@pytest.mark.parametrize("text", ["1=RV,2=MYO,3=LV", "RV=1, MYO=2 , LV=3,", "0=background,1=RV,2=MYO,3=LV"])
def test_labels_in_words(text: str) -> None:
    assert parse_labels(text) == {"RV": 1, "MYO": 2, "LV": 3}


@pytest.mark.parametrize("text", ["", "RV", "1=RV,1=LV", "1=RV,2=RV", "=1", "1=mean", "0=background", "1=2=3,a=b"])
def test_labels_that_are_none(text: str) -> None:
    with pytest.raises(DataError, match="1=RV,2=MYO,3=LV"):
        parse_labels(text)


@pytest.mark.parametrize("labels", [{}, {"RV": -1}, {"RV": 1, "LV": 1}, {"RV": 1.5}, {"mean": 1}])
def test_structures_that_are_none(labels: dict) -> None:
    with pytest.raises(DataError):
        structures_of(labels)


BOTH = {"background": 0, "lungs": [1, 2], "infection": [2]}


def test_overlapping_structures_by_hand() -> None:
    """Lungs 1 and 2, infection 2, in one row of 8 voxels of 20 mm3."""
    truth = np.array([0, 1, 1, 2, 2, 1, 0, 0], np.uint8).reshape(8, 1, 1)
    pred = np.array([0, 1, 2, 2, 1, 0, 0, 0], np.uint8).reshape(8, 1, 1)
    rows = by_name(score_case(pred, truth, SPACING, BOTH).structures)
    lungs, infection, mean = rows["lungs"], rows["infection"], rows["mean"]
    # lungs: truth voxels 1-5, prediction 1-4. infection: truth 3 and 4, prediction 2 and 3
    assert (lungs["dice"], lungs["iou"], lungs["pixel_error"]) == pytest.approx((8 / 9, 4 / 5, 1 / 8))
    assert (lungs["truth_voxels"], lungs["pred_voxels"], lungs["truth_ml"]) == (5, 4, pytest.approx(0.1))
    assert (infection["dice"], infection["pixel_error"], infection["truth_voxels"]) == (0.5, 2 / 8, 2)
    assert (lungs["hd_mm"], infection["hd_mm"]) == (2.0, 2.0)  # voxel 5 is 2 mm from 4; 2 and 4 are 2 mm from 3
    assert mean["dice"] == pytest.approx((8 / 9 + 0.5) / 2)
    assert mean["pixel_error"] == 3 / 8  # numbers differ at 2, 4 and 5


def test_overlapping_structures_are_scored_as_their_masks_alone() -> None:
    pred, truth = np.random.default_rng(3).integers(0, 4, (2, 6, 5, 4))
    labels = {"all": [7, 40, 300], "some": [40, 300], "last": 300}
    numbers = np.array([0, 7, 40, 300])
    found = score_case(numbers[pred], numbers[truth], SPACING, labels)
    for first, name in enumerate(labels, start=1):
        alone = score_case(pred >= first, truth >= first, SPACING, {name: 1})
        for rows, own in ((found.structures, alone.structures), (found.slices, alone.slices)):
            np.testing.assert_equal(*([row for row in part if row["structure"] == name] for part in (rows, own)))


def test_validation_scores_overlapping_structures_alike() -> None:
    torch = pytest.importorskip("torch")
    pred, truth = np.random.default_rng(0).integers(0, 3, (2, 7, 6, 5))
    metric = CaseDice({"lungs": [1, 2], "infection": [2]})
    metric([torch.from_numpy(pred)[None]], [torch.from_numpy(truth)[None]])
    rows = by_name(score_case(pred, truth, SPACING, BOTH).structures)
    assert metric.by_structure() == pytest.approx({name: rows[name]["dice"] for name in ("lungs", "infection")})


def test_overlapping_labels_in_words() -> None:
    expected = {"lungs": [1, 2], "infection": 2}
    assert parse_labels("lungs=1+2,infection=2") == parse_labels("1 + 2=lungs, 2=infection") == expected


@pytest.mark.parametrize("text", ["lungs=1+,infection=2", "lungs=2+1,infection=2", "lungs=+1"])
def test_overlapping_labels_that_are_none(text: str) -> None:
    with pytest.raises(DataError, match=r"lungs=1\+2,infection=2"):
        parse_labels(text)


def test_compact_of_overlapping_structures() -> None:
    assert compact(np.array([0, 9, 4, 2]), {"a": [4, 9], "b": [9, 2]}).tolist() == [0, 2, 1, 3]
