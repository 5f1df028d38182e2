"""Sizes that headers claim, against the arrays that were written; files shorter than their headers say."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_files import dicom_series, itk_image, oblique_affine
from PIL import Image

from pipeline.errors import DataError
from pipeline.volumes.sizes import Size, check_length, claimed_size

VOXELS = np.random.default_rng(0).integers(0, 900, (8, 7, 6)).astype(np.int16)


def written(folder: Path, kind: str, voxels: np.ndarray = VOXELS) -> Path:
    path = folder / f"image.{kind.removeprefix('plain.')}"
    if kind == "dicom":
        return dicom_series(folder / "series", voxels, np.diag([-1.0, -1, 1, 1]))
    if kind == "png":
        Image.fromarray(voxels[:, :, 0].astype(np.uint8).T).save(path)
    elif kind == "pngs":
        path.mkdir()
        for index in range(voxels.shape[2]):
            Image.fromarray(voxels[:, :, index].astype(np.uint8).T).save(path / f"slice_{index}.png")
    elif kind.startswith("nii"):
        nib.Nifti1Image(voxels, np.eye(4)).to_filename(path)
    else:
        SimpleITK.WriteImage(itk_image(voxels, oblique_affine()), str(path), not kind.startswith("plain."))
    return path


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *((kind, Size((8, 7, 6), 2)) for kind in ("nii", "nii.gz", "mha", "plain.mha", "mhd", "nrrd", "dicom")),
        ("png", Size((8, 7, 1), 3)),
        ("pngs", Size((8, 7, 6), 3)),
    ],
)
def test_the_claimed_size(tmp_path: Path, kind: str, size: Size) -> None:
    path = written(tmp_path, kind)
    assert claimed_size(path) == size
    check_length(path, size)


@pytest.mark.parametrize(("dtype", "width"), [(np.uint8, 1), (np.float32, 4), (np.float64, 8), (np.complex64, 8)])
def test_the_width_of_a_voxel(tmp_path: Path, dtype: type, width: int) -> None:
    nib.Nifti1Image(VOXELS.astype(dtype), np.eye(4)).to_filename(tmp_path / "a.nii.gz")
    assert claimed_size(tmp_path / "a.nii.gz").voxel_bytes == width
    image = SimpleITK.GetImageFromArray(VOXELS.astype(dtype))
    SimpleITK.WriteImage(image, str(tmp_path / "a.nrrd" if dtype != np.complex64 else tmp_path / "a.mha"))
    if dtype != np.complex64:  # NRRD has none
        assert claimed_size(tmp_path / "a.nrrd").voxel_bytes == width


def test_colour_has_three_values_per_voxel(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"))
    assert claimed_size(tmp_path / "a.mha") == Size((6, 5, 4), 3)


@pytest.mark.parametrize("kind", ["nii", "plain.mha", "plain.nrrd"])
def test_a_file_that_ends_one_voxel_early(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind)
    whole = path.read_bytes()
    check_length(path, claimed_size(path))
    header = len(whole) - 2 * VOXELS.size
    path.write_bytes(whole[: -(header + 2 if kind != "nii" else 2)])  # of ITK's formats the whole file's length counts
    with pytest.raises(DataError, match=r"holds 8 x 7 x 6 voxels \(672 bytes\), found one of [0-9,]+ bytes, truncated"):
        check_length(path, claimed_size(path))


@pytest.mark.parametrize("kind", ["nii.gz", "mha", "nrrd"])
def test_no_packing_reaches_a_thousand_to_one(tmp_path: Path, kind: str) -> None:
    """Zeros pack best of all: such a file passes, one that claims a hundred times as much does not."""
    path = written(tmp_path, kind, np.zeros((100, 100, 60), np.int16))
    check_length(path, claimed_size(path))
    with pytest.raises(DataError, match="truncated"):
        check_length(path, Size((100, 100, 6000), 2))


def test_lengths_of_zero_and_below_hold_nothing() -> None:
    assert [Size(shape, 2).voxels for shape in ((3, 0, 2), (3, -4, -2), (3, 4, 2))] == [0, 0, 24]
