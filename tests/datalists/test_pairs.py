"""Images and masks matched by name, on hand-made files."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from pipeline.datalists import items, save_datalist
from pipeline.datalists.pairs import build, root_of, summary
from pipeline.errors import DataError


def picture(path, values=(0, 255), size=(6, 5), mode="L"):
    """A picture whose first pixels have the given values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0]), np.uint8)
    pixels.ravel()[: len(values)] = values
    Image.fromarray(pixels).convert(mode).save(path)


def volume(path, shape=(5, 4, 3), values=(0, 1)):
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.zeros(shape, np.uint8)
    voxels.ravel()[: len(values)] = values
    if path.name.endswith(("nii", "nii.gz")):
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), path)
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels.T), str(path))


def isic(root, count=6, values=(0, 255)):
    """ISIC's names: 7 digits, which are no channels."""
    for number in range(count):
        picture(root / "Data" / f"ISIC_{number:07d}.jpg", (9,))
        picture(root / "GroundTruth" / f"ISIC_{number:07d}_segmentation.png", values)
    return root / "Data", root / "GroundTruth"


def pairs(datalist):
    return {item["case"]: (item["image"], item["label"]) for item in datalist["training"]}


def faults(*folders, **options):
    with pytest.raises(DataError) as caught:
        build(*folders, **options)
    return sorted((problem.file.rsplit("/", 1)[-1], problem.found) for problem in caught.value.problems)


def test_isics_pictures_become_items_with_one_structure(tmp_path):
    datalist = build(*isic(tmp_path), folds=3)
    first = datalist["training"][0]
    assert first | {"fold": "any"} == {
        "image": "Data/ISIC_0000000.jpg",
        "label": "GroundTruth/ISIC_0000000_segmentation.png",
        "case": "ISIC_0000000",
        "structures": {"foreground": [255]},
        "patient": "ISIC_0000000",
        "fold": "any",
    }
    assert datalist["labels"] == {"background": 0, "foreground": 1}
    assert sorted(item["fold"] for item in datalist["training"]) == [0, 0, 1, 1, 2, 2]
    text = summary(datalist)
    assert "6 cases of 6 patients" in text
    assert "--patient or --separator" in text


def test_the_list_can_be_written_and_read(tmp_path):
    folders = isic(tmp_path)
    datalist = build(*folders, foreground="lesion")
    assert str(tmp_path) not in json.dumps(datalist)
    path = save_datalist(datalist, tmp_path / "datalist.json")
    assert len(items(path, dataset_dir=root_of(*folders))) == 6
    assert datalist["labels"] == {"background": 0, "lesion": 1}


def test_relative_folders_give_the_same_list_and_errors_with_relative_names(tmp_path, monkeypatch):
    images, masks = isic(tmp_path / "skin")
    datalist = build(images, masks)
    monkeypatch.chdir(tmp_path)
    assert build("skin/Data", "./skin/GroundTruth/") == datalist
    monkeypatch.chdir(tmp_path / "skin")
    assert build("Data", "GroundTruth")["training"] == datalist["training"]
    assert str(root_of("Data", "GroundTruth")) == "."
    picture(masks / "ISIC_0000002_segmentation.png", size=(5, 6))
    with pytest.raises(DataError, match=r"^GroundTruth/ISIC_0000002_segmentation\.png: expected the shape of"):
        build("Data", "GroundTruth")


