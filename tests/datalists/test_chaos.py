"""CHAOS's folders on hand-made slices."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from pipeline.datalists import items, save_datalist
from pipeline.datalists.chaos import build, summary
from pipeline.errors import DataError

MR = {"liver": 63, "right kidney": 126, "left kidney": 189, "spleen": 252}


def slices(folder, names, heights):
    """One DICOM file of 4 x 3 pixels at each height."""
    folder.mkdir(parents=True, exist_ok=True)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for name, height in zip(names, heights, strict=True):
        image = SimpleITK.GetImageFromArray(np.full((3, 4), int(height), np.int16))
        tags = {
            "0008|0060": "MR",
            "0020|000d": "1.2",
            "0020|000e": "1.2.3",
            "0008|0018": f"1.2.3.{int(height)}",
            "0020|0032": f"-5\\7\\{height}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
        }
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / name))
        writer.Execute(image)


def masks(folder, names, values):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = np.zeros((3, 4), np.uint8)
        pixels.ravel()[: len(values)] = values
        Image.fromarray(pixels).save(folder / name)


def ct(root, patient, count=4, *, descending=True, values=(0, 255), labels=True):
    heights = [10 - 3 * n if descending else 3 * n for n in range(count)]
    folder = root / "CT" / str(patient)
    slices(folder / "DICOM_anon", [f"i{n:04d},0000b.dcm" for n in range(count)], heights)
    if labels:
        masks(folder / "Ground", [f"liver_GT_{n:03d}.png" for n in range(count)], values)
    return folder


def mr(root, patient, count=3, *, values=(63, 126, 189, 252), labels=True):
    """Phases in turn: odd numbers out of phase, even numbers, which the masks have too, in phase."""
    folder = root / "MR" / str(patient)
    for sequence, phase, first, step in (
        ("T1DUAL", "InPhase", 2, 2),
        ("T1DUAL", "OutPhase", 1, 2),
        ("T2SPIR", "", 1, 1),
    ):
        names = [f"IMG-0004-{first + step * n:05d}" for n in range(count)]
        heights = [5.5 * n for n in range(count)]
        slices(folder / sequence / "DICOM_anon" / phase, [f"{name}.dcm" for name in names], heights)
        if labels and phase != "OutPhase":
            masks(folder / sequence / "Ground", [f"{name}.png" for name in names], values)
    return folder


@pytest.fixture
def train(tmp_path):
    for patient in (1, 2, 10):
        ct(tmp_path / "Train_Sets", patient)
        mr(tmp_path / "Train_Sets", patient)
    return tmp_path / "Train_Sets"


def faults(root, **options):
    with pytest.raises(DataError) as caught:
        build(root, folds=2, **options)
    return [(problem.file.removeprefix(f"{root}/"), problem.found) for problem in caught.value.problems]


def test_a_ct_patient_becomes_an_item(train):
    datalist = build(train.parent, folds=3)
    assert datalist["training"][2] | {"fold": "any"} == {
        "image": "Train_Sets/CT/10/DICOM_anon",
        "label": "Train_Sets/CT/10/Ground",
        "structures": {"liver": [255]},
        "reversed": True,
        "case": "CT_10_ct",
        "patient": "CT_10",
        "fold": "any",
    }
    assert datalist["labels"] == {"background": 0, "liver": 1}
    assert (datalist["modality"], datalist["name"]) == ("CT", "chaos_ct")
    assert "3 cases of 3 patients" in summary(datalist)
    assert "too good" not in summary(datalist)


@pytest.mark.parametrize(
    ("modality", "image"),
    [
        ("t1in", "MR/1/T1DUAL/DICOM_anon/InPhase"),
        ("t1out", "MR/1/T1DUAL/DICOM_anon/OutPhase"),
        ("t1dual", ["MR/1/T1DUAL/DICOM_anon/InPhase", "MR/1/T1DUAL/DICOM_anon/OutPhase"]),
        ("t2", "MR/1/T2SPIR/DICOM_anon"),
    ],
)
def test_mr_modalities_choose_the_series(train, modality, image):
    datalist = build(train, modality=modality, folds=2)
    first = datalist["training"][0]
    assert first["image"] == image
    assert first["label"] == f"MR/1/{'T2SPIR' if modality == 't2' else 'T1DUAL'}/Ground"
    assert first["structures"] == {name: [value] for name, value in MR.items()}
    assert first["reversed"] is False
    assert datalist["labels"] == {"background": 0, "liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}
    assert len(datalist["channels"]) == (2 if modality == "t1dual" else 1)


def test_mr_lists_of_one_seed_have_the_same_folds(tmp_path):
    for patient in range(1, 8):
        mr(tmp_path, patient, count=2)
    folds = [
        {item["patient"]: item["fold"] for item in build(tmp_path, modality=modality, folds=3)["training"]}
        for modality in ("t1in", "t2", "t1dual")
    ]
    assert folds[0] == folds[1] == folds[2]


def test_reversed_says_whether_names_run_against_positions(tmp_path):
    """The k-th PNG belongs to the k-th file by name; a series is read by position."""
    ct(tmp_path, 1, descending=True)
    ct(tmp_path, 2, descending=False)
    found = build(tmp_path, folds=2)["training"]
    assert [item["reversed"] for item in found] == [True, False]
    for item in found:
        reader = SimpleITK.ImageSeriesReader()
        names = reader.GetGDCMSeriesFileNames(str(tmp_path / item["image"]))
        assert [name.endswith("i0000,0000b.dcm") for name in names] == (
            [False, False, False, True] if item["reversed"] else [True, False, False, False]
        )


@pytest.mark.parametrize("modality", ["ct", "t1dual"])
def test_each_mask_lies_on_its_own_slice_when_a_bundle_loads_it(tmp_path, modality):
    """Image slices hold their height in mm; the mask of the k-th name marks as many pixels as its slice is high."""
    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

    from pipeline.transforms import MapLabelsd
    from pipeline.volumes.readers import VolumeReader

    for patient in (1, 2):
        for folder, heights, names in (
            (tmp_path / "CT" / str(patient), [9, 7, 5, 3], "liver_GT_{:03d}.png"),
            (tmp_path / "MR" / str(patient) / "T1DUAL", [2, 4, 6, 8], "IMG-{:05d}.png"),
        ):
            phases = ["InPhase", "OutPhase"] if "MR" in str(folder) else [""]
            for phase in phases:
                slices(folder / "DICOM_anon" / phase, [f"IMG-{n:05d}.dcm" for n in range(4)], heights)
            for number, height in enumerate(heights):
                masks(folder / "Ground", [names.format(number)], [255 if modality == "ct" else 63] * height)
    datalist = build(tmp_path, modality=modality, folds=2)
    load = Compose(
        [
            LoadImaged("image", reader=VolumeReader()),
            EnsureChannelFirstd("image"),
            LoadImaged("label", reader=VolumeReader(labels=True)),
            EnsureChannelFirstd("label"),
            MapLabelsd("label", {"liver": 1}),
        ]
    )
    for item in items(datalist, dataset_dir=tmp_path):
        case = load(item)
        assert case["image"].shape == (len(datalist["channels"]), 4, 3, 4)
        assert case["label"].shape == (1, 4, 3, 4)
        marked = case["label"][0].sum(dim=(0, 1))
        for channel in case["image"]:
            assert channel[0, 0].tolist() == marked.tolist() == sorted(marked.tolist())
        assert bool((case["label"].affine == case["image"].affine).all())


def test_names_are_ordered_by_their_numbers(tmp_path):
    for patient in (1, 2):
        folder = tmp_path / "CT" / str(patient)
        slices(folder / "DICOM_anon", [f"i{n},0b.dcm" for n in (8, 9, 10, 11)], [0, 1, 2, 3])
        masks(folder / "Ground", [f"liver_GT_{n}.png" for n in (8, 9, 10, 11)], (0, 255))
    assert [item["reversed"] for item in build(tmp_path, folds=2)["training"]] == [False, False]


def test_names_out_of_order_are_refused(train):
    slices(train / "CT" / "2" / "DICOM_anon", ["i0001,0000b.dcm"], [-50])
    assert faults(train) == [("CT/2/DICOM_anon", "names that jump at i0002,0000b.dcm")]


def test_grey_values_that_stray_are_taken_and_others_refused(train):
    mr(train, 2, values=(62, 63, 120, 190, 240))
    item = build(train, modality="t2", folds=2)["training"][1]
    assert item["structures"] == {
        "liver": [62, 63],
        "right kidney": [120],
        "left kidney": [190],
        "spleen": [240],
    }
    mr(train, 2, values=(63, 80, 90))
    assert faults(train, modality="t2") == [("MR/2/T2SPIR/Ground", "80, 90")]


def test_an_organ_that_masks_do_not_show_keeps_a_number(train):
    mr(train, 2, values=(63,))
    assert build(train, modality="t2", folds=2)["training"][1]["structures"]["spleen"] == [240]


def test_one_bit_masks_count_as_liver(train):
    folder = ct(train, 2)
    for path in (folder / "Ground").iterdir():
        Image.open(path).convert("1").save(path)
    assert build(train, folds=2)["training"][1]["structures"] == {"liver": [1]}


def test_the_test_set_has_no_masks_and_stays_out_of_the_folds(train):
    ct(train.parent / "Test_Sets", 3, labels=False)
    datalist = build(train.parent, folds=2)
    assert datalist["testing"] == [
        {"image": "Test_Sets/CT/3/DICOM_anon", "case": "CT_3_ct", "patient": "CT_3"},
    ]
    assert [item["case"] for item in datalist["training"]] == ["CT_1_ct", "CT_2_ct", "CT_10_ct"]


def test_the_folder_above_and_the_training_folder_itself_are_taken(train, tmp_path):
    inner = build(train, folds=2)
    outer = build(tmp_path, folds=2)
    assert [item["fold"] for item in inner["training"]] == [item["fold"] for item in outer["training"]]
    assert inner["training"][0]["image"] == "CT/1/DICOM_anon"
    path = save_datalist(inner, tmp_path / "list.json")
    assert len(items(path, dataset_dir=train)) == 3
    assert str(tmp_path) not in json.dumps(inner)


def test_missing_folders_and_unequal_counts_are_named(train):
    for path in (train / "CT" / "1" / "Ground").iterdir():
        path.unlink()
    (train / "CT" / "2" / "Ground" / "liver_GT_003.png").unlink()
    assert faults(train) == [
        ("CT/1/Ground", "an empty folder"),
        ("CT/2", "4 in DICOM_anon, 3 in Ground"),
    ]
    (train / "MR" / "10" / "T1DUAL" / "DICOM_anon" / "OutPhase" / "IMG-0004-00005.dcm").unlink()
    assert faults(train, modality="t1dual") == [
        ("MR/10", "3 in T1DUAL/DICOM_anon/InPhase, 2 in T1DUAL/DICOM_anon/OutPhase, 3 in T1DUAL/Ground")
    ]
    assert len(build(train, modality="t1in", folds=2)["training"]) == 3


def test_a_slice_without_a_position_is_named(train):
    (train / "CT" / "1" / "DICOM_anon" / "i0002,0000b.dcm").write_bytes(b"no DICOM")
    assert [name for name, _ in faults(train)] == ["CT/1/DICOM_anon/i0002,0000b.dcm"]


@pytest.mark.parametrize("kind", ["missing", "empty", "other", "other modality"])
def test_a_folder_of_another_kind_is_one_line(tmp_path, kind):
    root = tmp_path / "x"
    if kind != "missing":
        root.mkdir()
    if kind == "other":
        (root / "imagesTr").mkdir()
    if kind == "other modality":
        mr(root / "Train_Sets", 1)
    with pytest.raises(DataError, match="Train_Sets/CT/1") as caught:
        build(root)
    assert "\n" not in str(caught.value)
    assert ("another modality" in str(caught.value)) == (kind == "other modality")


def test_an_unknown_modality_is_one_line(train):
    assert faults(train, modality="pet") == [("modality", "pet")]
