"""ACDC's builder on hand-made folders, and on the real set against the list that is committed."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipeline.datalists.acdc import build, summary
from pipeline.datalists.datalist import load_datalist, save_datalist
from pipeline.errors import DataError

COMMITTED = Path(__file__).resolve().parents[2] / "data_lists" / "acdc.json"


def patient(folder, number, *, group="NOR", values=None, dtype=np.int16, frames=(1, 9), labels=True):
    """One patient as ACDC has it, with images of 4x3x2 voxels, all different unless `values` says otherwise."""
    name = f"patient{number:03d}"
    (folder / name).mkdir(parents=True)
    for frame in frames:
        start = number * 100 + frame if values is None else values + frame
        voxels = np.arange(start, start + 24, dtype=dtype).reshape(4, 3, 2)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / name / f"{name}_frame{frame:02d}.nii.gz")
        if labels:
            (folder / name / f"{name}_frame{frame:02d}_gt.nii.gz").touch()
    info = f"ED: {frames[0]}\nES: {frames[1]}\n" + (f"Group: {group}\n" if group else "")
    (folder / name / "Info.cfg").write_text(info + "Height: 170.0\nNbFrame: 30\nWeight: 70.5\n")
    return folder / name


@pytest.fixture
def root(tmp_path):
    for number in range(1, 11):
        patient(tmp_path / "acdc" / "training", number, group=("NOR", "DCM")[number % 2])
    return tmp_path / "acdc"


def test_one_patient_becomes_two_items(root):
    (ed, es) = build(root)["training"][:2]
    fold = ed.pop("fold")
    assert ed == {
        "image": "training/patient001/patient001_frame01.nii.gz",
        "label": "training/patient001/patient001_frame01_gt.nii.gz",
        "case": "patient001_ED",
        "patient": "patient001",
        "phase": "ED",
        "frame": 1,
        "group": "DCM",
        "height": 170.0,
        "weight": 70.5,
    }
    assert (es["case"], es["frame"], es["fold"]) == ("patient001_ES", 9, fold)


def test_what_is_no_frame_is_ignored(root):
    folder = root / "training" / "patient001"
    before = build(root)
    for name in ("patient001_4d.nii.gz", "._patient001_frame01.nii.gz", "MANDATORY_CITATION.md", ".DS_Store"):
        (folder / name).touch()
    (root / "training" / ".patient999").mkdir()
    (root / "README.md").touch()
    assert build(root) == before


def test_the_parent_and_training_itself_give_the_same_list(root):
    assert build(root) == build(root / "training")


def test_provenance_counts_and_holds_no_absolute_path(root, tmp_path):
    datalist = build(root)
    assert datalist["provenance"]["patients"] == 10
    assert datalist["provenance"]["cases"] == 20
    assert datalist["provenance"]["groups"] == {"DCM": 5, "NOR": 5}
    assert datalist["provenance"]["identical_images"] == []
    assert str(tmp_path) not in json.dumps(datalist)
    other = root.rename(tmp_path / "elsewhere")
    assert build(other)["provenance"] == datalist["provenance"]
    (root.parent / "elsewhere" / "training" / "patient010").rename(tmp_path / "gone")
    assert build(other)["provenance"]["files"] != datalist["provenance"]["files"]


def test_testing_patients_stay_out_of_the_folds_and_need_neither_label_nor_group(root):
    patient(root / "testing", 101, group=None, labels=False)
    patient(root / "testing", 102, group="RV")
    for split in ("kfold", "official"):
        datalist = build(root, split=split)
        assert len(datalist["training"]) == 20
        assert [item["case"] for item in datalist["testing"]] == [
            *("patient101_ED", "patient101_ES", "patient102_ED", "patient102_ES")
        ]
        assert not any("fold" in item for item in datalist["testing"])
        assert ["label" in item for item in datalist["testing"]] == [False, False, True, True]
        assert datalist["testing"][0]["image"] == "testing/patient101/patient101_frame01.nii.gz"
        assert "group" not in datalist["testing"][0]
    only = build(root / "testing")
    assert (only["training"], len(only["testing"])) == ([], 4)
    assert "2 patients, 4 cases" in summary(only)


@pytest.mark.parametrize("missing", ["training", "testing"])
def test_official_says_which_folder_is_missing(root, missing):
    if missing == "training":
        (root / "training").rename(root / "testing")
    with pytest.raises(DataError, match=f"found no patients in {missing}/"):
        build(root, split="official")


def test_70_10_20_puts_the_tenth_in_fold_0(root, caplog):
    for number in range(11, 21):
        patient(root / "training", number, group=("NOR", "DCM")[number % 2])
    patient(root / "testing", 101)
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        datalist = build(root, split="70-10-20")
    assert "the 1 patients of testing/ are in no part of the list" in caplog.text
    sizes = Counter(item["fold"] for item in datalist["training"])
    assert (sizes[0], sizes[1], len(datalist["testing"])) == (4, 28, 8)
    assert not any("fold" in item for item in datalist["testing"])


def test_an_unknown_split_is_one_line(root):
    with pytest.raises(DataError, match="kfold, official, nnunet, 70-10-20"):
        build(root, split="random")


def test_identical_images_are_found_across_types_and_kept_together(root, caplog):
    for number, dtype in ((31, np.int16), (32, np.float32)):
        patient(root / "training", number, group="RV", values=7000, dtype=dtype)
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        datalist = build(root)
    assert datalist["provenance"]["identical_images"] == [
        ["patient031_ED", "patient032_ED"],
        ["patient031_ES", "patient032_ES"],
    ]
    folds = {item["patient"]: item["fold"] for item in datalist["training"]}
    assert folds["patient031"] == folds["patient032"]
    assert [record.getMessage() for record in caplog.records] == [
        "patient031 and patient032 have identical images: kept on one side"
    ]
    assert f"patient031 and patient032 are kept in fold {folds['patient031']}" in summary(datalist)


def test_identical_frames_of_one_patient_are_no_finding(root):
    folder = root / "training" / "patient001"
    (folder / "patient001_frame09.nii.gz").write_bytes((folder / "patient001_frame01.nii.gz").read_bytes())
    assert build(root)["provenance"]["identical_images"] == []


def test_a_leak_of_nnunets_folds_is_kept_and_said(root, caplog):
    from pipeline.datalists.splits import nnunet_acdc_folds

    names = [f"patient{number:03d}" for number in (*range(1, 11), 31, 32)]
    folds = nnunet_acdc_folds(names)
    assert folds["patient031"] != folds["patient032"], "this pair would not leak: choose other numbers"
    for number in (31, 32):
        patient(root / "training", number, values=7000)
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        datalist = build(root, split="nnunet")
    assert {item["patient"]: item["fold"] for item in datalist["training"]} == folds
    assert "LEAK" in caplog.text
    assert "patient031 and patient032 LEAK between fold" in summary(datalist)


def test_every_problem_of_every_patient_is_named(root):
    folders = [root / "training" / f"patient{number:03d}" for number in range(1, 6)]
    (folders[0] / "patient001_frame01.nii.gz").unlink()
    (folders[1] / "patient002_frame09_gt.nii.gz").unlink()
    (folders[2] / "Info.cfg").unlink()
    (folders[3] / "Info.cfg").write_text("ED: 1\nGroup: RV\n")
    (folders[4] / "Info.cfg").write_text("ED: one\nES: 9\nGroup: RV\n")
    with pytest.raises(DataError) as caught:
        build(root)
    found = [(Path(problem.file).name, problem.expected) for problem in caught.value.problems]
    assert found == [
        ("patient001_frame01.nii.gz", "the ED image"),
        ("patient002_frame09_gt.nii.gz", "the ES mask"),
        ("Info.cfg", "Info.cfg"),
        ("Info.cfg", "a line 'ES: ...'"),
        ("Info.cfg", "numbers for ED, ES, Height and Weight"),
    ]


def test_a_truncated_image_is_named(root):
    path = root / "training" / "patient002" / "patient002_frame01.nii.gz"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError) as caught:
        build(root)
    assert [problem.file for problem in caught.value.problems] == [str(path)]


@pytest.mark.parametrize("kind", ["missing", "empty", "other"])
def test_a_folder_that_is_no_acdc_is_one_line(tmp_path, kind):
    folder = tmp_path / kind
    if kind != "missing":
        folder.mkdir()
    if kind == "other":
        (folder / "imagesTr").mkdir()
    with pytest.raises(DataError) as caught:
        build(folder)
    assert "\n" not in str(caught.value)
    assert "patientNNN" in str(caught.value)


@pytest.mark.real_data
def test_the_real_set_gives_the_committed_list(acdc_root, tmp_path):
    datalist = build(acdc_root)
    save_datalist(datalist, tmp_path / "acdc.json")
    built, committed = load_datalist(tmp_path / "acdc.json"), load_datalist(COMMITTED)
    for one in (built, committed):
        assert one["provenance"].pop("program").startswith("volseg ")  # the version may have moved on
    assert built == committed


def test_the_committed_list_holds_100_patients_evenly_and_the_known_pair():
    datalist = load_datalist(COMMITTED)
    assert len(datalist["training"]) == 200
    side = {item["patient"]: (item["fold"], item["group"]) for item in datalist["training"]}
    assert set(side) == {f"patient{number:03d}" for number in range(1, 101)}
    assert set(Counter(side.values()).values()) == {4}
    assert side["patient074"] == side["patient076"]
    assert datalist["provenance"]["identical_images"] == [
        ["patient074_ED", "patient076_ED"],
        ["patient074_ES", "patient076_ES"],
    ]
    assert summary(datalist).splitlines()[0] == "100 patients, 200 cases"