@pytest.mark.parametrize(
    ("image", "mask", "case"),
    [
        ("a.png", "a.png", "a"),
        ("a.jpg", "a.png", "a"),
        ("a.JPG", "a_Segmentation.PNG", "a"),
        ("a.png", "a_mask.bmp", "a"),
        ("a.png", "a-gt.png", "a"),
        ("a.tif", "a_label.tif", "a"),
        ("a_image.png", "a_mask.png", "a_image"),
        ("a_gt.png", "a_gt.png", "a_gt"),
        ("deep/er/a.png", "deep/er/a_seg.png", "a"),
        ("study_0255.nii.gz", "study_0255_mask.nii.gz", "study_0255"),
        ("v-0003_ct.nii.gz", "v-0003_seg.nii", "v-0003_ct"),
        ("a_0000.nii.gz", "a.nii.gz", "a"),
        ("a_0000.nii.gz", "a_0000.nii.gz", "a_0000"),
        ("a.mha", "a_seg.nrrd", "a"),
    ],
)
def test_names_that_belong_together(tmp_path, image, mask, case):
    picture(tmp_path / "images" / "zz.png", (9,))
    picture(tmp_path / "masks" / "zz.png", (0, 1))
    write = picture if mask.lower().endswith(("png", "bmp", "tif")) else volume
    write(tmp_path / "images" / image)
    write(tmp_path / "masks" / mask)
    found = pairs(build(tmp_path / "images", tmp_path / "masks", folds=2))
    assert found == {"zz": ("images/zz.png", "masks/zz.png"), case: (f"images/{image}", f"masks/{mask}")}


def test_numbered_images_are_the_channels_of_one_mask(tmp_path):
    for case in ("a", "b", "c"):
        for channel in range(3):
            volume(tmp_path / "images" / f"{case}_{channel:04d}.nii.gz")
        volume(tmp_path / "masks" / f"{case}.nii.gz")
    datalist = build(tmp_path / "images", tmp_path / "masks", folds=2)
    assert pairs(datalist)["b"] == ([f"images/b_{n:04d}.nii.gz" for n in range(3)], "masks/b.nii.gz")
    assert "3 channels" in summary(datalist)
    (tmp_path / "images" / "b_0001.nii.gz").unlink()
    assert ("b_0000.nii.gz", "b_0000.nii.gz and b_0002.nii.gz") in faults(tmp_path / "images", tmp_path / "masks")
    (tmp_path / "images" / "b_0002.nii.gz").unlink()
    assert faults(tmp_path / "images", tmp_path / "masks") == [("b", "1")]


def test_slices_with_four_digits_are_no_channels(tmp_path):
    for number in range(4):
        picture(tmp_path / "images" / f"p_{number:04d}.png")
        picture(tmp_path / "masks" / f"p_{number:04d}.png")
    datalist = build(tmp_path / "images", tmp_path / "masks", folds=2)
    assert sorted(pairs(datalist)) == [f"p_{number:04d}" for number in range(4)]


def test_one_folder_for_both_and_a_folder_inside_the_other(tmp_path):
    for name in ("x", "y"):
        volume(tmp_path / "one" / f"{name}_ct.nii.gz")
        volume(tmp_path / "one" / f"{name}_seg.nii.gz")
        picture(tmp_path / "outer" / f"{name}.png")
        picture(tmp_path / "outer" / "masks" / f"{name}.png")
    assert pairs(build(tmp_path / "one", tmp_path / "one", folds=2)) == {
        "x_ct": ("x_ct.nii.gz", "x_seg.nii.gz"),
        "y_ct": ("y_ct.nii.gz", "y_seg.nii.gz"),
    }
    assert root_of(tmp_path / "one", tmp_path / "one") == tmp_path / "one"
    assert pairs(build(tmp_path / "outer", tmp_path / "outer" / "masks", folds=2)) == {
        "x": ("x.png", "masks/x.png"),
        "y": ("y.png", "masks/y.png"),
    }


def test_a_pattern_says_what_partners_share(tmp_path):
    for number in (3, 10):
        volume(tmp_path / "ct" / "batch" / f"volume-{number}.nii")
        volume(tmp_path / "truth" / f"segmentation-{number}.nii")
    found = pairs(build(tmp_path / "ct", tmp_path / "truth", match=r"\d+", folds=2))
    assert found["volume-10"] == ("ct/batch/volume-10.nii", "truth/segmentation-10.nii")
    assert pairs(build(tmp_path / "ct", tmp_path / "truth", match=r"-(\d+)$", folds=2)) == found
    assert faults(tmp_path / "ct", tmp_path / "truth", match="[")[0][0] == "match"
    unmatched = faults(tmp_path / "ct", tmp_path / "truth", match=r"\d\d")
    assert unmatched == [("segmentation-3.nii", "none"), ("volume-3.nii", "none")]


