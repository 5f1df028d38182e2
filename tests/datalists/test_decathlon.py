"""The Decathlon's and nnU-Net's folders on hand-made files."""

from __future__ import annotations

import json
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipeline.datalists import items, save_datalist
from pipeline.datalists.decathlon import build, summary
from pipeline.errors import DataError


def volume(path, shape=(5, 4, 3), values=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full(shape, values, np.uint8), np.diag([1.0, 1, 2, 1])), path)


def write(root, **content):
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def decathlon(root, cases=6, tests=2, shape=(5, 4, 3), **content):
    names = [f"la_{number:03d}" for number in range(1, cases + 1)]
    for name in names:
        volume(root / "imagesTr" / f"{name}.nii.gz", shape)
        volume(root / "labelsTr" / f"{name}.nii.gz")
    held = [f"la_{number:03d}" for number in range(cases + 1, cases + tests + 1)]
    for name in held:
        volume(root / "imagesTs" / f"{name}.nii.gz", shape)
    settings = {
        "name": "LeftAtrium",
        "description": "Left atrium",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "left atrium"},
        "numTraining": cases,
        "numTest": tests,
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names],
        "test": [f"./imagesTs/{name}.nii.gz" for name in held],
    }
    return write(root, **settings | content)


def nnunet(root, cases=("a_01", "a_02", "b_01"), channels=2, ending=".nii.gz", **content):
    for case in cases:
        for channel in range(channels):
            volume(root / "imagesTr" / f"{case}_{channel:04d}{ending}")
        volume(root / "labelsTr" / f"{case}{ending}")
    settings = {
        "channel_names": {str(channel): f"T{channel}" for channel in range(channels)},
        "labels": {"background": 0, "RV": 1, "MYO": 2},
        "numTraining": len(cases),
        "file_ending": ending,
    }
    return write(root, **settings | content)


def faults(root, **options):
    with pytest.raises(DataError) as caught:
        build(root, **options)
    return [(problem.file.removeprefix(f"{root}/"), problem.found) for problem in caught.value.problems]


def test_the_decathlons_lists_become_items(tmp_path):
    datalist = build(decathlon(tmp_path / "Task02_Heart"), folds=3)
    assert datalist["training"][0] | {"fold": "any"} == {
        "image": "imagesTr/la_001.nii.gz",
        "label": "labelsTr/la_001.nii.gz",
        "case": "la_001",
        "structures": {"left atrium": [1]},
        "patient": "la_001",
        "fold": "any",
    }
    assert Counter(item["fold"] for item in datalist["training"]) == {0: 2, 1: 2, 2: 2}
    assert [item["image"] for item in datalist["testing"]] == ["imagesTs/la_007.nii.gz", "imagesTs/la_008.nii.gz"]
    assert not any("fold" in item or "label" in item for item in datalist["testing"])
    assert datalist["labels"] == {"background": 0, "left atrium": 1}
    assert (datalist["name"], datalist["modality"], datalist["channels"]) == ("LeftAtrium", "MRI", ["MRI"])
    assert datalist["licence"] == "CC-BY-SA 4.0"


def test_the_list_can_be_written_and_its_files_are_found(tmp_path):
    root = decathlon(tmp_path / "heart")
    datalist = build(root)
    assert str(tmp_path) not in json.dumps(datalist)
    path = save_datalist(datalist, tmp_path / "list.json")
    found = items(path, dataset_dir=root, fold=0, side="train")
    assert len(found) + len(items(path, dataset_dir=root, fold=0, side="validation")) == 6


def test_equal_seeds_give_equal_folds_and_others_do_not(tmp_path):
    root = decathlon(tmp_path, cases=12)
    folds = [[item["fold"] for item in build(root, seed=seed)["training"]] for seed in (0, 0, 1)]
    assert folds[0] == folds[1] != folds[2]


