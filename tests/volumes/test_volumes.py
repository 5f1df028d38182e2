"""Masks on exactly the grid of their image: header fields byte by byte, every format, nothing half-written."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_files import acdc_like, dicom_series, itk_image, oblique_affine
from nibabel.openers import Opener

from pipeline.errors import DataError
from pipeline.volumes import affine, mask_name, read_mask, shape, slice_axis, spacing, write_mask

SHAPE = (5, 4, 3)


def label_map(size: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 4, size).astype(np.uint8)


def raw(path: Path) -> bytes:
    with Opener(str(path)) as stream:
        return stream.read()


def fields(header: bytes, *names: str) -> dict[str, bytes]:
    """Bytes of NIfTI-1 fields by the offsets of the standard (nifti1.h)."""
    offsets = {
        "dim": (40, 16),
        "datatype": (70, 2),
        "bitpix": (72, 2),
        "pixdim": (76, 32),
        "slope_inter": (112, 8),
        "xyzt_units": (123, 1),
        "cal": (124, 8),
        "descrip": (148, 80),
        "codes": (252, 4),
        "quaternion": (256, 24),
        "srow": (280, 48),
    }
    return {name: header[offsets[name][0] : sum(offsets[name])] for name in names}


GRID = ("pixdim", "xyzt_units", "codes", "quaternion", "srow")


def test_acdc_header_is_copied_byte_by_byte(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16))
    mask = write_mask(label_map(), image, tmp_path / "out" / "mask.nii.gz")
    before, after = raw(image), raw(mask)
    assert fields(after, *GRID, "dim") == fields(before, *GRID, "dim")
    assert struct.unpack("<8f", fields(after, "pixdim")["pixdim"])[1:4] == (1.5, 1.25, 10.0)
    assert struct.unpack("<2h", fields(after, "codes")["codes"]) == (0, 2)
    assert struct.unpack("<hh", after[70:74]) == (2, 8)  # uint8
    assert struct.unpack("<2f", fields(after, "slope_inter")["slope_inter"]) == (1, 0)
    assert after[352:] == label_map().tobytes(order="F")


@pytest.mark.real_data
def test_real_frame(acdc_root: Path, tmp_path: Path) -> None:
    image = acdc_root / "training" / "patient004" / "patient004_frame01.nii.gz"
    assert shape(image) == (232, 256, 10)
    assert spacing(image) == pytest.approx((1.3671875, 1.3671875, 10))
    assert np.prod(spacing(image)) == pytest.approx(18.69, abs=0.005)
    mask = write_mask(np.zeros(shape(image), np.uint8), image, tmp_path / "mask.nii.gz")
    differing = [i for i, pair in enumerate(zip(raw(image)[:352], raw(mask)[:352], strict=True)) if len(set(pair)) > 1]
    assert set(differing) <= set(range(70, 74))  # datatype and bitpix alone


@given(
    codes=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    pixdim=st.lists(st.floats(0.0078125, 128, width=32), min_size=3, max_size=3),
    qfac=st.sampled_from([-1.0, 0.0, 1.0]),
    rows=st.lists(st.floats(-300, 300, width=32), min_size=12, max_size=12),
    quaternion=st.lists(st.floats(-0.5, 0.5, width=32), min_size=3, max_size=3),
    units=st.sampled_from([0, 2, 3, 10]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_header_survives(
    tmp_path: Path,
    codes: tuple[int, int],
    pixdim: list[float],
    qfac: float,
    rows: list[float],
    quaternion: list[float],
    units: int,
) -> None:
    """The header is patched into the file's bytes, since libraries refuse to write some that scanners do write."""
    plain = nib.Nifti1Image(np.zeros(SHAPE, np.uint8), np.eye(4)).to_bytes()
    content = bytearray(plain)
    content[76:92] = struct.pack("<4f", qfac, *pixdim)
    content[123:124] = bytes([units])
    content[252:256] = struct.pack("<2h", *codes)
    content[256:268] = struct.pack("<3f", *quaternion)
    content[280:328] = struct.pack("<12f", *rows)
    image = tmp_path / "image.nii"
    image.write_bytes(bytes(content))
    mask = write_mask(label_map(), image, tmp_path / "mask.nii.gz", overwrite=True)
    assert fields(raw(mask), *GRID, "dim") == fields(bytes(content), *GRID, "dim")
    assert np.array_equal(read_mask(mask), label_map())