def test_names_that_occur_twice_are_preceded_by_their_folders(tmp_path):
    for patient in ("p1", "p2"):
        picture(tmp_path / "images" / patient / "s1.png")
        picture(tmp_path / "masks" / patient / "s1.png")
    datalist = build(tmp_path / "images", tmp_path / "masks", folds=2)
    assert sorted(pairs(datalist)) == ["p1_s1", "p2_s1"]


def test_a_patient_is_one_though_only_some_of_the_names_occur_twice(tmp_path):
    for patient, slices in (("p01", 3), ("p02", 5), ("p03", 4)):
        for number in range(1, slices + 1):
            picture(tmp_path / "images" / patient / f"slice_{number}.png")
            picture(tmp_path / "masks" / patient / f"slice_{number}.png")
    datalist = build(tmp_path / "images", tmp_path / "masks", folds=2, separator="_")
    assert {item["patient"] for item in datalist["training"]} == {"p01", "p02", "p03"}
    assert len({(item["patient"], item["fold"]) for item in datalist["training"]}) == 3


@pytest.mark.parametrize("option", ["separator", "patient"])
def test_an_empty_rule_tells_no_patients_apart(tmp_path, option):
    images, masks = isic(tmp_path)
    assert faults(images, masks, **{option: ""}) == [(option, "an empty one")]


def test_patients_by_folder_by_pattern_and_by_separator(tmp_path):
    for patient in ("p1", "p2", "p3"):
        for number in (1, 2):
            picture(tmp_path / "images" / patient / f"{patient}-{number}.png")
            picture(tmp_path / "masks" / patient / f"{patient}-{number}.png")
    for options in ({"patient": "images/([^/]+)/"}, {"patient": "^p[0-9]"}, {"separator": "-"}):
        datalist = build(tmp_path / "images", tmp_path / "masks", folds=3, **options)
        assert [item["patient"] for item in datalist["training"]] == ["p1", "p1", "p2", "p2", "p3", "p3"]
        assert len({(item["patient"], item["fold"]) for item in datalist["training"]}) == 3
    assert ("patient", "both") in faults(tmp_path / "images", tmp_path / "masks", patient="p", separator="-")


def test_every_file_without_its_partner_is_named(tmp_path):
    images, masks = isic(tmp_path)
    (masks / "ISIC_0000001_segmentation.png").unlink()
    (images / "ISIC_0000002.jpg").unlink()
    picture(images / "ISIC_0000003.png")
    picture(masks / "ISIC_0000004.png")
    picture(images / "._ISIC_0000009.png")
    (images / "Thumbs.db").touch()
    assert faults(images, masks) == [
        ("ISIC_0000001.jpg", "none"),
        ("ISIC_0000002_segmentation.png", "none"),
        ("ISIC_0000003.jpg", "ISIC_0000003.jpg and ISIC_0000003.png"),
        ("ISIC_0000004.png", "ISIC_0000004.png and ISIC_0000004_segmentation.png"),
    ]


def test_masks_of_another_shape_are_named(tmp_path):
    images, masks = isic(tmp_path)
    picture(masks / "ISIC_0000002_segmentation.png", size=(5, 6))
    assert faults(images, masks) == [("ISIC_0000002_segmentation.png", "5 x 6 x 1")]