def test_a_fourth_axis_is_channels_and_the_summary_says_so(tmp_path):
    root = decathlon(tmp_path, shape=(5, 4, 3, 2), modality={"0": "T2", "1": "ADC"})
    datalist = build(root)
    assert datalist["training"][0]["image"] == "imagesTr/la_001.nii.gz"
    assert datalist["channels"] == ["T2", "ADC"]
    assert "2 channels: T2, ADC" in summary(datalist)
    wrong = decathlon(tmp_path, shape=(5, 4, 3, 2), modality={"0": "T2", "1": "ADC", "2": "DCE"})
    assert faults(wrong)[0] == ("imagesTr/la_001.nii.gz", "5 x 4 x 3 x 2")
    cine = decathlon(tmp_path, shape=(5, 4, 3, 2))
    assert len(faults(cine)) == 8


def test_a_fourth_axis_reaches_the_network_as_channels(tmp_path):
    """What a bundle's preprocessing makes of such a file: no setting is needed."""
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

    from pipeline.transforms import SliceAxisLastd, Spacingd
    from pipeline.volumes.readers import VolumeReader

    voxels = np.random.default_rng(0).random((6, 5, 4, 2), np.float32)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1, 3, 1])), tmp_path / "x.nii.gz")
    load = Compose(
        [
            LoadImaged("image", reader=VolumeReader()),
            EnsureChannelFirstd("image"),
            SliceAxisLastd("image"),
            Spacingd("image", pixdim=(1.0, 1.0, -1.0), mode="bilinear"),
        ]
    )
    image = load({"image": str(tmp_path / "x.nii.gz")})["image"]
    assert image.shape == (2, 6, 5, 4)
    assert np.allclose(image.numpy(), np.moveaxis(voxels, 3, 0))


def test_nnunets_folders_give_one_path_for_each_channel(tmp_path):
    root = nnunet(tmp_path)
    volume(root / "imagesTs" / "c_01_0000.nii.gz")
    volume(root / "imagesTs" / "c_01_0001.nii.gz")
    datalist = build(root, folds=2)
    assert datalist["training"][0] | {"fold": 0} == {
        "image": ["imagesTr/a_01_0000.nii.gz", "imagesTr/a_01_0001.nii.gz"],
        "label": "labelsTr/a_01.nii.gz",
        "case": "a_01",
        "patient": "a_01",
        "structures": {"RV": [1], "MYO": [2]},
        "fold": 0,
    }
    assert [item["case"] for item in datalist["testing"]] == ["c_01"]
    assert datalist["labels"] == {"background": 0, "RV": 1, "MYO": 2}


def test_one_channel_is_one_path(tmp_path):
    datalist = build(nnunet(tmp_path, channels=1), folds=2)
    assert datalist["training"][0]["image"] == "imagesTr/a_01_0000.nii.gz"
    assert datalist["training"][0]["case"] == "a_01"


def test_patients_are_named_by_a_separator_or_a_pattern(tmp_path):
    root = nnunet(tmp_path, cases=("a_01", "a_02", "b_01", "b_02", "c_01"))
    for options in (
        {"separator": "_"},
        {"patient": "^[a-z]"},
        {"patient": "(?P<patient>[a-z])_"},
        {"patient": "/(.)_"},
    ):
        datalist = build(root, folds=3, **options)
        assert [item["patient"] for item in datalist["training"]] == ["a", "a", "b", "b", "c"]
        folds = {}
        for item in datalist["training"]:
            folds.setdefault(item["patient"], set()).add(item["fold"])
        assert all(len(found) == 1 for found in folds.values())
        assert datalist["split"]["by"] == "patient"
        assert "too good" not in summary(datalist)
    assert "5 cases of 5 patients" in summary(build(root))
    assert "too good" in summary(build(root))
    assert faults(root, patient="x(.)")[0] == ("a_01", "none")
    assert faults(root, patient="(") == [("patient", "( (missing ), unterminated subpattern at position 0)")]


def test_a_group_in_the_pattern_is_spread_over_the_folds(tmp_path):
    root = nnunet(tmp_path, cases=[f"{site}_{number:02d}" for site in ("bonn", "lund") for number in range(4)])
    datalist = build(root, folds=2, patient="(?P<patient>(?P<group>[a-z]+)_[0-9]+)")
    assert Counter((item["fold"], item["group"]) for item in datalist["training"]) == {
        **{(fold, group): 2 for fold in (0, 1) for group in ("bonn", "lund")}
    }
    assert datalist["split"]["stratify"] == "group"
    rows = [line.split() for line in summary(datalist).splitlines()]
    assert rows[-5:] == [
        ["fold", "0", "fold", "1"],
        ["bonn", "2", "2"],
        ["lund", "2", "2"],
        ["cases", "4", "4"],
        ["patients", "4", "4"],
    ]


