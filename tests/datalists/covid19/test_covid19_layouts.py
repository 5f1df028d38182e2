"""Each raw layout of COVID-19 CT: what is listed, what is left out, and every fault named."""

from __future__ import annotations

import numpy as np
import pytest
from chest_slices import TWENTY, ct_seg, lungs, semiseg, touch, write_nifti, write_picture

from pipeline.datalists.covid19 import LAYOUTS, build, summary
from pipeline.errors import DataError


def problems_of(root, **options):
    with pytest.raises(DataError) as caught:
        build(root, **options)
    return caught.value.problems


def by_case(datalist, section="training"):
    return {item["case"]: item for item in datalist[section]}


# COVID-19-CT-Seg


@pytest.mark.parametrize(
    ("target", "folder", "structures", "labels"),
    [
        ("infection", "Infection_Mask", {"infection": [1]}, {"infection": 1}),
        ("lungs", "Lung_Mask", {"lungs": [1, 2], "left_lung": [1], "right_lung": [2]}, {"lungs": 1}),
        (
            "both",
            "Lung_and_Infection_Mask",
            {"lungs": [1, 2, 3], "infection": [3]},
            {"lungs": [1, 2], "infection": [2]},
        ),
    ],
)
def test_ct_seg_takes_the_masks_of_the_target(tmp_path, target, folder, structures, labels):
    datalist = build(ct_seg(tmp_path), target=target)
    assert datalist["labels"] == labels
    assert datalist["name"] == "covid19"
    assert sorted(by_case(datalist)) == sorted(TWENTY)
    item = by_case(datalist)["coronacases_001"]
    assert item["image"] == "COVID-19-CT-Seg_20cases/coronacases_001.nii.gz"
    assert item["label"] == f"{folder}/coronacases_001.nii.gz"
    assert item["structures"] == structures
    assert (item["patient"], item["group"]) == ("coronacases_001", "coronacases")
    assert datalist["provenance"]["layouts"] == {"COVID-19-CT-Seg": {"training": 20, "testing": 0}}


def test_ct_seg_scans_of_one_radiopaedia_case_are_of_one_patient(tmp_path):
    datalist = build(ct_seg(tmp_path))
    patients = {case: item["patient"] for case, item in by_case(datalist).items()}
    assert patients["radiopaedia_10_85902_1"] == patients["radiopaedia_10_85902_3"] == "radiopaedia_10"
    assert patients["radiopaedia_29_86490_1"] == patients["radiopaedia_29_86491_1"] == "radiopaedia_29"
    assert datalist["provenance"]["patients"] == 18


def test_ct_seg_falls_back_on_the_combined_masks_case_by_case(tmp_path):
    ct_seg(tmp_path, folders=["Lung_and_Infection_Mask"])
    touch(tmp_path, ["Infection_Mask/coronacases_002.nii.gz"])
    found = by_case(build(tmp_path))
    assert found["coronacases_002"]["label"] == "Infection_Mask/coronacases_002.nii.gz"
    assert found["coronacases_003"]["label"] == "Lung_and_Infection_Mask/coronacases_003.nii.gz"
    assert found["coronacases_003"]["structures"]["infection"] == [3]


def test_ct_seg_is_found_in_nested_folders_whatever_the_scans_folder_is_called(tmp_path):
    ct_seg(tmp_path / "raw/unpacked")
    (tmp_path / "raw/unpacked/COVID-19-CT-Seg_20cases").rename(tmp_path / "raw/unpacked/scans")
    items = build(tmp_path)["training"]
    assert items[0]["image"] == "raw/unpacked/scans/coronacases_001.nii.gz"
    assert items[0]["label"] == "raw/unpacked/Infection_Mask/coronacases_001.nii.gz"


def test_ct_seg_ignores_masks_that_someone_predicted_and_hidden_files(tmp_path):
    ct_seg(tmp_path)
    touch(tmp_path, ["runs/masks/coronacases_001.nii.gz", "COVID-19-CT-Seg_20cases/._coronacases_001.nii.gz"])
    touch(tmp_path, ["__MACOSX/Lung_Mask/coronacases_001.nii.gz", ".cache/coronacases_011.nii.gz"])
    assert len(build(tmp_path)["training"]) == 20


