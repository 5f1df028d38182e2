"""Masks of pictures, of one slice of a stack, and maps with more than 255 numbers."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_files import acdc_like, dicom_series, itk_image, oblique_affine
from PIL import Image

from pipeline.errors import DataError
from pipeline.volumes import affine, read_image, read_mask, spacing, write_mask

SHAPE = (5, 4, 3)
VOXELS = np.random.default_rng(0).integers(0, 900, SHAPE).astype(np.int16)
SLICE = np.random.default_rng(1).integers(0, 4, (5, 4, 1)).astype(np.uint8)


def coded(path: Path, sform: int, qform: int) -> Path:
    """A volume whose sform and qform say the same, or whose place follows from pixdim alone."""
    image = nib.Nifti1Image(VOXELS, None)
    image.header.set_zooms((1.5, 1.25, 8.0))
    if qform:
        image.set_qform(oblique_affine(), code=qform)
    if sform:
        image.set_sform(oblique_affine(), code=sform)
    image.to_filename(path)
    return path


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (1, 1), (2, 4), (0, 0)])
@pytest.mark.parametrize("index", [0, 2])
def test_a_slice_of_a_nifti_lies_where_it_was(tmp_path: Path, sform: int, qform: int, index: int) -> None:
    image = coded(tmp_path / "stack.nii.gz", sform, qform)
    path = write_mask(SLICE, image, tmp_path / "mask.nii.gz", index=index)
    before, after = nib.load(image), nib.load(path)
    assert after.shape == (5, 4, 1)
    assert np.array_equal(read_mask(path), SLICE)
    shift = np.eye(4)
    shift[2, 3] = index
    assert np.allclose(after.affine, before.affine @ shift, atol=1e-4)
    if sform and qform:
        assert np.allclose(after.get_qform(), after.get_sform(), atol=1e-4)
    assert after.header["pixdim"].tolist() == before.header["pixdim"].tolist()
    assert int(after.header["qform_code"]) == qform
    assert spacing(path) == pytest.approx((1.5, 1.25, 8.0))


def test_a_slice_of_an_acdc_header(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "stack.nii.gz", VOXELS)
    path = write_mask(SLICE, image, tmp_path / "mask.nii.gz", index=2)
    assert spacing(path) == (1.5, 1.25, 10.0)
    header = nib.load(path).header
    assert header.get_sform(coded=True)[1] == 2
    assert header["srow_z"].tolist() == [0, 0, 1, 2]  # the header's own affine, 1 mm, goes on being its own


@pytest.mark.parametrize("kind", ["mha", "nrrd", "dicom"])
def test_a_slice_of_other_formats(tmp_path: Path, kind: str) -> None:
    matrix = oblique_affine() @ np.diag([1, -1, 1, 1])  # right-handed, as DICOM is
    image = tmp_path / f"stack.{kind}"
    if kind == "dicom":
        dicom_series(image, VOXELS, matrix)
    else:
        SimpleITK.WriteImage(itk_image(VOXELS, matrix), str(image))
    path = write_mask(SLICE, image, tmp_path / ("mask.nii.gz" if kind == "dicom" else f"mask.{kind}"), index=2)
    assert np.array_equal(read_mask(path), SLICE)
    shift = np.eye(4)
    shift[2, 3] = 2
    assert np.allclose(affine(path), matrix @ shift, atol=1e-3)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_slice_that_is_not_there(tmp_path: Path, index: int) -> None:
    image = acdc_like(tmp_path / "stack.nii.gz", VOXELS)
    with pytest.raises(DataError, match=f"a slice {index}, found shape 5 x 4 x 3"):
        write_mask(SLICE, image, tmp_path / "mask.nii.gz", index=index)
    with pytest.raises(DataError, match="found one of 5 x 4 x 3"):
        write_mask(np.zeros(SHAPE, np.uint8), image, tmp_path / "mask.nii.gz", index=0)


def test_mask_of_a_picture(tmp_path: Path) -> None:
    Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5) * 12).save(tmp_path / "a.jpg")
    path = write_mask(SLICE, tmp_path / "a.jpg", tmp_path / "out" / "a.png")
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == ("P", (5, 4))
        assert np.array_equal(np.asarray(picture), SLICE[..., 0].T)
        assert picture.convert("RGB").getpixel((0, 0)) != (0, 0, 0) or SLICE[0, 0, 0] == 0
    assert np.array_equal(read_mask(path), SLICE)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    with pytest.raises(DataError, match="one that exists"):
        write_mask(SLICE, tmp_path / "a.jpg", path)
    with pytest.raises(DataError, match="shape 5 x 4 x 1, found one of 4 x 5 x 1"):
        write_mask(SLICE.transpose(1, 0, 2), tmp_path / "a.jpg", path, overwrite=True)


def test_every_number_survives_a_png(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.png")
    numbers = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    assert np.array_equal(read_mask(write_mask(numbers, tmp_path / "a.png", tmp_path / "m.png")), numbers)


def test_more_than_255_numbers(tmp_path: Path) -> None:
    numbers = np.arange(60, dtype=np.int64).reshape(SHAPE) * 1000
    image = acdc_like(tmp_path / "a.nii.gz", VOXELS)
    path = write_mask(numbers, image, tmp_path / "map.nii.gz", dtype=np.uint16)
    assert nib.load(path).get_data_dtype() == np.uint16
    assert np.array_equal(read_image(path), numbers)
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        read_mask(path)
    with pytest.raises(ValueError, match="integers from 0 to 65535"):
        write_mask(numbers * 2, image, tmp_path / "other.nii.gz", dtype=np.uint16)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    path = write_mask(numbers[..., :1], tmp_path / "a.png", tmp_path / "map.png", dtype=np.uint16)
    assert np.array_equal(read_image(path), numbers[..., :1])


def test_formats_that_do_not_fit(tmp_path: Path) -> None:
    SimpleITK.WriteImage(itk_image(VOXELS, np.eye(4)), str(tmp_path / "a.mha"))
    for output in ("mask.png", "mask.jpg", "mask"):
        with pytest.raises(DataError, match=r"ending in \.png, \.nii\.gz, \.mha or \.nrrd"):
            write_mask(np.zeros(SHAPE, np.uint8), tmp_path / "a.mha", tmp_path / output)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    volume = write_mask(SLICE, tmp_path / "a.png", tmp_path / "mask.nii.gz")
    assert np.allclose(nib.load(volume).affine, np.diag([-1, -1, 1, 1]))


def test_mask_of_a_folder_of_slices_and_of_channels(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "stack").mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 5), number, np.uint8)).save(tmp_path / "stack" / f"{number}.png")
    labels = np.random.default_rng(1).integers(0, 4, SHAPE).astype(np.uint8)
    path = write_mask(labels, tmp_path / "stack", tmp_path / "mask.nii.gz")
    assert np.array_equal(read_mask(path), labels)
    images = [acdc_like(tmp_path / f"{name}.nii.gz", VOXELS) for name in "ab"]
    assert np.array_equal(read_mask(write_mask(labels, images, tmp_path / "channels.nii.gz")), labels)