@pytest.mark.parametrize(
    ("values", "labels", "structures"),
    [
        ((0, 1), {"foreground": 1}, {"foreground": [1]}),
        ((255, 255), {"foreground": 1}, {"foreground": [255]}),
        ((0, 1, 2, 4), {"label 1": 1, "label 2": 2, "label 4": 3}, {"label 1": [1], "label 2": [2], "label 4": [4]}),
    ],
)
def test_label_numbers_are_found_in_the_masks(tmp_path, values, labels, structures):
    datalist = build(*isic(tmp_path, values=values))
    assert datalist["labels"] == {"background": 0, **labels}
    assert datalist["training"][0]["structures"] == structures


def test_given_labels_are_checked_against_the_masks(tmp_path):
    folders = isic(tmp_path, values=(0, 1, 2))
    datalist = build(*folders, labels={"organ": (1, 2), "lesion": 2})
    assert datalist["labels"] == {"background": 0, "organ": [1, 2], "lesion": 2}
    assert datalist["training"][0]["structures"] == {"organ": [1, 2], "lesion": [2]}
    assert faults(*folders, labels={"organ": 1}) == [("ISIC_0000000_segmentation.png", "2")]
    datalist = build(*folders, labels={"organ": 1, "lesion": 2, "vessel": 3})
    assert "no mask shows vessel" in summary(datalist)


def test_a_number_in_the_last_mask_alone_is_found(tmp_path):
    images, masks = isic(tmp_path)
    picture(masks / "ISIC_0000005_segmentation.png", (0, 255, 7))
    assert set(build(images, masks)["labels"]) == {"background", "label 7", "label 255"}


def test_masks_that_are_none_are_refused(tmp_path):
    images, masks = isic(tmp_path, values=range(30))
    assert faults(images, masks) == [("masks", "29 different values")]
    images, masks = isic(tmp_path / "empty", values=(0,))
    assert faults(images, masks) == [("masks", "none")]


def test_masks_that_cannot_hold_exact_numbers_are_named(tmp_path):
    images, masks = isic(tmp_path)
    (masks / "ISIC_0000000_segmentation.png").unlink()
    picture(masks / "ISIC_0000000_segmentation.jpg")
    Image.new("RGB", (6, 5), (1, 2, 3)).save(masks / "ISIC_0000001_segmentation.png")
    (masks / "ISIC_0000002_segmentation.png").write_bytes((masks / "ISIC_0000003_segmentation.png").read_bytes()[:50])
    assert [name for name, _ in faults(images, masks)] == [
        f"ISIC_000000{number}_segmentation.{suffix}" for number, suffix in enumerate(("jpg", "png", "png"))
    ]


def test_masks_with_fractions_are_named(tmp_path):
    for name in ("x", "y"):
        volume(tmp_path / "i" / f"{name}.nii")
        volume(tmp_path / "m" / f"{name}.nii")
    nib.save(nib.Nifti1Image(np.full((5, 4, 3), 0.5, np.float32), np.eye(4)), tmp_path / "m" / "y.nii")
    assert [name for name, _ in faults(tmp_path / "i", tmp_path / "m")] == ["y.nii"]


@pytest.mark.parametrize("kind", ["missing", "empty", "other files"])
def test_a_folder_without_images_is_one_line(tmp_path, kind):
    images, _ = isic(tmp_path)
    other = tmp_path / "other"
    if kind != "missing":
        other.mkdir()
    if kind == "other files":
        (other / "notes.txt").touch()
    with pytest.raises(DataError, match="masks \\(NIfTI") as caught:
        build(images, other)
    assert "\n" not in str(caught.value)


@pytest.mark.real_data
def test_the_real_covid_slices_are_fifty_pairs(covid_root):
    folder = next(covid_root.glob("Dataset/TrainingSet/LungInfection-Train/Doctor-label"))
    datalist = build(folder / "Imgs", folder / "GT", foreground="infection")
    assert len(datalist["training"]) == 50
    assert datalist["labels"] == {"background": 0, "infection": 1}
    assert all(item["structures"] == {"infection": [255]} for item in datalist["training"])