def test_ct_seg_names_every_missing_partner_and_doubled_file(tmp_path):
    ct_seg(tmp_path, folders=["Infection_Mask"])
    (tmp_path / "Infection_Mask/coronacases_004.nii.gz").unlink()
    (tmp_path / "COVID-19-CT-Seg_20cases/radiopaedia_4_85506_1.nii.gz").unlink()
    touch(tmp_path, ["Infection_Mask/coronacases_005.nii"])
    problems = problems_of(tmp_path)
    assert [(problem.file.removeprefix(str(tmp_path)), problem.expected) for problem in problems] == [
        ("/Infection_Mask/coronacases_005.nii.gz", "one file for each case"),
        (
            "/COVID-19-CT-Seg_20cases/coronacases_004.nii.gz",
            "its mask Infection_Mask/coronacases_004.nii.gz",
        ),
        (
            "/Infection_Mask/radiopaedia_4_85506_1.nii.gz",
            "its image COVID-19-CT-Seg_20cases/radiopaedia_4_85506_1.nii.gz",
        ),
    ]


def test_ct_seg_without_scans_or_without_any_masks_is_one_line(tmp_path):
    scans = ct_seg(tmp_path / "a", folders=[])
    masks = touch(tmp_path / "b", [f"Lung_Mask/{case}.nii.gz" for case in TWENTY])
    for root, said in ((scans, "beside the scans, found none"), (masks, "found only masks"), (masks / "Lung_Mask", "")):
        problems = problems_of(root)
        assert len(problems) == 1
        assert said in str(problems[0])


def test_ct_seg_without_the_targets_masks_says_what_is_there(tmp_path):
    (problem,) = problems_of(ct_seg(tmp_path, folders=["Lung_Mask"]), target="infection")
    assert "20 cases: Lung_Mask/ do not tell infection" in problem.found


# MosMedData


def test_mosmed_studies_without_masks_are_for_testing(tmp_path):
    touch(tmp_path, [f"studies/CT-1/study_{n:04d}.nii.gz" for n in range(255, 263)])
    touch(tmp_path, ["studies/CT-0/study_0001.nii.gz", "studies/CT-4/study_1110.nii.gz"])
    touch(tmp_path, [f"masks/study_{n:04d}_mask.nii.gz" for n in range(255, 261)])
    datalist = build(tmp_path)
    item = by_case(datalist)["study_0255"]
    assert item["image"] == "studies/CT-1/study_0255.nii.gz"
    assert item["label"] == "masks/study_0255_mask.nii.gz"
    assert (item["structures"], item["group"], item["severity"]) == ({"infection": [1]}, "mosmed", "CT-1")
    testing = by_case(datalist, "testing")
    assert sorted(testing) == ["study_0001", "study_0261", "study_0262", "study_1110"]
    assert not any("label" in item for item in testing.values())
    assert datalist["provenance"]["without_masks"] == 4
    assert "4 cases without masks" in summary(datalist)


def test_mosmed_masks_without_a_study_are_named(tmp_path):
    touch(tmp_path, ["studies/CT-1/study_0255.nii.gz", "masks/study_0255_mask.nii.gz", "masks/study_0256_mask.nii.gz"])
    (problem,) = problems_of(tmp_path)
    assert problem.file.endswith("masks/study_0256_mask.nii.gz")
    assert problem.expected == "its image study_0256.nii.gz"


# COVID-19-20


def test_challenge_trains_on_train_and_tests_on_validation(tmp_path):
    for number in (3, 10, 11, 14, 15):
        touch(tmp_path, [f"COVID-19-20_v2/Train/volume-covid19-A-{number:04d}_{kind}.nii.gz" for kind in ("ct", "seg")])
    touch(tmp_path, ["COVID-19-20_v2/Validation/volume-covid19-A-0698_ct.nii.gz"])
    datalist = build(tmp_path)
    item = by_case(datalist)["volume-covid19-A-0003"]
    assert item["image"] == "COVID-19-20_v2/Train/volume-covid19-A-0003_ct.nii.gz"
    assert item["label"] == "COVID-19-20_v2/Train/volume-covid19-A-0003_seg.nii.gz"
    assert (item["structures"], item["group"]) == ({"infection": [1]}, "covid-19-20")
    assert list(by_case(datalist, "testing")) == ["volume-covid19-A-0698"]
    assert len(build(tmp_path / "COVID-19-20_v2/Train")["training"]) == 5


