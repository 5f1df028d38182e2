"""Which files of a folder are taken for images, and how their cases are named."""

from __future__ import annotations

import pytest

from pipeline.datalists import list_images
from pipeline.errors import DataError


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def cases(root):
    return [item["case"] for item in list_images(root)]


def test_all_suffixes_are_found_in_subfolders_and_sorted(tmp_path):
    fill(tmp_path, "b.nii", "a/x.nii.gz", "c.mha", "d.mhd", "d.raw", "e.nrrd", "F.NII.GZ", "g.txt")
    fill(tmp_path, "h.png", "i.JPG", "j.jpeg", "k.bmp", "l.tif", "m.tiff", "n.gif", "o.nhdr")
    assert sorted(cases(tmp_path)) == ["F", "b", "c", "d", "e", "h", "i", "j", "k", "l", "m", "o", "x"]
    paths = [item["image"] for item in list_images(tmp_path)]
    assert paths == sorted(paths)


def test_masks_and_hidden_files_are_left_out(tmp_path):
    hidden = ("._a.nii.gz", ".cache/b.nii.gz", ".c.nii")
    fill(tmp_path, "a.nii.gz", "a_gt.nii.gz", "a_seg.nii", "a_mask.mha", "a_pred.nrrd", "maskless.nii", *hidden)
    fill(tmp_path, "a_instances.nii.gz", "a_entropy.nii.gz", "a_preview.png", "b_seg.png", "c_mask.bmp", "c.jpg")
    assert cases(tmp_path) == ["a", "c", "maskless"]


def test_folders_of_masks_are_left_out_below_a_folder_but_not_when_they_are_named(tmp_path):
    fill(
        tmp_path, "imagesTr/p1_0000.nii.gz", "labelsTr/p1.nii.gz", "labelsTs/p2.nii.gz", "set/Masks/x.png", "set/x.jpg"
    )
    assert cases(tmp_path) == ["p1_0000", "x"]
    assert cases(tmp_path / "labelsTr") == ["p1"]


def test_a_cine_is_left_out_only_beside_its_own_frames(tmp_path):
    fill(tmp_path, "p1/p1_4d.nii.gz", "p1/p1_frame01.nii.gz", "p2/p2_4d.nii.gz", "p3/p1_4d.nii.gz")
    fill(tmp_path, "p4/p4_4d.nii.gz", "p4/p4_frame01_gt.nii.gz")
    assert cases(tmp_path) == ["p1_frame01", "p2_4d", "p1_4d", "p4_4d"]


def test_names_that_occur_twice_get_their_folders(tmp_path):
    fill(tmp_path, "a/ct.nii.gz", "b/ct.nii.gz", "b/ct.mha", "other.nii", "x.png", "x.jpg")
    assert cases(tmp_path) == ["a_ct", "b_ct_mha", "b_ct_nii_gz", "other", "x_jpg", "x_png"]


def test_names_that_cannot_be_told_apart_are_refused(tmp_path):
    fill(tmp_path, "a/b_x.nii", "a_b/x.nii", "x.nii", "b_x.nii")
    with pytest.raises(DataError, match="a_b_x"):
        list_images(tmp_path)


def test_one_file_is_taken_whatever_its_name(tmp_path):
    path = fill(tmp_path, "patient_gt.nii.gz") / "patient_gt.nii.gz"
    assert list_images(path) == [{"image": str(path), "case": "patient_gt"}]


def test_a_linked_folder_is_searched_and_a_circle_ends(tmp_path):
    fill(tmp_path, "real/a.nii")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "circle").symlink_to(tmp_path / "in")
    assert cases(tmp_path / "in") == ["a"]


@pytest.mark.parametrize("name", ["missing", "empty", "text.txt"])
def test_nothing_to_segment_is_one_line(tmp_path, name):
    (tmp_path / "empty").mkdir()
    fill(tmp_path, "text.txt", "empty/only_gt.nii.gz")
    with pytest.raises(DataError) as caught:
        list_images(tmp_path / name)
    assert len(caught.value.problems) == 1
    if name != "missing":
        assert ".nii.gz, .nii, .mha, .mhd, .nrrd, .nhdr, .png, .jpg" in str(caught.value)
