"""Images that no network should see, each written by one function into a folder, and what is said of each."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import SimpleITK
from image_files import acdc_like, dicom_series, itk_image, oblique_affine
from PIL import Image

RNG = np.random.default_rng(0)
VOXELS = RNG.integers(0, 900, (20, 18, 3)).astype(np.int16)
HUGE = 30000


class Broken(NamedTuple):
    """One way to be broken: the file, what it is in words, what is said of it, and what writes it."""

    file: str
    what: str
    message: str
    write: Callable[[Path], None]


def good(path: Path, seed: int = 0) -> None:
    """An image that can be segmented, in the format of its suffix; a folder without suffix is a DICOM series."""
    voxels = np.random.default_rng(seed).integers(0, 900, VOXELS.shape).astype(np.int16)
    if not path.suffix:
        dicom_series(path, voxels, np.diag([-1.5, -1.5, 8, 1]), uid=f"1.2.3.{seed}")
    elif path.suffix in (".mha", ".nrrd"):
        SimpleITK.WriteImage(itk_image(voxels, oblique_affine()), str(path))
    else:
        acdc_like(path, voxels)


def _nifti(change: Callable[[bytearray], bytes | bytearray], *, packed: bool = True) -> Callable[[Path], None]:
    """A good NIfTI file whose unpacked bytes are changed."""

    def write(path: Path) -> None:
        whole = path.with_name("whole.nii")
        content = bytes(change(bytearray(acdc_like(whole, VOXELS).read_bytes())))
        whole.unlink()
        path.write_bytes(gzip.compress(content) if packed else content)

    return write


def _packed(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A good .nii.gz whose packed bytes are changed."""

    def write(path: Path) -> None:
        path.write_bytes(change(acdc_like(path, VOXELS).read_bytes()))

    return write


def _voxels(voxels: np.ndarray) -> Callable[[Path], None]:
    return lambda path: nib.Nifti1Image(voxels, np.eye(4)).to_filename(path)


def _itk(change: Callable[[bytes], bytes], *, packed: bool = False) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        SimpleITK.WriteImage(itk_image(VOXELS, oblique_affine()), str(path), packed)
        path.write_bytes(change(path.read_bytes()))

    return write


def _field(offset: int, form: str, *values: float) -> Callable[[bytearray], bytearray]:
    def change(content: bytearray) -> bytearray:
        struct.pack_into(form, content, offset, *values)
        return content

    return change


