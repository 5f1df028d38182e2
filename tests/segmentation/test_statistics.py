"""Statistics of a mask by hand: overlapping structures, pictures, lesions and the share of each lung."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import DataError
from pipeline.segmentation.statistics import measure, save_statistics

BOTH = {"background": 0, "lungs": [1, 2], "infection": [2]}
LESIONS = {"infection": "lungs"}


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    """Two lungs of 400 voxels of 0.1 ml in RAS; two lesions in the left one (smaller x), 40 and 10 voxels."""
    labels = np.zeros((24, 12, 12), np.uint8)
    labels[2:6, 1:11, 1:11], labels[16:20, 1:11, 1:11] = 1, 1
    labels[2, 1:5, 1:11], labels[5, 10, 1:11] = 2, 2
    nib.save(nib.Nifti1Image(labels, np.diag([5.0, 5.0, 4.0, 1.0])), tmp_path / "chest.nii.gz")
    return tmp_path / "chest.nii.gz"


def test_a_structure_that_holds_another_has_its_volume_too(chest: Path) -> None:
    found = measure(chest, chest, BOTH)
    assert found["structures"] == {
        "lungs": {"ml": 80.0, "voxels": 800, "touches_border": False},
        "infection": {"ml": 5.0, "voxels": 50, "touches_border": False},
    }
    assert "lesions" not in found


def test_lesions_and_lungs_by_hand(chest: Path) -> None:
    assert measure(chest, [chest, chest], BOTH, lesions=LESIONS)["lesions"] == {
        "infection": {
            "count": 2,
            "ml": [4.0, 1.0],
            "organ": "lungs",
            "organ_ml": {"both": 80.0, "left": 40.0, "right": 40.0},
            "affected_percent": {"both": 6.25, "left": 12.5, "right": 0.0},
            "reason": None,
        }
    }


def test_what_is_unknown_is_null_and_says_why(chest: Path) -> None:
    found = measure(chest, chest, {"infection": 2}, lesions=LESIONS)["lesions"]["infection"]
    assert found["affected_percent"] == {"both": None, "left": None, "right": None}
    assert found["reason"] == "the organ that holds it is not segmented"
    assert (found["count"], found["organ"]) == (2, "lungs")
    one = np.asarray(nib.load(chest).dataobj).copy()
    one[12:] = 0
    nib.save(nib.Nifti1Image(one, np.diag([5.0, 5.0, 4.0, 1.0])), chest)
    found = measure(chest, chest, BOTH, lesions=LESIONS)["lesions"]["infection"]
    assert found["affected_percent"] == {"both": 12.5, "left": None, "right": None}
    assert found["reason"] == "left and right cannot be told apart"


def test_no_lesion(chest: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), chest)
    found = measure(chest, chest, BOTH, lesions=LESIONS)["lesions"]["infection"]
    assert (found["count"], found["ml"], found["reason"]) == (0, [], "no lungs in the mask")


def test_pictures_have_percent_and_no_ml(tmp_path: Path) -> None:
    rows = np.zeros((10, 20), np.uint8)
    rows[:3, 4] = 1
    Image.fromarray(rows).save(tmp_path / "mask.png")
    found = measure(tmp_path / "mask.png", tmp_path / "mask.png", {"infection": 1}, lesions={"infection": None})
    assert (found["spacing_mm"], found["voxel_ml"]) == (None, None)
    assert found["reason"] == "the picture does not say how large its pixels are"
    assert found["structures"] == {"infection": {"ml": None, "percent": 1.5, "voxels": 3, "touches_border": True}}
    assert (found["lesions"]["infection"]["count"], found["lesions"]["infection"]["percent"]) == (1, [1.5])


def test_every_frame_has_its_lesions(tmp_path: Path) -> None:
    values = np.zeros((6, 6, 4, 2), np.uint8)
    values[1, 1, 1, 1] = 1
    nib.save(nib.Nifti1Image(values, np.diag([5.0, 5, 4, 1])), tmp_path / "a.nii.gz")
    frames = measure(tmp_path / "a.nii.gz", tmp_path / "a.nii.gz", {"x": 1}, lesions={"x": None})["frames"]
    assert [frame["lesions"]["x"]["count"] for frame in frames] == [0, 1]


def test_the_file_is_json_and_keeps_other_cases(chest: Path, tmp_path: Path) -> None:
    save_statistics(tmp_path / "s.json", {"a": measure(chest, chest, BOTH, lesions=LESIONS)}, BOTH)
    save_statistics(tmp_path / "s.json", {"b": measure(chest, chest, BOTH)}, BOTH)
    content = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    assert set(content["cases"]) == {"a", "b"}
    assert content["labels"] == BOTH


def test_lesions_must_be_structures(chest: Path) -> None:
    with pytest.raises(DataError, match="found nodule"):
        measure(chest, chest, BOTH, lesions={"nodule": None})
