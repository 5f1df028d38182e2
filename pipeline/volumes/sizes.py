"""How large an image says that it is, from headers alone, and whether its file can hold as much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.volumes.dicom import series_headers
from pipeline.volumes.grid import has_geometry
from pipeline.volumes.itk import itk_header
from pipeline.volumes.names import is_nifti, is_picture
from pipeline.volumes.nifti import load_nifti
from pipeline.volumes.pictures import header_shape, slice_files

DEFLATE = 1032  # deflate packs this many bytes into one at best
PICTURE_BYTES = 3  # red, green and blue


@dataclass(frozen=True)
class Size:
    """What the voxels of an image take.

    Args:
        shape: in nibabel's axis order; of a DICOM series (columns, rows, slices).
        voxel_bytes: of one voxel as it is stored; 3 for a picture.
    """

    shape: tuple[int, ...]
    voxel_bytes: int

    @property
    def voxels(self) -> int:
        """Number of voxels; 0 where a length is 0 or negative."""
        return math.prod(self.shape) if min(self.shape, default=0) > 0 else 0

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape))


def claimed_size(path: str | Path) -> Size:
    """The size that the headers of an image claim; no voxel is read.

    Args:
        path: NIfTI, MetaImage, NRRD, a picture, the folder of a DICOM series or of pictures.

    Raises:
        DataError: a header that cannot be read.
    """
    if is_nifti(path):
        stored = load_nifti(path).dataobj
        return Size(tuple(int(n) for n in stored.shape), np.dtype(stored.dtype).itemsize)
    if not has_geometry(path):
        files = slice_files(path)
        return Size((*header_shape(files[0])[:2], len(files)), PICTURE_BYTES)
    if Path(path).is_dir():
        headers = series_headers(path)
        slices = [math.prod(header.GetSize()) for header in headers]
        plane = max(math.prod(header.GetSize()[:2]) for header in headers)
        size = max((header.GetSize()[:2] for header in headers), key=math.prod)
        return Size((*size, -(-sum(slices) // plane) if plane else 0), max(map(_voxel_bytes, headers)))
    header = itk_header(path)
    return Size(tuple(int(n) for n in header.GetSize()), _voxel_bytes(header))


def check_length(path: str | Path, size: Size) -> None:
    """Refuse a file that `is_too_short`; raises DataError with both lengths."""
    if is_too_short(path, size):
        expected = f"a file that holds {size} voxels ({size.voxels * size.voxel_bytes:,} bytes)"
        found = f"one of {Path(path).stat().st_size:,} bytes, truncated"
        raise DataError(Problem(str(path), expected, found, "Copy or download the file again"))


def is_too_short(path: str | Path, size: Size) -> bool:
    """Whether a file is too short for its header's voxels, as far as its length alone tells.

    Exact for voxels that are not packed; of packed ones only what no packing reaches is too much.
    """
    path = Path(path)
    if path.is_dir() or is_picture(path):
        return False
    held = _held(path)
    return held is not None and size.voxels * size.voxel_bytes > held


def _held(path: Path) -> int | None:
    """How many bytes of voxels a file can hold; None where they lie in another file."""
    length = path.stat().st_size
    if is_nifti(path):
        return length * DEFLATE if path.name.lower().endswith(".gz") else length - int(load_nifti(path).dataobj.offset)
    with path.open("rb") as stream:
        start = stream.read(2**14).lower()
    if path.suffix.lower() in (".mhd", ".nhdr") or b"\ndata file:" in start or b"\ndatafile:" in start:
        return None
    is_local = b"elementdatafile = local" in start
    if b"encoding: gz" in start or (is_local and b"compresseddata = true" in start):
        return length * DEFLATE
    return length if is_local or b"encoding: raw" in start else None


def _voxel_bytes(header: object) -> int:
    import SimpleITK

    name = SimpleITK.GetPixelIDValueAsString(header.GetPixelID())
    bits = next((bits for bits in (64, 32, 16, 8) if f"{bits}-bit" in name), 8)
    return bits // 8 * (2 if "complex" in name else 1) * max(1, header.GetNumberOfComponents())
