"""NIfTI voxels read in one pass are nibabel's own, without its copy in double precision."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import LoadImage

from pipeline.errors import DataError
from pipeline.volumes import affine, nifti, read_image, spacing
from pipeline.volumes.readers import VolumeReader

VOXELS = np.random.default_rng(0).integers(-1000, 900, (7, 6, 5))


def save(path: Path, voxels: np.ndarray, slope: float = 1, inter: float = 0, endian: str = "<") -> Path:
    image = nib.Nifti1Image(
        voxels.astype(voxels.dtype.newbyteorder(endian)), np.eye(4), nib.Nifti1Header(endianness=endian)
    )
    image.header.set_data_dtype(voxels.dtype)
    image.header.set_slope_inter(slope, inter)
    image.to_filename(path)
    return path


@pytest.fixture(params=[2**21, 64])
def _part(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "PART", request.param)


@pytest.mark.usefixtures("_part")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_stored_types_are_kept(tmp_path: Path, name: str, endian: str, dtype: type) -> None:
    voxels = np.abs(VOXELS).astype(dtype) if np.dtype(dtype).kind == "u" else VOXELS.astype(dtype)
    path = save(tmp_path / name, voxels, endian=endian)
    for order in ("F", "C"):
        found = nifti.read_nifti(path, last_axis_fastest=order == "C")
        assert found.dtype == dtype
        assert found.dtype.isnative
        assert found.flags[f"{order}_CONTIGUOUS"]
        assert np.array_equal(found, voxels)


@pytest.mark.parametrize(("slope", "inter"), [(0.5, -3.25), (1, -1024), (0.0123, 7)])
def test_scaled_values_are_nibabel_s_rounded_to_float32(tmp_path: Path, slope: float, inter: float) -> None:
    path = save(tmp_path / "a.nii.gz", VOXELS.astype(np.int16), slope, inter)
    found = read_image(path)
    assert found.dtype == np.float32
    assert np.array_equal(found, nib.load(path).get_fdata().astype(np.float32))
    loaded = LoadImage(reader=VolumeReader)(path)
    assert np.array_equal(loaded.numpy(), found)


def test_doubles_become_float32_and_more_axes_are_kept(tmp_path: Path) -> None:
    found = read_image(save(tmp_path / "a.nii.gz", VOXELS / 3))
    assert found.dtype == np.float32
    assert np.array_equal(found, (VOXELS / 3).astype(np.float32))
    four = np.stack([VOXELS, VOXELS + 1], axis=-1).astype(np.int16)
    assert np.array_equal(read_image(save(tmp_path / "b.nii", four)), four)
    two = nib.Nifti2Image(VOXELS.astype(np.int16), np.eye(4))
    two.to_filename(tmp_path / "two.nii.gz")
    assert np.array_equal(read_image(tmp_path / "two.nii.gz"), VOXELS)


def test_one_slice_without_a_third_axis(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS[..., 0].astype(np.int16), None)
    image.header.set_zooms((2.0, 3.0))
    image.header["sform_code"] = 1
    image.header["srow_x"][0], image.header["srow_y"][1] = -2, 3  # and nothing for the third axis
    image.to_filename(tmp_path / "a.nii.gz")
    loaded = LoadImage(reader=VolumeReader, ensure_channel_first=True)(tmp_path / "a.nii.gz")
    assert tuple(loaded.shape) == (1, 7, 6, 1)
    assert list(loaded.meta["spatial_shape"]) == [7, 6, 1]
    assert np.array_equal(loaded.numpy()[0, ..., 0], VOXELS[..., 0])
    assert spacing(tmp_path / "a.nii.gz") == (2, 3, 1)
    for matrix in (loaded.affine.numpy(), affine(tmp_path / "a.nii.gz")):
        assert np.allclose(np.abs(np.linalg.det(matrix[:3, :3])), 6)
    pair = LoadImage(reader=VolumeReader, ensure_channel_first=True)([tmp_path / "a.nii.gz"] * 2)
    assert tuple(pair.shape) == (2, 7, 6, 1)


def test_memory_of_a_scaled_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four bytes for each voxel and one part in double precision, where nibabel takes twelve bytes for each."""
    monkeypatch.setattr(nifti, "PART", 2**18)
    voxels = np.zeros((128, 128, 240), np.int16)
    path = save(tmp_path / "a.nii.gz", voxels, 0.5, 1)
    tracemalloc.start()
    read_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * voxels.size + 22 * nifti.PART + 2**21


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.tile(VOXELS, (2, 2, 2)).astype(np.int16))
    content = path.read_bytes()
    spoiled = bytearray(content)
    spoiled[-8:-4] = bytes(4)
    short = gzip.compress(gzip.decompress(content)[:500])
    cases = [(content[:-20], "truncated"), (short, "truncated"), (bytes(spoiled), "CRC"), (b"text", "one that is not")]
    for damaged, found in cases:
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=found) as caught:
            read_image(path)
        assert "\n" not in str(caught.value)
    plain = save(tmp_path / "a.nii", VOXELS.astype(np.int16))
    plain.write_bytes(plain.read_bytes()[:-9])
    with pytest.raises(DataError, match="truncated"):
        read_image(plain)
    with pytest.raises(DataError, match="nothing of that name"):
        read_image(tmp_path / "absent.nii.gz")


@pytest.mark.parametrize(("kind", "offset", "form"), [(nib.Nifti1Image, 108, "<f"), (nib.Nifti2Image, 168, "<q")])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_that_begin_within_the_header_are_refused(tmp_path: Path, kind: type, offset: int, form: str, name: str):
    kind(VOXELS.astype(np.int16), np.eye(4)).to_filename(tmp_path / "good.nii")
    content = bytearray((tmp_path / "good.nii").read_bytes())
    least = int(struct.unpack_from(form, content, offset)[0])
    assert least == {nib.Nifti1Image: 352, nib.Nifti2Image: 544}[kind]
    struct.pack_into(form, content, offset, 0)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    for read in (nifti.load_nifti, nifti.read_nifti, LoadImage(reader=VolumeReader)):
        with pytest.raises(DataError, match=f"at byte {least} or later, found vox_offset 0"):
            read(path)