def test_regions_keep_nnunets_numbers(tmp_path):
    labels = {"background": 0, "kidney": [1, 2, 3], "masses": [2, 3], "tumor": 2}
    datalist = build(nnunet(tmp_path, labels=labels, regions_class_order=[1, 3, 2]), folds=2)
    assert datalist["labels"] == {"background": 0, "kidney": [1, 3, 2], "masses": [3, 2], "tumor": 2}
    assert datalist["training"][0]["structures"] == {"kidney": [1, 2, 3], "masses": [2, 3], "tumor": [2]}
    write(
        tmp_path,
        **json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8")) | {"regions_class_order": [1, 2]},
    )
    assert faults(tmp_path)[0][1] == "[1, 2]"


def test_labels_to_be_ignored_are_a_note(tmp_path):
    datalist = build(nnunet(tmp_path, labels={"background": 0, "RV": 1, "ignore": 2}), folds=2)
    assert datalist["labels"] == {"background": 0, "RV": 1}
    assert datalist["training"][0]["structures"] == {"RV": [1]}
    assert "'ignore' (2) count as background" in summary(datalist)


def test_wanted_labels_replace_those_of_dataset_json(tmp_path):
    root = decathlon(tmp_path, labels={"0": "background", "1": "liver", "2": "cancer"})
    datalist = build(root, labels={"liver with cancer": (1, 2)})
    assert datalist["labels"] == {"background": 0, "liver with cancer": 1}
    assert datalist["training"][0]["structures"] == {"liver with cancer": [1, 2]}
    datalist = build(root, labels={"cancer": 2})
    assert (datalist["labels"], datalist["training"][0]["structures"]) == (
        {"background": 0, "cancer": 1},
        {"cancer": [2]},
    )


def test_nnunets_first_version_left_the_channel_out_of_its_lists(tmp_path):
    root = nnunet(tmp_path, cases=("a", "b"))
    training = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in "ab"]
    labels = {"0": "background", "1": "RV"}
    write(root, modality={"0": "T1", "1": "T2"}, labels=labels, training=training, test=[], numTraining=2)
    datalist = build(root, folds=2)
    assert datalist["training"][0]["image"] == ["imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"]


def test_colour_pictures_are_one_file_of_three_channels(tmp_path):
    for case in ("a", "b"):
        (tmp_path / "imagesTr").mkdir(exist_ok=True)
        (tmp_path / "labelsTr").mkdir(exist_ok=True)
        Image.new("RGB", (6, 5), (9, 8, 7)).save(tmp_path / "imagesTr" / f"{case}_0000.png")
        Image.new("L", (6, 5)).save(tmp_path / "labelsTr" / f"{case}.png")
    names = {"0": "R", "1": "G", "2": "B"}
    write(tmp_path, channel_names=names, labels={"background": 0, "road": 1}, numTraining=2, file_ending=".png")
    datalist = build(tmp_path, folds=2)
    assert datalist["training"][0]["image"] == "imagesTr/a_0000.png"
    assert datalist["channels"] == ["R", "G", "B"]


def test_every_missing_file_is_named(tmp_path):
    root = decathlon(tmp_path)
    for name in ("imagesTr/la_002.nii.gz", "labelsTr/la_004.nii.gz", "imagesTs/la_007.nii.gz"):
        (root / name).unlink()
    assert faults(root) == [
        ("imagesTr/la_002.nii.gz", "no such file"),
        ("labelsTr/la_004.nii.gz", "no such file"),
        ("imagesTs/la_007.nii.gz", "no such file"),
    ]