def test_challenge_names_scans_and_masks_without_partners_and_a_scan_in_two_folders(tmp_path):
    touch(tmp_path, ["Train/volume-covid19-A-0003_ct.nii.gz", "Train/volume-covid19-A-0003_seg.nii.gz"])
    touch(tmp_path, ["Train/volume-covid19-A-0010_ct.nii.gz", "Train/volume-covid19-A-0011_seg.nii.gz"])
    assert [problem.expected for problem in problems_of(tmp_path)] == [
        "its mask volume-covid19-A-0010_seg.nii.gz",
        "its image volume-covid19-A-0011_ct.nii.gz",
    ]
    touch(tmp_path, ["Train/volume-covid19-A-0010_seg.nii.gz", "Train/volume-covid19-A-0011_ct.nii.gz"])
    touch(tmp_path, ["Validation/volume-covid19-A-0003_ct.nii.gz"])
    (problem,) = problems_of(tmp_path)
    assert problem.file.endswith("Validation/volume-covid19-A-0003_ct.nii.gz")
    assert "Train/volume-covid19-A-0003_ct.nii.gz" in problem.found


# medicalsegmentation.com


def stack(patients):
    return np.stack([lungs(patient) * 1500 / 255 - 1250 for patient in patients], axis=2)


def test_medseg_slices_of_the_stack_are_cases_and_those_of_one_patient_share_a_fold(tmp_path):
    write_nifti(tmp_path / "tr_im.nii.gz", stack([1, 2, 3, 4, 2, 5]))
    write_nifti(tmp_path / "tr_mask.nii.gz", np.zeros((120, 140, 6)))
    write_nifti(tmp_path / "val_im.nii.gz", stack([26, 37]))
    datalist = build(tmp_path, folds=4)
    found = by_case(datalist)
    assert list(found) == [f"tr_im_{index:03d}" for index in range(6)]
    assert [item["slice"] for item in found.values()] == list(range(6))
    assert {item["label"] for item in found.values()} == {"tr_mask.nii.gz"}
    assert found["tr_im_000"]["structures"]["infection"] == [1, 2]
    assert found["tr_im_000"]["structures"]["effusion"] == [3]
    assert datalist["name"] == "covid19_slices"
    assert datalist["provenance"]["near_duplicates"] == [["tr_im_001", "tr_im_004"]]
    assert found["tr_im_001"]["fold"] == found["tr_im_004"]["fold"]
    assert list(by_case(datalist, "testing")) == ["val_im_000", "val_im_001"]


def test_medseg_scans_and_their_lungs(tmp_path):
    touch(tmp_path, [f"{folder}/{n}.nii.gz" for folder in ("rp_im", "rp_msk", "rp_lung_msk") for n in range(1, 10)])
    infection, lung = build(tmp_path), build(tmp_path, target="lungs")
    assert list(by_case(infection)) == [f"rp_im_{number}" for number in range(1, 10)]
    assert by_case(infection)["rp_im_2"]["label"] == "rp_msk/2.nii.gz"
    assert by_case(lung)["rp_im_2"]["label"] == "rp_lung_msk/2.nii.gz"
    assert by_case(lung)["rp_im_2"]["structures"] == {"lungs": [1, 2]}
    assert infection["name"] == "covid19"
    (problem,) = problems_of(tmp_path, target="both")
    assert "not drawn in one file" in problem.found


def test_medseg_names_missing_masks_unlike_and_damaged_stacks(tmp_path):
    write_nifti(tmp_path / "tr_im.nii.gz", stack([1, 2, 3]))
    touch(tmp_path, ["rp_im/1.nii.gz", "rp_im/2.nii.gz", "rp_msk/2.nii.gz", "rp_msk/3.nii.gz"])
    assert [problem.expected for problem in problems_of(tmp_path)] == [
        "its mask tr_mask.nii.gz",
        "its mask rp_msk/1.nii.gz",
        "its image rp_im/3.nii.gz",
    ]
    touch(tmp_path, ["rp_msk/1.nii.gz", "rp_im/3.nii.gz"])
    write_nifti(tmp_path / "tr_mask.nii.gz", np.zeros((120, 140, 2)))
    (problem,) = problems_of(tmp_path)
    assert (problem.expected, problem.found) == ("3 slices, as tr_im.nii.gz has", "2")
    (tmp_path / "tr_mask.nii.gz").write_bytes(b"no gzip")
    (problem,) = problems_of(tmp_path)
    assert problem.file.endswith("tr_mask.nii.gz")
    assert "unreadable" in problem.found
    write_nifti(tmp_path / "tr_mask.nii.gz", np.zeros((120, 140)))
    (problem,) = problems_of(tmp_path)
    assert problem.found == "2 axes"


