"""Overlays: which cases and slices are shown, that contours lie where the masks are, and proportions."""

from __future__ import annotations

import json
from io import BytesIO

import nibabel as nib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from score_folder import score_row, write_scores, write_volumes

from pipeline.metrics.scores import read_scores
from pipeline.report.overlays import Choice, choose_cases, choose_slices, overlay
from pipeline.report.style import PRED, TRUTH


def scores_of(folder, dice: dict[str, float | None], **info):
    """Scores in which each case has the given mean Dice."""
    rows = [score_row(case, structure, value) for case, value in dice.items() for structure in ("LV", "mean")]
    write_scores(folder, rows, **info)
    write_volumes(folder, list(dice))
    return read_scores(folder)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([0.5], ["worst:0.5"]),
        ([0.5, 0.9], ["worst:0.5", "best:0.9"]),
        ([0.9, 0.5, 0.7], ["worst:0.5", "median:0.7", "best:0.9"]),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7], ["worst:0.1", "second worst:0.2", "median:0.4", "best:0.7"]),
    ],
)
def test_choice_of_cases(tmp_path, values, expected):
    scores = scores_of(tmp_path, {f"d{value}": value for value in values})
    assert [f"{choice.role}:{choice.case[1:]}" for choice in choose_cases(scores)] == expected


def test_missing_and_undefined_cases_are_not_shown(tmp_path):
    scores = scores_of(tmp_path, {"gone": 0.0, "undefined": None, "there": 0.8}, missing=["gone"])
    assert choose_cases(scores) == [Choice("worst", "there")]


def test_choice_of_slices():
    truth, pred = np.zeros((2, 14, 4, 4), np.uint8)
    truth[1:13, 1:3, 1:3] = 1  # slices 1 to 12: 1/6, 1/2 and 5/6 of 11 steps
    pred[...] = truth
    pred[11] = 0
    assert choose_slices(truth, pred) == [3, 7, 10, 11]
    assert choose_slices(truth * 0, pred * 0) == [7]
    assert choose_slices(truth[:1] + 1, pred[:1]) == [0]


def near(pixels: np.ndarray, colour: str) -> np.ndarray:
    return np.abs(pixels[..., :3] - to_rgb(colour)).max(-1) < 0.12


def test_both_outlines_are_drawn_and_truth_lies_left_of_the_shifted_prediction(tmp_path):
    scores = scores_of(tmp_path, {"one": 0.8})  # the prediction is shifted by one voxel along x
    pixels = imread(BytesIO(overlay(scores, Choice("worst", "one")).png))
    truth, pred = (np.argwhere(near(pixels, colour))[:, 1] for colour in (TRUTH, PRED))
    assert len(truth) > 100
    assert len(pred) > 100
    assert truth.min() < pred.min()
    assert truth.max() < pred.max()


def test_proportions_follow_the_spacing(tmp_path):
    folder = tmp_path
    scores = scores_of(folder, {"one": 0.8})
    entry = json.loads((folder / "cases.json").read_text(encoding="utf-8"))[0]
    square = np.zeros((40, 40, 1), np.uint8)
    square[10:20, 10:30] = 1  # 10 x 20 voxels of 3 x 1.5 mm: a square of 30 mm
    for path in (entry["image"], entry["label"], entry["pred"]):
        volume = nib.Nifti1Image(square, np.diag([-1, -1, 1, 1]))
        volume.header["pixdim"][1:4] = 3, 1.5, 8
        nib.save(volume, path)
    pixels = imread(BytesIO(overlay(scores, Choice("worst", "one")).png))
    height, width = np.ptp(np.argwhere(near(pixels, TRUTH)), axis=0)
    assert height == pytest.approx(width, rel=0.03)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAI"])
def test_the_patient_is_seen_the_same_way_in_any_orientation(tmp_path, codes):
    scores = scores_of(tmp_path, {"one": 0.8})
    entry = json.loads((tmp_path / "cases.json").read_text(encoding="utf-8"))[0]
    array = np.zeros((40, 40, 2), np.uint8)  # in LPS: a blob at the patient's left and front
    array[28:36, 4:12] = 1
    array[4:6, 30:32] = 1
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(codes))
    affine = np.diag([*(1 if code in "RAS" else -1 for code in codes), 1]) * np.diag([2, 2, 8, 1])
    for path in (entry["image"], entry["label"], entry["pred"]):
        nib.save(nib.Nifti1Image(nib.apply_orientation(array, turn), affine), path)
    pixels = imread(BytesIO(overlay(scores, Choice("worst", "one")).png))
    tile = near(pixels, PRED) | near(pixels, TRUTH)
    tile = tile[:, : pixels.shape[1] // 2]
    row, column = np.argwhere(tile).mean(0) / tile.shape
    assert row < 0.5 < column  # the large blob: above, and at the right of the picture


@pytest.mark.parametrize("fault", ["absent", "shape", "unnamed"])
def test_a_case_that_cannot_be_drawn_says_why(tmp_path, fault):
    scores = scores_of(tmp_path, {"one": 0.8})
    path = scores.files[0]["image"]
    if fault == "absent":
        scores.files[0]["image"] = path + ".gone"
    if fault == "shape":
        nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)), path)
    if fault == "unnamed":
        scores.files = []
    with pytest.raises(ValueError, match={"shape": "3D shape"}.get(fault, "no file for image")):
        overlay(scores, Choice("worst", "one"))


def test_a_case_that_is_one_slice_of_a_stack(tmp_path):
    """Image and label are the stack, the prediction is the slice alone; the label has numbers of its own."""
    stack = np.zeros((40, 40, 3), np.uint8)
    stack[10:30, 10:30, 1] = 7
    files = {"image": stack * 20, "label": stack, "pred": (stack[..., 1:2] > 0).astype(np.uint8)}
    for name, array in files.items():
        nib.save(nib.Nifti1Image(array, np.diag([-2, -2, 5, 1])), tmp_path / f"{name}.nii.gz")
    write_scores(tmp_path, [score_row("one", name, 1.0) for name in ("LV", "mean")], labels={"LV": 1})
    scores = read_scores(tmp_path)
    entry = {"case": "one", **{name: str(tmp_path / f"{name}.nii.gz") for name in files}}
    scores.files = [entry | {"slice": 1, "structures": {"LV": [7]}}]
    pixels = imread(BytesIO(overlay(scores, Choice("worst", "one")).png))
    truth, pred = (np.argwhere(near(pixels, colour)) for colour in (TRUTH, PRED))
    assert len(truth) > 100
    for ends in (np.min, np.max):  # the same block, the prediction's line over the truth's wider one
        assert ends(truth, 0) == pytest.approx(ends(pred, 0), abs=8)
    bright = pixels[..., :3].min(-1) > 0.9
    assert bright.sum() > 0.1 * bright.size  # the block of slice 1, not the empty slice 0
    scores.files = [entry | {"slice": 0, "structures": {"LV": [7]}}]
    assert not near(imread(BytesIO(overlay(scores, Choice("worst", "one")).png)), TRUTH).any()
