"""What a header claims against the memory that there is: refused before a voxel is read."""

from __future__ import annotations

import gzip
import struct
import time
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_files import acdc_like, itk_image, oblique_affine
from PIL import Image

from pipeline.errors import DataError
from pipeline.segmentation import memory
from pipeline.segmentation.inspection import inspect
from pipeline.segmentation.memory import check_memory, estimate, free_memory
from pipeline.volumes.sizes import Size

VOXELS = np.random.default_rng(0).integers(0, 900, (10, 10, 10)).astype(np.int16)
HUGE = 30000  # along each axis: 27 x 10^12 voxels of 2 + 5 bytes, 189 TB


def nifti(path: Path) -> None:
    header = nib.load(acdc_like(path, VOXELS)).header.copy()
    header["dim"][1:4] = HUGE
    header["vox_offset"] = 352
    content = header.binaryblock + gzip.decompress(path.read_bytes())[348:]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def mha(path: Path) -> None:
    SimpleITK.WriteImage(itk_image(VOXELS, oblique_affine()), str(path))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 10 10 10", f"DimSize = {HUGE} {HUGE} {HUGE}".encode()))


def nrrd(path: Path) -> None:
    SimpleITK.WriteImage(itk_image(VOXELS, oblique_affine()), str(path))
    path.write_bytes(path.read_bytes().replace(b"sizes: 10 10 10", f"sizes: {HUGE} {HUGE} {HUGE}".encode()))


@pytest.mark.parametrize(("name", "write"), [("a.nii.gz", nifti), ("a.mha", mha), ("a.nrrd", nrrd)])
def test_a_header_that_claims_more_than_there_is(tmp_path: Path, name: str, write: object) -> None:
    write(tmp_path / name)
    start = time.perf_counter()
    with pytest.raises(DataError) as caught:
        inspect(tmp_path / name)
    assert time.perf_counter() - start < 5
    message = str(caught.value)
    assert "expected an image that fits into memory, found 30000 x 30000 x 30000 voxels" in message
    assert "which need at least 189.0 TB (" in message
    assert "free)" in message
    assert "\n" not in message


def test_the_same_header_with_memory_to_spare_is_a_truncated_file(tmp_path: Path) -> None:
    nifti(tmp_path / "a.nii.gz")
    with pytest.raises(DataError, match="truncated"):
        inspect(tmp_path / "a.nii.gz", max_memory=200_000)


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def test_a_picture_bomb(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of(100_000, 100_000))
    with pytest.raises(DataError, match="at most 179 million pixels, found one that claims 10,000 million"):
        inspect(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(png_of(5000, 5000))  # 25 million x (3 + 5) bytes
    with pytest.raises(DataError, match=r"at least 200.0 MB \(100.0 MB allowed\)"):
        inspect(tmp_path / "b.png", max_memory=0.1)


def test_the_estimate_by_hand(tmp_path: Path) -> None:
    assert estimate(Size((10, 10, 10), 2)) == 7000
    assert estimate(Size((10, 10), 4)) == 900
    image = acdc_like(tmp_path / "a.nii.gz", VOXELS)
    check_memory([image], most=7e-6)
    with pytest.raises(DataError, match=r"at least 0.01 MB \(0.01 MB allowed\)"):
        check_memory([image], most=6.9e-6)
    with pytest.raises(DataError, match=r"at least 0.01 MB"):
        check_memory([image, image], most=13.9e-6)  # channels add up


def test_free_memory_is_the_least_of_all_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = free_memory()
    assert before is None or before > 10**7
    (tmp_path / "max").write_text("5000000\n")
    (tmp_path / "current").write_text("4000000\n")
    (tmp_path / "memory.stat").write_text("anon 7\ninactive_file 500000\n")
    monkeypatch.setattr(memory, "CGROUPS", [(str(tmp_path / "max"), str(tmp_path / "current"))])
    assert free_memory() == 1_500_000
    (tmp_path / "max").write_text("max\n")
    unlimited = free_memory()
    assert unlimited is None or unlimited > 10**7


def test_a_tiff_that_is_large_but_real(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 200)).astype(np.uint8)).save(tmp_path / "a.tif")
    assert inspect(tmp_path / "a.tif").shape == (200, 300, 1)