def test_display_window_scaling_and_description_are_not_copied(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones(SHAPE, np.int16), np.eye(4))
    image.header.set_slope_inter(2.5, -7)
    image.header["cal_max"], image.header["cal_min"] = 900, 10
    image.header["descrip"] = b"Doe^Jane"
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"Doe^Jane"))
    image.to_filename(tmp_path / "image.nii.gz")
    content = raw(write_mask(label_map(), tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz"))
    assert struct.unpack("<2f", fields(content, "slope_inter")["slope_inter"]) == (1, 0)
    assert fields(content, "cal") == {"cal": bytes(8)}
    assert b"Doe" not in content
    assert len(content) == 352 + 60


@pytest.mark.parametrize(("size", "mask_size", "stored"), [
    ((5, 4, 3, 6), (5, 4, 3), (5, 4, 3)),
    ((5, 4, 3, 6), (5, 4, 3, 6), (5, 4, 3, 6)),
    ((5, 4, 3, 1), (5, 4, 3), (5, 4, 3, 1)),
    ((5, 4), (5, 4, 1), (5, 4)),
    ((5, 4, 1), (5, 4, 1), (5, 4, 1)),
])  # fmt: skip
def test_other_numbers_of_axes(
    tmp_path: Path, size: tuple[int, ...], mask_size: tuple[int, ...], stored: tuple[int, ...]
) -> None:
    image = nib.Nifti1Image(np.zeros(size, np.float32), oblique_affine())
    image.header["pixdim"][4] = 0.04
    image.to_filename(tmp_path / "image.nii.gz")
    labels = label_map(mask_size)
    path = write_mask(labels, tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")
    mask = nib.load(path)
    assert mask.shape == stored
    assert np.array_equal(np.asarray(mask.dataobj).ravel(), labels.ravel())
    axes = min(3, len(stored))
    assert mask.header["pixdim"][1 : 1 + axes].tolist() == image.header["pixdim"][1 : 1 + axes].tolist()
    assert (mask.header["pixdim"][4] == np.float32(0.04)) == (len(stored) == 4)
    assert fields(raw(path), "codes", "srow") == fields(raw(tmp_path / "image.nii.gz"), "codes", "srow")


def test_nifti2_and_big_endian(tmp_path: Path) -> None:
    nib.Nifti2Image(np.zeros(SHAPE, np.int16), oblique_affine()).to_filename(tmp_path / "two.nii.gz")
    big = nib.Nifti1Image(np.zeros(SHAPE, ">i2"), oblique_affine(), nib.Nifti1Header(endianness=">"))
    big.to_filename(tmp_path / "big.nii.gz")
    for name, size in (("two", 540), ("big", 348)):
        mask = nib.load(write_mask(label_map(), tmp_path / f"{name}.nii.gz", tmp_path / f"{name}_mask.nii.gz"))
        assert mask.header.sizeof_hdr == size
        assert np.array_equal(mask.affine, nib.load(tmp_path / f"{name}.nii.gz").affine)
        assert np.array_equal(np.asarray(mask.dataobj), label_map())


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_itk_formats_keep_axes_and_geometry(tmp_path: Path, suffix: str) -> None:
    grid = itk_image(np.zeros(SHAPE, np.int16), oblique_affine())
    SimpleITK.WriteImage(grid, str(tmp_path / "image.mha"))
    path = write_mask(label_map(), tmp_path / "image.mha", tmp_path / f"mask{suffix}")
    mask = SimpleITK.ReadImage(str(path))
    assert mask.GetPixelID() == SimpleITK.sitkUInt8
    assert mask.GetSize() == grid.GetSize() == SHAPE
    assert np.allclose(mask.GetSpacing(), grid.GetSpacing())
    assert np.allclose(mask.GetOrigin(), grid.GetOrigin(), atol=1e-5)
    assert np.allclose(mask.GetDirection(), grid.GetDirection(), atol=1e-6)
    assert mask.GetPixel((4, 0, 2)) == label_map()[4, 0, 2]
    assert np.array_equal(read_mask(path), label_map())


def test_dicom_series_gives_nifti_with_its_geometry(tmp_path: Path) -> None:
    matrix = oblique_affine() @ np.diag([-1, 1, 1, 1])  # right-handed: DICOM's third axis follows from the others
    matrix = np.diag([-1, -1, 1, 1]) @ matrix
    folder = dicom_series(tmp_path / "series", np.zeros(SHAPE, np.int16), matrix)
    path = write_mask(label_map(), folder, tmp_path / mask_name("series", folder))
    assert path.name == "series.nii.gz"
    assert np.allclose(nib.load(path).affine, matrix, atol=1e-4)
    assert np.array_equal(np.asarray(nib.load(path).dataobj), label_map())
    assert spacing(folder) == pytest.approx((1.5, 1.25, 8.0))


def test_wrong_shape_leaves_nothing_behind(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16))
    with pytest.raises(DataError, match=r"5 x 4 x 3, found one of 4 x 5 x 3"):
        write_mask(label_map((4, 5, 3)), image, tmp_path / "out" / "mask.nii.gz")
    assert not (tmp_path / "out").exists()


def test_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16))
    path = write_mask(label_map(), image, tmp_path / "mask.nii.gz")
    with pytest.raises(DataError, match="one that exists"):
        write_mask(np.zeros(SHAPE, np.uint8), image, path)
    assert np.array_equal(read_mask(path), label_map())
    write_mask(np.zeros(SHAPE, np.uint8), image, path, overwrite=True)
    assert not read_mask(path).any()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["image.nii.gz", "mask.nii.gz"]


