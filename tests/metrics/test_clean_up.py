"""Clean-up is kept only where it does not lose."""

import json

import nibabel as nib
import numpy as np
import pytest

from pipeline.metrics.clean_up import compare_clean_up


def case(folder, name, lesions, pred_lesions):
    """A volume of 1 mm voxels with cubes of the given edge, one for each number, in a row."""
    paths = {}
    for kind, edges in (("label", lesions), ("pred", pred_lesions)):
        array = np.zeros((60, 10, 10), np.uint8)
        for place, edge in enumerate(edges):
            array[12 * place : 12 * place + edge, :edge, :edge] = 1
        paths[kind] = str(folder / f"{name}_{kind}.nii.gz")
        nib.save(nib.Nifti1Image(array, np.eye(4)), paths[kind])
    return {"case": name, **paths}


def compare(tmp_path, *pairs):
    cases = [case(tmp_path, f"case{index}", *pair) for index, pair in enumerate(pairs)]
    keep = compare_clean_up(cases, {"infection": 1}, tmp_path / "out", sizes=[0.01, 0.1])
    content = json.loads((tmp_path / "out" / "clean_up.json").read_text(encoding="utf-8"))
    assert content["keep"] == keep
    return keep, [row["dice"]["infection"] for row in content["sizes"]]


def test_specks_that_are_false_are_worth_removing(tmp_path):
    keep, dice = compare(tmp_path, ([8], [8, 2]), ([6], [6, 0, 2]))
    assert keep == 0.01, "a cube of 2 mm is 0.008 ml"
    assert dice[0] == pytest.approx((1024 / 1032 + 432 / 440) / 2)
    assert dice[1:] == [1.0, 1.0]


def test_small_true_lesions_forbid_it(tmp_path):
    keep, dice = compare(tmp_path, ([8, 2], [8, 2]))
    assert dice == [1.0, pytest.approx(1024 / 1032), pytest.approx(1024 / 1032)]
    assert keep == 0.0


def test_a_case_that_is_lost_whole_counts(tmp_path):
    keep, dice = compare(tmp_path, ([4], [4]), ([8], [8]))
    assert dice == [1.0, 1.0, 0.5], "0.064 ml are below 0.1 ml"
    assert keep == 0.0


def test_a_case_without_lesions_in_either_mask_is_left_out_of_the_means(tmp_path):
    assert compare(tmp_path, ([], []), ([8], [8, 2])) == (0.01, [pytest.approx(1024 / 1032), 1.0, 1.0])