# COVID-SemiSeg


@pytest.mark.parametrize("below", [".", "Dataset", "Dataset/TrainingSet"])
def test_semiseg_is_found_from_any_folder_above_the_pictures(tmp_path, below):
    semiseg(tmp_path, {"0": 1, "2": 2, "10": 3})
    datalist = build(tmp_path / below, folds=2)
    item = by_case(datalist)["semiseg_010"]
    assert (tmp_path / below / item["image"]).samefile(
        tmp_path / "Dataset/TrainingSet/LungInfection-Train/Doctor-label/Imgs/10.jpg"
    )
    assert item["label"].endswith("GT/10.png")
    assert (item["structures"], item["group"], item["patient"]) == ({"infection": [255]}, "semiseg", "semiseg_010")
    assert list(by_case(datalist)) == ["semiseg_000", "semiseg_002", "semiseg_010"]
    assert datalist["labels"] == {"infection": 1}


def test_semiseg_test_slices_pseudo_labels_and_other_classes(tmp_path):
    semiseg(tmp_path, {"0": 1, "1": 2})
    semiseg(tmp_path, {"6": 3, "1": 1}, part="TestingSet/LungInfection-Test")
    semiseg(tmp_path, {"1": 5, "2": 6}, part="TrainingSet/LungInfection-Train/Pseudo-label")
    semiseg(tmp_path, {"6": 3}, part="TestingSet/MultiClassInfection-Test")
    touch(tmp_path, ["Dataset/TrainingSet/LungInfection-Train/Doctor-label/Edge/0.png"])
    datalist = build(tmp_path, folds=2)
    assert list(by_case(datalist)) == ["semiseg_000", "semiseg_001"]
    testing = by_case(datalist, "testing")
    assert list(testing) == ["semiseg_test_001", "semiseg_test_006"]
    assert testing["semiseg_test_006"]["label"].endswith("LungInfection-Test/GT/6.png")
    assert datalist["provenance"]["left_out"] == [
        "COVID-SemiSeg: 1 pictures of multiclassinfection-test: the same slices with other masks",
        "COVID-SemiSeg: 2 pictures of pseudo-label: masks drawn by a network",
    ]
    text = summary(datalist)
    assert "semiseg_000, semiseg_test_001 LEAK between fold" in text
    assert "masks drawn by a network" in text


def test_semiseg_names_pictures_and_masks_without_partners_and_unreadable_pictures(tmp_path):
    semiseg(tmp_path, {"0": 1, "1": 2, "2": 3})
    folder = tmp_path / "Dataset/TrainingSet/LungInfection-Train/Doctor-label"
    write_picture(folder / "Imgs/7.jpg", lungs(4))
    write_picture(folder / "GT/8.png", lungs(4))
    assert [problem.expected for problem in problems_of(tmp_path)] == [
        "its mask Dataset/TrainingSet/LungInfection-Train/Doctor-label/GT/7",
        "its image Dataset/TrainingSet/LungInfection-Train/Doctor-label/Imgs/8",
    ]
    (folder / "Imgs/7.jpg").unlink()
    (folder / "GT/8.png").unlink()
    for stem in ("0", "2"):
        (folder / f"Imgs/{stem}.jpg").write_bytes(b"\xff\xd8 cut off")
    problems = problems_of(tmp_path)
    assert [problem.file for problem in problems] == [str(folder / "Imgs/0.jpg"), str(folder / "Imgs/2.jpg")]
    assert all("unreadable" in problem.found for problem in problems)


# all


def test_the_wrong_folder_is_one_line_that_names_every_layout(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    other = touch(tmp_path / "other", ["patient001/patient001_frame01.nii.gz", "notes.txt"])
    for root, found in ((empty, "no files"), (other, "notes.txt, patient001"), (tmp_path / "no", "no such folder")):
        (problem,) = problems_of(root)
        assert "\n" not in str(problem)
        assert problem.found == found
        assert all(layout in problem.expected for layout in LAYOUTS)
