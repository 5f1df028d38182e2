"""What may be meant so is a warning; a good set is silent, the real ones say what is known of them and no more."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from image_files import acdc_like, dicom_series
from PIL import Image
from preflight_set import CASES, affine, checked, edit_header, good_set, image_of, label_of, save

from pipeline.errors import DataError
from pipeline.preflight import check, preflight

REPOSITORY = Path(__file__).resolve().parents[2]


def kinds(result) -> list[tuple[str, tuple[str, ...]]]:
    return [(finding.check, finding.cases) for finding in result.warnings]


@pytest.mark.parametrize("level", ["fast", "full"])
def test_a_good_set_is_silent(tmp_path, level):
    result = checked(tmp_path, good_set(tmp_path), level=level)
    assert (result.problems, result.warnings, result.cases, result.files) == ([], [], 6, 12)
    result.raise_problems()


def test_phantoms_have_no_problems(phantom_acdc, phantom_covid19, phantom_covid19_slices):
    for root, known in ((phantom_acdc, {"pixdim"}), (phantom_covid19, {"scale"}), (phantom_covid19_slices, {"tiny"})):
        result = check(root, progress=False)
        assert result.problems == []
        assert {finding.check for finding in result.warnings} <= known
        assert result.cases > 5


@pytest.mark.real_data
@pytest.mark.parametrize("level", ["fast", "full"])
def test_real_acdc(acdc_root, level):
    """Its unit affines, and the two patients with the same images."""
    result = check(REPOSITORY / "data_lists" / "acdc.json", dataset_dir=acdc_root, level=level, progress=False)
    assert (result.cases, result.files, result.problems) == (200, 400, [])
    assert sorted(kinds(result)) == [
        ("duplicate", ("patient076_ED",)),
        ("duplicate", ("patient076_ES",)),
        ("pixdim", ()),
    ]
    found = {finding.problem.found.split(" (")[0] for finding in result.warnings}
    assert found == {"that of patient074_ED", "that of patient074_ES", "others in 200 of 200 cases"}


@pytest.mark.real_data
@pytest.mark.parametrize("level", ["fast", "full"])
def test_real_covid_slices(covid_root, level):
    listed = REPOSITORY / "data_lists" / "covid19_slices.json"
    result = check(listed, dataset_dir=covid_root, level=level, progress=False)
    assert (result.cases, result.files, result.problems, result.warnings) == (50, 100, [], [])


def test_empty_and_tiny_structures(tmp_path):
    datalist = good_set(tmp_path)
    label = label_of("b")
    label[label == 2] = 0
    save(tmp_path / "labels" / "b.nii.gz", label)
    label = label_of("c")
    label[label == 3] = 0
    label[11, 10, :3] = 3
    save(tmp_path / "labels" / "c.nii.gz", label)
    result = checked(tmp_path, datalist)
    assert kinds(result) == [("empty", ("b",)), ("tiny", ("c",))]
    assert [(one.problem.expected, one.problem.found) for one in result.warnings] == [
        ("voxels of MYO", "none"),
        ("10 voxels of LV or more", "3"),
    ]


def test_numbers_follow_the_structures_of_each_file(tmp_path):
    """{"lungs": [1, 2, 3], "infection": [3]} in files of 1, 2, 3, against labels 1, 2; a fourth number is told."""
    datalist = good_set(tmp_path)
    datalist["labels"] = {"background": 0, "lungs": [1, 2], "infection": [2]}
    for item in datalist["training"]:
        item["structures"] = {"lungs": [1, 2, 3], "infection": [3]}
    label = label_of("d")
    label[11, 10] = 4
    save(tmp_path / "labels" / "d.nii.gz", label)
    result = checked(tmp_path, datalist)
    assert (result.problems, kinds(result)) == ([], [("unnamed", ("d",))])
    assert (result.warnings[0].problem.expected, result.warnings[0].problem.found) == ("only 1, 2, 3", "also 4")
    assert [one.check for one in checked(tmp_path, datalist, labels={"infection": 1}).problems] == []
    assert len(checked(tmp_path, datalist, labels={"tumour": 1}).problems) == 6


def test_regions_without_structures(tmp_path):
    datalist = good_set(tmp_path)
    datalist["labels"] = {"heart": [1, 2, 3], "MYO": [2], "LV": [3]}
    assert checked(tmp_path, datalist).problems == []
    datalist["labels"] = {"heart": [1, 2], "MYO": [2]}
    found = {one.problem.found for one in checked(tmp_path, datalist).problems}
    assert found == {"also 3"}


def test_duplicates_on_one_side_and_twin_masks(tmp_path):
    datalist = good_set(tmp_path)
    save(tmp_path / "images" / "d.nii.gz", image_of("a").astype(np.float32))  # fold 0, as a; another type
    save(tmp_path / "labels" / "c.nii.gz", label_of("b"))
    result = checked(tmp_path, datalist)
    assert (result.problems, kinds(result)) == ([], [("duplicate", ("d",)), ("duplicate", ("b", "c"))])
    assert "mask of its own" in result.warnings[1].problem.expected
    assert kinds(checked(tmp_path, datalist, level="fast")) == [], "the types differ, so that packed files do"


def test_extra_images_and_masks(tmp_path):
    datalist = good_set(tmp_path)
    for name in ("images/new.nii.gz", "labels/new.nii.gz", "images/.hidden.nii.gz", "other/new.nii.gz"):
        save(tmp_path / name, image_of("a"))
    (tmp_path / "images" / "notes.txt").write_text("none")
    datalist["testing"] = [{"image": "labels/new.nii.gz", "case": "x"}, datalist["training"].pop()]
    (tmp_path / "labels" / "a.nii.gz").unlink()
    result = checked(tmp_path, datalist, section="training")
    extra = [one.problem.file for one in result.warnings if one.check == "extra"]
    assert extra == [str(tmp_path / "images/new.nii.gz")], "the list names the others, elsewhere or in vain"
    datalist["testing"] = []
    result = checked(tmp_path, datalist)
    names = ("images/f.nii.gz", "images/new.nii.gz", "labels/f.nii.gz", "labels/new.nii.gz")
    extra = [one.problem.file for one in result.warnings if one.check == "extra"]
    assert extra == [str(tmp_path / name) for name in names]


def test_a_folder_that_may_not_be_read_is_no_obstacle(tmp_path, monkeypatch):
    datalist = good_set(tmp_path)
    for item in datalist["training"]:
        for kind in ("image", "label"):
            place = tmp_path / item["case"] / f"{kind}.nii.gz"
            place.parent.mkdir(exist_ok=True)
            (tmp_path / item[kind]).rename(place)
            item[kind] = f"{item['case']}/{kind}.nii.gz"
    (tmp_path / "lost+found").mkdir()
    inside = Path.iterdir

    def guarded(folder):
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return inside(folder)

    monkeypatch.setattr(Path, "iterdir", guarded)
    result = checked(tmp_path, datalist, level="fast")
    assert (result.problems, result.cases) == ([], 6)
    assert "extra" not in {one.check for one in result.warnings}


def test_extra_patients_and_a_cine_beside_its_frames(tmp_path):
    training = []
    for case in CASES:
        folder = tmp_path / "training" / case
        save(folder / f"{case}_frame01.nii.gz", image_of(case))
        save(folder / f"{case}_frame01_gt.nii.gz", label_of(case))
        name = f"training/{case}/{case}_frame01"
        training.append({"image": f"{name}.nii.gz", "label": f"{name}_gt.nii.gz", "case": case})
    save(tmp_path / "training" / "a" / "a_4d.nii.gz", np.stack([image_of("a")] * 2, -1))
    datalist = {"labels": {"RV": 1, "MYO": 2, "LV": 3}, "training": training[:-1]}
    (finding_image, finding_label) = checked(tmp_path, datalist).warnings
    assert finding_image.problem.file.endswith("f_frame01.nii.gz")
    assert finding_label.problem.file.endswith("f_frame01_gt.nii.gz")
    assert check(tmp_path / "datalist.json", dataset_dir=tmp_path / "training", progress=False).problems == []


def test_a_mask_in_the_place_of_an_image_and_huge_values(tmp_path):
    datalist = good_set(tmp_path)
    save(tmp_path / "images" / "b.nii.gz", label_of("b"))
    huge = image_of("c").astype(np.float32)
    huge[0, 0, 0] = 3e30
    save(tmp_path / "images" / "c.nii.gz", huge)
    result = checked(tmp_path, datalist)
    assert kinds(result) == [("values", ("b",)), ("values", ("c",))]
    assert [one.problem.found for one in result.warnings] == ["only 4 different values", "values from 0 to 3e+30"]


def test_ct_in_two_scales(tmp_path):
    datalist = {**good_set(tmp_path), "modality": "CT"}
    for case in "abcdef":
        voxels = image_of(case) % 256 if case in "bd" else image_of(case) - 1000
        save(tmp_path / "images" / f"{case}.nii.gz", voxels.astype(np.int16))
    (finding,) = checked(tmp_path, datalist).warnings
    assert (finding.check, finding.cases) == ("scale", ("b", "d"))
    assert "grey levels 0..255 in 2 of 6 cases" in finding.problem.found
    assert checked(tmp_path, {**datalist, "modality": "MRI"}).warnings == []


def test_ct_in_a_scale_that_cannot_be_told(tmp_path):
    datalist = {**good_set(tmp_path), "modality": "CT"}
    for case in "abcdef":
        stretched = image_of(case).astype(np.int32)
        stretched[0, 0, 0] = 65535 if case == "c" else -1000
        save(tmp_path / "images" / f"{case}.nii.gz", stretched)
    result = checked(tmp_path, datalist)
    assert [(one.check, one.cases) for one in result.problems] == [("scale", ("c",))]
    assert checked(tmp_path, {**datalist, "modality": "MRI"}).problems == []


def test_headers_that_differ_from_the_others(tmp_path):
    datalist = good_set(tmp_path)
    acdc_like(tmp_path / "images" / "b.nii.gz", image_of("b"))
    acdc_like(tmp_path / "labels" / "b.nii.gz", label_of("b"))
    save(tmp_path / "images" / "c.nii.gz", image_of("c"), np.eye(4))
    save(tmp_path / "labels" / "c.nii.gz", label_of("c"), np.eye(4))
    two_forms = nib.Nifti1Image(image_of("d"), affine())
    two_forms.header.set_sform(affine(), code=1)
    shifted = affine()
    shifted[0, 3] += 7
    two_forms.header.set_qform(shifted, code=1)
    two_forms.to_filename(tmp_path / "images" / "d.nii.gz")
    result = checked(tmp_path, datalist, level="fast")
    assert result.problems == []
    assert sorted(kinds(result)) == [("forms", ("d",)), ("pixdim", ("b",)), ("spacing", ("c",))]
    assert "corners up to 7.0 mm apart" in str([one.problem.found for one in result.warnings])


def test_2d_nifti_without_a_third_axis(tmp_path):
    datalist = good_set(tmp_path)
    for case in CASES:
        for folder, voxels in (("images", image_of(case)), ("labels", label_of(case))):
            path = save(tmp_path / folder / f"{case}.nii.gz", voxels[:, :, 2])
            edit_header(path, lambda content: content.__setitem__(slice(280 + 8, 280 + 12), bytes(4)))
    result = checked(tmp_path, datalist)
    assert (result.problems, result.warnings) == ([], [])


def test_black_and_white_pictures(tmp_path):
    """255 stands for the only structure; 128 beside it does not; and pictures of one name in two kinds are good."""
    training = []
    for index, case in enumerate(CASES):
        (tmp_path / case).mkdir()
        Image.fromarray((image_of(case)[..., 0] % 256).astype(np.uint8)).save(tmp_path / case / "i.jpg")
        mask = np.where(label_of(case)[..., 2] > 0, 255, 0).astype(np.uint8)
        mask[0, 0] = 128 if case == "e" else mask[0, 0]
        Image.fromarray(mask).save(tmp_path / case / "m.png")
        training.append({"image": f"{case}/i.jpg", "label": f"{case}/m.png", "case": case, "fold": index % 2})
    result = checked(tmp_path, {"labels": {"lesion": 1}, "training": training})
    assert [(one.check, one.cases) for one in result.problems] == [("labels", ("e",))]
    assert result.problems[0].problem.found == "also 128, 255"


def test_slices_of_a_stack_are_cases_of_their_own(tmp_path):
    """The file is read once; each slice has its own values, its own label, its own twin."""
    stack, masks = image_of("a"), label_of("a")
    stack[..., 4] = stack[..., 0]
    stack[..., 3] = 7
    masks[0, 0, 1] = 9
    save(tmp_path / "stack.nii.gz", stack)
    save(tmp_path / "masks.nii.gz", masks)
    entry = {"image": "stack.nii.gz", "label": "masks.nii.gz"}
    training = [{**entry, "slice": index, "case": f"s{index}", "fold": index % 2} for index in range(5)]
    training.append({**entry, "slice": 9, "case": "s9", "fold": 0})
    result = checked(tmp_path, {"labels": {"RV": 1, "MYO": 2, "LV": 3}, "training": training})
    assert [(one.check, one.cases) for one in result.problems] == [
        ("labels", ("s1",)),
        ("values", ("s3",)),
        ("slice", ("s9",)),
    ]
    assert result.files == 2
    assert ("duplicate", ("s4",)) in kinds(result)
    empty = {one.cases for one in result.warnings if one.check == "empty"}
    assert empty == {("s0",), ("s4",)}, "label_of has structures in slices 1 to 3"
    assert all(", slice " in one.problem.file for one in result.warnings)


def test_folders_of_images_and_series(tmp_path):
    save(tmp_path / "a.nii.gz", image_of("a"))
    dicom_series(tmp_path / "scans" / "b", image_of("b"), np.diag([1.5, 1.5, 8, 1]))
    (tmp_path / "c.nii.gz").write_bytes(b"<html>")
    for level in ("fast", "full"):
        result = check(tmp_path, level=level, progress=False)
        assert [(one.check, one.cases) for one in result.problems] == [("readable", ("c",))]
        assert (result.cases, result.files, result.warnings) == (3, 3, [])
    assert check(tmp_path / "a.nii.gz", progress=False).problems == []
    (nothing,) = check(tmp_path / "nothing", progress=False).problems
    assert "no such path" in nothing.problem.found


def test_preflight_raises_all_and_logs_a_warning_of_each_kind(tmp_path, caplog):
    datalist = good_set(tmp_path)
    for case in "ab":
        label = label_of(case)
        label[label == 3] = 0
        save(tmp_path / "labels" / f"{case}.nii.gz", label)
    checked(tmp_path, datalist)
    acdc_like(tmp_path / "images" / "c.nii.gz", image_of("c"))
    acdc_like(tmp_path / "labels" / "c.nii.gz", label_of("c"))
    with caplog.at_level("INFO", logger="pipeline"):
        preflight(tmp_path / "datalist.json", level="full", progress=False)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert "pixdim" in caplog.records[1].message
    assert "voxels of LV" in caplog.text
    assert "1 more" in caplog.text
    (tmp_path / "images" / "e.nii.gz").write_bytes(b"")
    (tmp_path / "images" / "f.nii.gz").unlink()
    with pytest.raises(DataError) as caught:
        preflight(tmp_path / "datalist.json", progress=False)
    assert len(caught.value.problems) == 2
    preflight(tmp_path / "datalist.json", level="off")
    with pytest.raises(DataError, match="fast, full or off"):
        preflight(tmp_path / "datalist.json", level="quick")


def test_duplicates_that_the_list_declares_are_warnings(tmp_path):
    """As in nnU-Net's split of ACDC, which others have fixed."""
    datalist = good_set(tmp_path)
    for case in "be":
        save(tmp_path / "images" / f"{case}.nii.gz", image_of("a"))
    datalist["provenance"] = {"identical_images": [["a", "b"], ["c", "d"]]}
    result = checked(tmp_path, datalist)
    assert [(one.check, one.cases) for one in result.problems] == [("duplicate", ("e",))]
    assert kinds(result) == [("duplicate", ("b",))]
    assert "in fold 1 and fold 0" in result.warnings[0].problem.found