def test_every_fault_of_nnunets_folders_is_named(tmp_path):
    root = nnunet(tmp_path, cases=("a", "b", "c"))
    (root / "imagesTr" / "a_0001.nii.gz").unlink()
    (root / "labelsTr" / "b.nii.gz").unlink()
    volume(root / "imagesTr" / "c_0002.nii.gz")
    volume(root / "imagesTr" / "d.nii.gz")
    volume(root / "labelsTr" / "e.nii.gz")
    write(root, **json.loads((root / "dataset.json").read_text(encoding="utf-8")) | {"numTraining": 4})
    assert sorted(faults(root)) == [
        ("dataset.json", "3 in imagesTr"),
        ("imagesTr/a_0001.nii.gz", "no such file"),
        ("imagesTr/c_0002.nii.gz", "a file too many"),
        ("imagesTr/d.nii.gz", "d.nii.gz"),
        ("labelsTr/b.nii.gz", "no such file"),
        ("labelsTr/e.nii.gz", "none"),
    ]


def test_labels_of_another_shape_and_damaged_files_are_named(tmp_path):
    root = decathlon(tmp_path)
    volume(root / "labelsTr" / "la_003.nii.gz", shape=(5, 4, 2))
    (root / "imagesTr" / "la_005.nii.gz").write_bytes(b"not gzip")
    found = faults(root)
    assert found[0] == ("labelsTr/la_003.nii.gz", "5 x 4 x 2")
    assert [name for name, _ in found] == ["labelsTr/la_003.nii.gz", "imagesTr/la_005.nii.gz"]


def test_a_wrong_count_beside_a_list_and_files_that_no_list_names_are_notes(tmp_path):
    root = decathlon(tmp_path, numTraining=64)
    volume(root / "imagesTr" / "la_099.nii.gz")
    volume(root / "imagesTr" / "._la_001.nii.gz")
    text = summary(build(root))
    assert "numTraining 64, but 6 cases are there" in text
    assert "1 files in imagesTr are not used: la_099.nii.gz" in text


@pytest.mark.parametrize("kind", ["missing", "empty", "tasks", "no json", "no labels"])
def test_a_folder_of_another_kind_is_one_line(tmp_path, kind):
    root = tmp_path / kind
    if kind != "missing":
        root.mkdir()
    if kind == "tasks":
        (root / "Task02_Heart").mkdir()
    if kind == "no json":
        (root / "dataset.json").write_text("{")
    if kind == "no labels":
        write(root, training=[])
    with pytest.raises(DataError) as caught:
        build(root)
    assert "\n" not in str(caught.value)
    assert "dataset.json" in str(caught.value) or "labels" in str(caught.value)


def test_entries_of_the_wrong_form_and_names_used_twice_are_refused(tmp_path):
    root = decathlon(tmp_path)
    content = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    content["training"] = [{"image": "./imagesTr/la_001.nii.gz"}, {"label": 3}, *content["training"]]
    write(root, **content)
    assert [name for name, _ in faults(root)] == ["dataset.json: training[0]", "dataset.json: training[1]"]
    write(root, **content | {"labels": {"0": "background", "1": "vessel", "2": "vessel"}})
    assert faults(root) == [("dataset.json", "vessel twice")]


@pytest.mark.parametrize("label", [5, ["x"], None, ""])
def test_a_label_that_is_no_name_is_told(tmp_path, label):
    root = decathlon(tmp_path)
    content = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    content["training"][1]["label"] = label
    write(root, **content)
    assert [name for name, _ in faults(root)] == ["dataset.json: training[1]"]


def test_a_test_list_and_numbers_of_the_wrong_kind_are_told(tmp_path):
    root = decathlon(tmp_path)
    content = json.loads((root / "dataset.json").read_text(encoding="utf-8"))
    write(root, **content | {"test": 5})
    assert faults(root) == [("dataset.json: test", "5")]
    write(root, **content | {"labels": {"background": 0, "a": [[1]]}})
    assert faults(root) == [("dataset.json", "[[1]]")]
    count = len(content["training"])
    write(root, **content | {"numTraining": str(count)})
    assert len(build(root)["training"]) == count


def test_one_case_alone_cannot_be_split(tmp_path):
    assert faults(decathlon(tmp_path, cases=1)) == [("la_001", "this one alone")]
    root = decathlon(tmp_path / "three", cases=3)
    assert faults(root, folds=4) == [("folds", "4")]