def _picture(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _picture_cut(path: Path) -> None:
    Image.fromarray(RNG.integers(0, 255, (60, 60)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])


def _pages(path: Path) -> None:
    pages = [Image.fromarray(RNG.integers(0, 255, (20, 20)).astype(np.uint8)) for _ in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


def _zip(path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "not an image")
    path.write_bytes(stream.getvalue())


def _header_file(voxels: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        lines = ["ObjectType = Image", "NDims = 3", "DimSize = 10 10 10", "ElementType = MET_SHORT"]
        lines += ["ElementSpacing = 1 1 1", "ElementByteOrderMSB = False", f"ElementDataFile = {voxels}"]
        path.write_text("\n".join(lines) + "\n")
        if voxels == "pipe.raw":
            os.mkfifo(path.with_name(voxels))

    return write


def _gap(path: Path) -> None:
    voxels = RNG.integers(0, 900, (20, 18, 6)).astype(np.int16)
    sorted(dicom_series(path, voxels, np.diag([-1.5, -1.5, 8, 1])).iterdir())[2].unlink()


def _two_series(path: Path) -> None:
    for uid in ("1.2.3.1", "1.2.3.2"):
        dicom_series(path, VOXELS, np.diag([-1.5, -1.5, 8, 1]), uid=uid)


def _nan() -> np.ndarray:
    voxels = VOXELS.astype(np.float32)
    voxels[3, 4, 1] = np.nan
    return voxels


DIM, PIXDIM = 40, 76  # offsets in the NIfTI-1 header
COLOUR = np.zeros(VOXELS.shape, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))

TOO_LARGE = "30000 x 30000 x 30000 voxels, which need at least 189.0 TB ("

BROKEN = [
    Broken("truncated.nii.gz", "a .nii.gz cut in half", "found a truncated one", _packed(lambda b: b[: len(b) // 2])),
    Broken("checksum.nii.gz", "a .nii.gz with a wrong checksum", "CRC", _packed(lambda b: b[:-8] + bytes(4) + b[-4:])),
    Broken("page.nii.gz", "a web page saved as .nii.gz", "found a web page or XML", _packed(lambda b: b"<html>404")),
    Broken("nothing.nii.gz", "an empty file", "found an empty file", _packed(lambda b: b"")),
    Broken("archive.nii.gz", "a zip archive renamed to .nii.gz", "found a zip archive", _zip),
    Broken("text.nii.gz", "text packed as .nii.gz",
           "damaged, or of another kind", _packed(lambda b: gzip.compress(b"no image" * 99))),
    Broken("huge.nii.gz", "a .nii.gz whose header claims 30000 x 30000 x 30000 voxels",
           TOO_LARGE, _nifti(_field(DIM + 2, "<3h", HUGE, HUGE, HUGE))),
    Broken("short.nii", "a .nii that ends before its last voxel",
           "a file that holds 20 x 18 x 3 voxels (2,160 bytes), found one of 2,510 bytes, truncated",
           _nifti(lambda b: b[:-2], packed=False)),
    Broken("five.nii.gz", "a NIfTI file with five axes",
           "found shape 6 x 6 x 3 x 2 x 2", _voxels(np.zeros((6, 6, 3, 2, 2), np.int16))),
    Broken("negative.nii.gz", "a NIfTI header with a negative length",
           "found shape 20 x 18 x -3", _nifti(_field(DIM + 6, "<h", -3))),
    Broken("spacing.nii.gz", "a NIfTI header with a spacing of 0 mm",
           "found 0 x 1.25 x 10", _nifti(_field(PIXDIM + 4, "<f", 0.0))),
    Broken("nan_spacing.nii.gz", "a spacing that is no number",
           "found nan x 1.25 x 10", _nifti(_field(PIXDIM + 4, "<f", np.nan))),
    Broken("nan.nii.gz", "one voxel that is NaN", "found 1 voxels that are NaN or infinite", _voxels(_nan())),
    Broken("flat.nii.gz", "one value everywhere",
           "found the value 7 everywhere", _voxels(np.full((9, 9, 3), 7, np.int16))),
    Broken("colour.nii.gz", "a NIfTI file in colour", "found colour voxels", _voxels(COLOUR)),
    Broken("complex.nii.gz", "complex voxels", "found complex64 voxels", _voxels(VOXELS.astype(np.complex64))),
    Broken("thin.nii.gz", "a volume of one column", "found shape 1 x 18 x 3", _voxels(VOXELS[:1])),
    Broken("mha_cut.mha", "a truncated .mha", "bytes, truncated", _itk(lambda b: b[: len(b) // 2])),
    Broken("mha_packed.mha", "a truncated packed .mha",
           "damaged or incomplete", _itk(lambda b: b[: len(b) * 3 // 4], packed=True)),
    Broken("mha_huge.mha", "a .mha whose header claims 30000 x 30000 x 30000 voxels",
           TOO_LARGE, _itk(lambda b: b.replace(b"DimSize = 20 18 3", b"DimSize = 30000 30000 30000"))),
    Broken("nrrd_cut.nrrd", "a truncated .nrrd", "found one of 2,106 bytes, truncated", _itk(lambda b: b[:-500])),
    Broken("lost.mhd", "a .mhd without its .raw", "damaged or incomplete", _header_file("lost.raw")),
    Broken("hangs.mhd", "a .mhd whose .raw never answers (a drive that hangs)",
           "reading it took longer than 5 s", _header_file("pipe.raw")),
    Broken("gone.nii.gz", "a link to a file that is gone",
           "found nothing of that name", lambda path: path.symlink_to("nowhere.nii.gz")),
    Broken("pipe.nii.gz", "a named pipe", "found a pipe or a device", lambda path: os.mkfifo(path)),
    Broken("png_cut.png", "a truncated PNG",
           "a truncated or damaged one", _picture_cut),
    Broken("pixels.png", "a PNG that claims 100000 x 100000 pixels",
           "found one that claims 10,000 million",
           lambda path: path.write_bytes(_picture(100_000, 100_000, zlib.compress(bytes(99))))),
    Broken("pages.tif", "a TIFF with several pages", "found 3 pages", _pages),
    Broken("gap", "a DICOM series with a slice missing", "slice distances from 8.00 to 16.00 mm", _gap),
    Broken("mixed", "a folder with two DICOM series", "expected one DICOM series, found 2", _two_series),
]  # fmt: skip
