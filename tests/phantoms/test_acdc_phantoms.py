"""The phantom files: ACDC's layout and headers, plausible hearts, and no shortcut by intensity."""

from __future__ import annotations

import shutil
from collections import Counter

import nibabel as nib
import numpy as np
import pytest
from intensity_windows import best_window

from pipeline.datalists import items, load_datalist
from pipeline.datalists.acdc import build
from pipeline.errors import DataError
from pipeline.phantoms.acdc import write


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Two phantoms in full size."""
    root = tmp_path_factory.mktemp("full") / "acdc"
    write(root, patients=2)
    return root


def volumes(root):
    """(item, image, label) of every case as nibabel has them."""
    for item in items(root / "datalist.json", dataset_dir=root):
        yield item, nib.load(item["image"]), nib.load(item["label"])


def contents(root):
    return {
        str(path.relative_to(root)): np.asarray(nib.load(path).dataobj).tobytes()
        if path.name.endswith(".nii.gz")
        else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_layout_is_acdcs_and_the_list_lies_beside_it(phantom_acdc):
    datalist = load_datalist(phantom_acdc / "datalist.json")
    assert datalist["training"] == build(phantom_acdc)["training"]
    assert datalist["licence"] == "CC0-1.0"
    assert Counter(item["phase"] for item in datalist["training"]) == {"ED": 6, "ES": 6}
    assert {item["group"] for item in datalist["training"]} == {"NOR", "DCM", "HCM", "MINF", "RV"}
    assert {item["fold"] for item in datalist["training"]} == set(range(5))
    info = (phantom_acdc / "training" / "patient001" / "Info.cfg").read_text(encoding="utf-8")
    assert info.startswith("ED: 1\nES: 4\nGroup: NOR\nHeight: ")
    assert "NbFrame: 10\n" in info


def test_fewer_patients_than_five_give_as_many_folds(full):
    assert {item["fold"] for item in load_datalist(full / "datalist.json")["training"]} == {0, 1}


def test_headers_hide_the_spacing_as_acdcs_do(phantom_acdc, full):
    for root in (phantom_acdc, full):
        for _, image, label in volumes(root):
            for header in (image.header, label.header):
                assert np.array_equal(header.get_sform(), np.diag([-1.0, -1.0, 1.0, 1.0]))
                assert (int(header["sform_code"]), int(header["qform_code"])) == (2, 0)
                assert np.all(header.get_zooms()[:2] != np.float32(1.0))
                assert 5.0 <= header.get_zooms()[2] <= 10.0
            assert image.shape == label.shape
            assert image.header.get_zooms() == label.header.get_zooms()


@pytest.mark.real_data
def test_every_header_field_but_the_size_is_the_real_ones(acdc_root, full):
    real = nib.load(acdc_root / "training" / "patient001" / "patient001_frame01_gt.nii.gz").header
    ours = nib.load(full / "training" / "patient001" / "patient001_frame01_gt.nii.gz").header
    different = [key for key in real if not np.array_equal(real[key], ours[key], equal_nan=real[key].dtype.kind == "f")]
    assert set(different) <= {"dim", "pixdim"}


def test_sizes_are_as_documented(phantom_acdc, full):
    for _, image, _ in volumes(phantom_acdc):
        assert all(64 <= size <= 96 for size in image.shape[:2])
        assert 5 <= image.shape[2] <= 7
        assert 2.8 <= image.header.get_zooms()[0] <= 3.2
    for _, image, _ in volumes(full):
        assert 6 <= image.shape[2] <= 12
        assert 1.2 <= image.header.get_zooms()[0] <= 1.9


def test_image_types_take_turns_and_masks_are_uint8(phantom_acdc):
    types = {item["patient"]: image.get_data_dtype() for item, image, _ in volumes(phantom_acdc)}
    assert [types[f"patient{number:03d}"] for number in range(1, 4)] == [np.float32, np.int16, np.uint8]
    assert all(label.get_data_dtype() == np.uint8 for _, _, label in volumes(phantom_acdc))
    for _, image, _ in volumes(phantom_acdc):
        voxels = np.asarray(image.dataobj)
        assert voxels.min() >= 0
        assert np.mean(voxels == voxels.max()) < 0.002, "the range is cut off"


def test_every_mask_is_a_ring_around_a_cavity_with_a_ventricle_beside_it(phantom_acdc, full):
    for root in (phantom_acdc, full):
        for item, _, label in volumes(root):
            mask = np.asarray(label.dataobj)
            assert set(np.unique(mask)) == {0, 1, 2, 3}, item["case"]
            for axis in (0, 1):
                for step in (1, -1):
                    beside = np.roll(mask, step, axis=axis)[mask == 3]
                    assert set(np.unique(beside)) <= {2, 3}, item["case"]


def test_ventricles_contract(phantom_acdc, full):
    for root in (phantom_acdc, full):
        filled = {}
        for item, image, label in volumes(root):
            volume = np.prod(image.header.get_zooms()) / 1000
            counts = np.bincount(np.asarray(label.dataobj).ravel(), minlength=4) * volume
            filled.setdefault(item["patient"], {})[item["phase"]] = counts
        for phases in filled.values():
            for structure in (1, 3):
                assert 0.1 < 1 - phases["ES"][structure] / phases["ED"][structure] < 0.85
            assert phases["ES"][2] == pytest.approx(phases["ED"][2], rel=0.25)
            if root == full:
                assert 80 < phases["ED"][3] < 300
                assert 80 < phases["ED"][1] < 300


def test_no_intensity_window_separates_a_structure(phantom_acdc, full):
    scores = [
        [best_window(image.get_fdata(), np.asarray(label.dataobj) == structure) for structure in (1, 2, 3)]
        for root in (phantom_acdc, full)
        for _, image, label in volumes(root)
    ]
    assert np.mean(scores) < 0.25
    assert np.max(np.mean(scores, axis=0)) < 0.3


def test_no_fixed_place_reaches_a_network_either(phantom_acdc):
    """The masks of one patient, laid on another, overlap poorly: place alone is no answer."""
    masks = [np.asarray(label.dataobj) for item, _, label in volumes(phantom_acdc) if item["phase"] == "ED"]
    scores = []
    for one in masks:
        for other in masks:
            if one is other:
                continue
            shape = tuple(map(min, one.shape, other.shape))
            a, b = (_crop(mask, shape) for mask in (one, other))
            scores += [2 * np.sum((a == s) & (b == s)) / np.sum((a == s).astype(int) + (b == s)) for s in (1, 2, 3)]
    assert np.mean(scores) < 0.5


def _crop(mask, shape):
    return mask[tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(mask.shape, shape, strict=True))]


def test_one_patient_keeps_a_cine_whose_frames_are_the_files(phantom_acdc):
    folder = phantom_acdc / "training" / "patient001"
    assert [path.name for path in phantom_acdc.rglob("*_4d.nii.gz")] == ["patient001_4d.nii.gz"]
    cine = np.asarray(nib.load(folder / "patient001_4d.nii.gz").dataobj)
    assert cine.shape[3] == 10
    for frame in (1, 4):
        single = np.asarray(nib.load(folder / f"patient001_frame{frame:02d}.nii.gz").dataobj)
        assert np.array_equal(cine[..., frame - 1], single)
    # the difference from the first frame grows up to end-systole and falls after it
    change = [float(np.abs(cine[..., frame] - cine[..., 0]).mean()) for frame in range(10)]
    assert change[0] == 0.0
    assert change[1] < change[2] < change[3]
    assert change[3] > change[5] > change[7] > change[9]


def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(tmp_path, phantom_acdc):
    write(tmp_path / "same", patients=6, seed=0, size="small")
    assert contents(tmp_path / "same") == contents(phantom_acdc)
    write(tmp_path / "other", patients=6, seed=1, size="small")
    ours, theirs = contents(phantom_acdc), contents(tmp_path / "other")
    images = [name for name in ours if name.endswith(".nii.gz") and name in theirs]
    assert len(images) > 6
    assert all(ours[name] != theirs[name] for name in images)


def test_more_patients_leave_the_first_ones_as_they_are(tmp_path, phantom_acdc):
    write(tmp_path / "two", patients=2, size="small")
    fewer, more = contents(tmp_path / "two"), contents(phantom_acdc)
    assert all(more[name] == fewer[name] for name in fewer if name.startswith("training"))


def test_phantoms_are_replaced_only_when_told_to(tmp_path, phantom_acdc):
    out = tmp_path / "acdc"
    shutil.copytree(phantom_acdc, out)
    with pytest.raises(DataError, match="--overwrite"):
        write(out, patients=2, size="small")
    assert contents(out) == contents(phantom_acdc)
    write(out, patients=2, size="small", overwrite=True)
    assert sorted(path.name for path in (out / "training").iterdir()) == ["patient001", "patient002"]
    assert sorted(path.name for path in out.iterdir()) == ["datalist.json", "training"]


@pytest.mark.parametrize("with_list", [False, True])
def test_real_data_is_never_replaced(tmp_path, with_list):
    (tmp_path / "training" / "patient001").mkdir(parents=True)
    if with_list:
        (tmp_path / "datalist.json").write_text('{"name": "acdc", "training": []}')
    with pytest.raises(DataError, match="not phantoms"):
        write(tmp_path, patients=2, size="small", overwrite=True)
    assert (tmp_path / "training" / "patient001").is_dir()


def test_bad_arguments_are_named_together(tmp_path):
    with pytest.raises(DataError) as caught:
        write(tmp_path, patients=1, size="huge")
    assert [problem.file for problem in caught.value.problems] == ["patients", "size"]
    assert list(tmp_path.iterdir()) == []