@pytest.mark.parametrize("bad", [0.5, -1, 256, np.nan])
def test_values_that_are_no_labels(tmp_path: Path, bad: float) -> None:
    image = acdc_like(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16))
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        write_mask(np.full(SHAPE, bad), image, tmp_path / "mask.nii.gz")
    path = write_mask(np.full(SHAPE, 255.0), image, tmp_path / "mask.nii.gz")
    assert (read_mask(path) == 255).all()


def test_a_nifti_mask_needs_a_nifti_name(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16))
    with pytest.raises(DataError, match=r"mask\.mha"):
        write_mask(label_map(), image, tmp_path / "mask.mha")


@pytest.mark.parametrize(("name", "expected"), [
    ("a.nii", "case.nii.gz"),
    ("a.NII.GZ", "case.nii.gz"),
    ("a.mha", "case.mha"),
    ("a.mhd", "case.mha"),
    ("a.nrrd", "case.nrrd"),
    ("folder", "case.nii.gz"),
])  # fmt: skip
def test_mask_name(name: str, expected: str) -> None:
    assert mask_name("case", name) == expected


def test_spacing_and_volume_by_hand(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16), spacing=(2.0, 0.5, 4.0))
    assert spacing(image) == (2.0, 0.5, 4.0)
    assert np.prod(spacing(image)) == pytest.approx(4)
    assert np.linalg.norm(affine(image)[:3, :3], axis=0) == pytest.approx((2.0, 0.5, 4.0))
    assert affine(image)[0, 0] == -2.0


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_impossible_spacing(tmp_path: Path, bad: float) -> None:
    image = acdc_like(tmp_path / "image.nii", np.zeros(SHAPE, np.int16))
    content = bytearray(image.read_bytes())
    content[80:84] = struct.pack("<f", bad)
    image.write_bytes(bytes(content))
    with pytest.raises(DataError, match="spacings above 0 mm"):
        spacing(image)


def test_oblique_affine_is_the_header_s(tmp_path: Path) -> None:
    nib.Nifti1Image(np.zeros(SHAPE, np.int16), oblique_affine()).to_filename(tmp_path / "image.nii.gz")
    SimpleITK.WriteImage(itk_image(np.zeros(SHAPE, np.int16), oblique_affine()), str(tmp_path / "image.mha"))
    for name in ("image.nii.gz", "image.mha"):
        assert np.allclose(affine(tmp_path / name), oblique_affine(), atol=1e-5)


@pytest.mark.parametrize(("distances", "expected"), [
    ((1.5, 1.5, 10), 2),
    ((10, 1.5, 1.5), 0),
    ((1.5, 8, 1.5), 1),
    ((1, 1, 1), 2),
    ((1.4, 1, 1), 2),
    ((0.98, 0.98, 0.6), 2),
    ((0.6, 0.98, 0.98), 2),
    ((0.6, 8, 1), 1),
])  # fmt: skip
def test_slice_axis(distances: tuple[float, ...], expected: int) -> None:
    assert slice_axis(distances) == slice_axis(distances, (9, 9, 2)) == expected
    assert slice_axis(distances, (9, 9, 1)) == 2


def test_missing_and_unreadable_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing of that name"):
        spacing(tmp_path / "absent.nii.gz")
    with pytest.raises(DataError, match="nothing of that name"):
        spacing(tmp_path / "absent.mha")
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"no image"))
    (tmp_path / "text.mha").write_bytes(b"no image")
    for name in ("text.nii.gz", "text.mha"):
        with pytest.raises(DataError, match="readable image"):
            write_mask(label_map(), tmp_path / name, tmp_path / "mask.nii.gz")
