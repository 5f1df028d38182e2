"""Grids of mask files: spacing from pixdim, damaged files, masks on another grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from pipeline.errors import DataError
from pipeline.metrics.masks import grid_fault, lost_pixdim, read_mask
from pipeline.volumes.grid import corner_displacement

SHAPE = (5, 4, 3)
OBLIQUE = np.array([[1.2, -0.5, 0, 10], [0.5, 1.2, 0, -20], [0, 0, 8, 3], [0, 0, 0, 1.0]])


def array() -> np.ndarray:
    return (np.arange(60).reshape(SHAPE) % 4).astype(np.uint8)


def save(path: Path, affine: np.ndarray, *, voxels: np.ndarray | None = None) -> Path:
    image = nib.Nifti1Image(array() if voxels is None else voxels, affine)
    nib.save(image, path)
    return path


def acdc_like(path: Path) -> Path:
    header = nib.Nifti1Header()
    header.set_data_shape(SHAPE)
    header.set_data_dtype(np.uint8)
    header.set_sform(np.diag([-1.0, -1, 1, 1]), code=2)
    header["pixdim"][1:4] = (1.5, 1.5, 10)
    nib.save(nib.Nifti1Image(array(), None, header), path)
    return path


def test_pixdim_wins_over_the_affine(tmp_path: Path) -> None:
    mask = read_mask(acdc_like(tmp_path / "a.nii.gz"))
    assert mask.spacing == pytest.approx((1.5, 1.5, 10))
    np.testing.assert_allclose(mask.affine, np.diag([-1.5, -1.5, 10, 1]))
    np.testing.assert_array_equal(mask.array, array())


@pytest.mark.real_data
def test_voxel_of_patient004(acdc_root: Path) -> None:
    mask = read_mask(acdc_root / "training/patient004/patient004_frame01_gt.nii.gz")
    assert np.prod(mask.spacing) == pytest.approx(18.69, abs=0.01)


def test_formats_agree(tmp_path: Path) -> None:
    nifti = save(tmp_path / "a.nii.gz", OBLIQUE)
    image = SimpleITK.ReadImage(str(nifti))
    first = read_mask(nifti)
    for name in ("a.mha", "a.nrrd"):
        SimpleITK.WriteImage(image, str(tmp_path / name))
        other = read_mask(tmp_path / name)
        np.testing.assert_array_equal(other.array, first.array)
        np.testing.assert_allclose(other.affine, first.affine, atol=1e-4)
        assert other.spacing == pytest.approx(first.spacing)
        assert grid_fault(other, first) is None


def test_one_slice_without_a_third_axis(tmp_path: Path) -> None:
    mask = read_mask(save(tmp_path / "flat.nii.gz", np.eye(4), voxels=array()[..., 0]))
    assert mask.array.shape == (5, 4, 1)
    assert len(mask.spacing) == 3


def test_a_cine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="5 x 4 x 3 x 2"):
        read_mask(save(tmp_path / "cine.nii.gz", np.eye(4), voxels=np.zeros((*SHAPE, 2), np.uint8)))
    assert read_mask(save(tmp_path / "one.nii.gz", np.eye(4), voxels=array()[..., None])).array.shape == SHAPE


def damaged(path: Path, how: str) -> Path:
    data = bytearray(
        save(path, np.eye(4), voxels=np.random.default_rng(0).integers(0, 4, (30, 30, 9), np.uint8)).read_bytes()
    )
    if how == "truncated":
        data = data[: len(data) // 2]
    elif how == "checksum":
        data[-6] ^= 1
    elif how == "html":
        data = b"<html>404</html>"
    elif how == "empty":
        data = b""
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", ["truncated", "checksum", "html", "empty"])
def test_damaged_files_are_named(tmp_path: Path, how: str) -> None:
    path = damaged(tmp_path / "bad.nii.gz", how)
    with pytest.raises(DataError, match=r"bad\.nii\.gz"):
        read_mask(path)


def test_absent_file(tmp_path: Path) -> None:
    for name in ("no.nii.gz", "no.mha"):
        with pytest.raises(DataError, match="nothing of that name"):
            read_mask(tmp_path / name)


def test_displacement_of_corners_by_hand() -> None:
    shifted = np.eye(4)
    shifted[0, 3] = 0.3
    assert corner_displacement(shifted, np.eye(4), SHAPE) == pytest.approx(0.3)
    # 1 mm against 1.5 and 10 mm: corner (4, 3, 2) moves by (2, 1.5, 18)
    assert corner_displacement(np.diag([1.5, 1.5, 10, 1]), np.eye(4), SHAPE) == pytest.approx(np.hypot(2.5, 18))


def test_another_grid_is_a_fault(tmp_path: Path) -> None:
    truth = read_mask(save(tmp_path / "truth.nii.gz", OBLIQUE))
    near, far, turned = OBLIQUE.copy(), OBLIQUE.copy(), OBLIQUE.copy()
    near[0, 3] += 0.09
    far[2, 3] += 2.5
    turned[:, 0] *= -1
    assert grid_fault(read_mask(save(tmp_path / "near.nii.gz", near)), truth) is None
    assert "2.5 mm" in str(grid_fault(read_mask(save(tmp_path / "far.nii.gz", far)), truth))
    assert grid_fault(read_mask(save(tmp_path / "turned.nii.gz", turned)), truth) is not None
    cut = read_mask(save(tmp_path / "cut.nii.gz", OBLIQUE, voxels=array()[:4]))
    assert "shape 4 x 4 x 3" in str(grid_fault(cut, truth))


def test_lost_pixdim_is_told_from_another_grid(tmp_path: Path) -> None:
    truth = read_mask(acdc_like(tmp_path / "truth.nii.gz"))
    copied = read_mask(save(tmp_path / "copied.nii.gz", np.diag([-1.0, -1, 1, 1])))
    assert lost_pixdim(copied, truth)
    assert grid_fault(copied, truth) is None
    right = read_mask(save(tmp_path / "right.nii.gz", np.diag([-1.5, -1.5, 10, 1])))
    assert not lost_pixdim(right, truth)
    assert grid_fault(right, truth) is None
    other = read_mask(save(tmp_path / "other.nii.gz", np.diag([2.0, 2, 2, 1])))
    assert not lost_pixdim(other, truth)
    assert grid_fault(other, truth) is not None