def test_one_section_alone(tmp_path):
    datalist = good_set(tmp_path)
    datalist["testing"] = [{"image": "testing/x.nii.gz", "case": "x"}]
    assert [one.check for one in checked(tmp_path, datalist).problems] == ["missing"]
    result = checked(tmp_path, datalist, section="training")
    assert (result.problems, result.cases) == ([], 6)
    assert checked(tmp_path, datalist, section="testing").cases == 1
    with pytest.raises(DataError, match="training or testing"):
        checked(tmp_path, datalist, section="train")


def test_a_file_as_a_whole_and_slice_by_slice_and_a_mask_as_a_channel(tmp_path):
    datalist = good_set(tmp_path)
    whole = datalist["training"][0]
    mask = label_of("a")
    mask[0, 0, 2] = 9
    save(tmp_path / "labels" / "a.nii.gz", mask)
    datalist["training"] += [{**whole, "case": f"a{index}", "slice": index} for index in (1, 2)]
    result = checked(tmp_path, datalist)
    told = [(one.problem.file.rpartition("/")[2], one.cases) for one in result.problems]
    assert told == [("a.nii.gz", ("a",)), ("a.nii.gz, slice 2", ("a2",))]
    for item in datalist["training"][1:6]:
        item["image"] = [item["image"], "labels/c.nii.gz" if item["case"] != "c" else "labels/d.nii.gz"]
    result = checked(tmp_path, {**datalist, "training": datalist["training"][1:6]})
    assert (result.problems, {one.check for one in result.warnings}) == ([], {"extra"})
    for item in datalist["training"][1:6]:
        item["image"] = [item["image"][0], item["label"]]
    result = checked(tmp_path, {**datalist, "training": datalist["training"][1:6]})
    assert [one.check for one in result.problems] == ["list"] * 5, "the truth is no input"


def test_a_damaged_stack_is_told_once_and_spoils_all_of_its_slices(tmp_path):
    path = save(tmp_path / "stack.nii.gz", image_of("a"))
    save(tmp_path / "masks.nii.gz", label_of("a"))
    path.write_bytes(path.read_bytes()[:-200])
    entry = {"image": "stack.nii.gz", "label": "masks.nii.gz"}
    training = [{**entry, "slice": index, "case": f"s{index}"} for index in range(3)]
    (finding,) = checked(tmp_path, {"training": training}).problems
    assert (finding.check, finding.cases) == ("readable", ("s0", "s1", "s2"))
