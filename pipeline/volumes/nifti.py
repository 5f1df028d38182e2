"""NIfTI read in parts and in one pass: whole voxels in float32 or as stored, the stream's checksum included."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.volumes.itk import unreadable

PART = 2**22  # voxels that are scaled at a time
TRUNCATED = "a truncated one"


def load_nifti(path: str | Path) -> Any:
    """nibabel's image of a file, no voxel read yet; raises DataError for what cannot be read."""
    import nibabel as nib

    try:
        image = nib.load(path)
    except Exception as error:
        raise _damaged(path, error) from error
    _check_start(path, image)
    return image


def raw_header(path: str | Path) -> Any:
    """The header as it stands in the file, where nibabel's own would mend what it finds odd."""
    from nibabel.openers import Opener

    header = type(load_nifti(path)).header_class
    with Opener(str(path)) as stream:
        return header.from_fileobj(stream, check=False)


def read_nifti(path: str | Path, image: Any = None, *, last_axis_fastest: bool = False) -> np.ndarray:
    """The (scaled) voxel values of a NIfTI file, without a copy in double precision.

    Args:
        path: .nii or .nii.gz.
        image: nibabel's image of it, where that is at hand.
        last_axis_fastest: lay a 3D volume out in memory as torch does, instead of as the file does (first axis
            fastest): torch then makes no copy of its own.

    Returns:
        an array of the image's shape in nibabel's axis order: the stored type, little or big endian as this machine;
        float32 for scaled values (computed in double precision, then rounded) and for stored doubles.

    Raises:
        DataError: truncated, damaged (gzip's checksum, too), no NIfTI, or voxels said to begin within the header.
    """
    image = load_nifti(path) if image is None else image
    order = "C" if last_axis_fastest and len(image.shape) == 3 else "F"
    plane = math.prod(image.shape[:2])
    voxels: np.ndarray | None = None
    done = 0
    for part in nifti_parts(path, image):
        if voxels is None:
            voxels = np.empty(image.shape, np.float32 if part.dtype == np.float64 else part.dtype, order=order)
        if order == "C":
            slices = part.reshape(*image.shape[:2], -1, order="F")
            voxels[:, :, done // plane : (done + part.size) // plane] = slices
        else:
            voxels.reshape(-1, order="F")[done : done + part.size] = part
        done += part.size
    return np.empty(image.shape, image.get_data_dtype()) if voxels is None else voxels


def nifti_parts(path: str | Path, image: Any = None) -> Iterator[np.ndarray]:
    """The (scaled) values of a NIfTI file part by part in its own order (first axis fastest), read to its last byte.

    Yields:
        flat arrays of whole slices (first two axes), about PART voxels each.

    Raises:
        DataError: as `read_nifti`.
    """
    image = load_nifti(path) if image is None else image
    _check_start(path, image)
    stored = image.dataobj
    dtype, slope, inter = np.dtype(stored.dtype), float(stored.slope), float(stored.inter)
    left, plane = math.prod(image.shape), max(1, math.prod(image.shape[:2]))
    size = max(1, PART // plane) * plane
    try:
        with _open(path) as stream:
            stream.seek(stored.offset)
            while left:
                part = np.empty(min(left, size), dtype)
                _fill(stream, part)
                left -= part.size
                part = part.astype(dtype.newbyteorder("="), copy=False)
                plain = (slope, inter) == (1, 0) or dtype.names
                yield part if plain else (part.astype(np.float64) * slope + inter).astype(np.float32)
            while stream.read(2**20):  # gzip compares its checksum only at the end of the stream
                pass
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise _damaged(path, error) from error


def gzip_damage(path: str | Path) -> str:
    """What is wrong with a gzip stream: TRUNCATED, or how it is damaged; "" for a whole one, and for other files."""
    with suppress(OSError), open(path, "rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            stream.seek(0)
            try:
                with gzip.GzipFile(fileobj=stream) as packed:
                    while packed.read(2**20):
                        pass
            except EOFError:
                return TRUNCATED
            except (OSError, zlib.error) as error:
                return f"a damaged one ({error})"
    return ""


def _check_start(path: str | Path, image: Any) -> None:
    """Refuse voxels that would begin within the header of a single file.

    The standard's vox_offset: less than 352 means 352 (NIfTI-1; 544 for NIfTI-2). nibabel takes 0 at its word and ITK
    takes 348, so that the same file would be another image elsewhere.
    """
    import nibabel as nib

    if isinstance(image, nib.Nifti1Image) and image.dataobj.offset < image.header.single_vox_offset:
        expected = f"voxels that begin after the header, at byte {image.header.single_vox_offset} or later"
        remedy = "Export the file again, or mend vox_offset: programs take such a file for different voxels"
        raise DataError(Problem(str(path), expected, f"vox_offset {image.dataobj.offset}", remedy))


def _open(path: str | Path) -> BinaryIO:
    return gzip.open(path, "rb") if str(path).lower().endswith(".gz") else open(path, "rb")


def _fill(stream: BinaryIO, part: np.ndarray) -> None:
    view = memoryview(part.view(np.uint8)).cast("B")
    while len(view):
        count = stream.readinto(view)
        if not count:
            raise EOFError("fewer voxels than the header tells of")
        view = view[count:]


def _damaged(path: str | Path, error: Exception) -> DataError:
    """Of a stream that ends early, that it does: the libraries complain of whatever they missed first."""
    if Path(path).exists() and (isinstance(error, EOFError) or gzip_damage(path) == TRUNCATED):
        return DataError(Problem(str(path), "a complete file", TRUNCATED, "Copy or download the file again"))
    return unreadable(path, error)
