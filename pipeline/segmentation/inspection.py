"""Whether an image is fit to be segmented: read to its last byte, slab by slab."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.segmentation.memory import check_memory
from pipeline.volumes import affine, has_geometry, is_nifti, names_of, spacing, trimmed
from pipeline.volumes.channels import GRID_MM, grid_distance
from pipeline.volumes.faults import Fault, range_fault, shape_fault, slice_fault, spacing_fault, type_fault
from pipeline.volumes.itk import read_itk
from pipeline.volumes.names import Names
from pipeline.volumes.nifti import load_nifti, nifti_parts
from pipeline.volumes.pictures import read_picture_folder

MAGIC = {b"<": "a web page or XML", b"\x1f\x8b": "gzip", b"PK": "a zip archive", b"{": "JSON text"}


@dataclass(frozen=True)
class ImageInfo:
    """What is known of a readable image.

    Args:
        shape: in nibabel's axis order; of a picture (X, Y, 1).
        spacing: mm; 1 each where the image has no geometry.
        frames: number of time frames.
        has_geometry: whether the file says where its voxels lie; pictures do not.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    frames: int = 1
    has_geometry: bool = True

    @property
    def is_cine(self) -> bool:
        """Whether there is a fourth axis with more than one time frame."""
        return self.frames > 1


def inspect(image: Names, *, index: int | None = None, channels: int = 1, max_memory: float | None = None) -> ImageInfo:
    """Read an image to its last byte and make sure that a network can use it.

    Nothing is read of an image that cannot fit into memory by what its header claims (`check_memory`). Memory stays at
    a few million voxels for NIfTI, at the stored voxels for every other format.

    Args:
        image: NIfTI, MetaImage, NRRD, a picture, the folder of a DICOM series or of pictures; or several files of one
            kind that are channels on one grid.
        index: the case is this slice alone (third axis, counted from 0).
        channels: what the network takes; a fourth axis of that length holds channels, any other one time.
        max_memory: gigabytes that segmenting it may take; default what is free.

    Returns:
        its grid; with `index` that of the slice.

    Raises:
        DataError: too large for memory, no regular file, empty, truncated or damaged (gzip's checksum), of another
            format, not 2D, 3D or 3D + time, more than one value per voxel, NaN or infinity, one value everywhere, no
            spacing of 0.01 to 50 mm, no such slice, channels of several formats or on several grids; of each file the
            first fault.
    """
    files = [Path(name) for name in names_of(image)]
    infos, problems = [], []
    for file in files:
        try:
            if not file.is_dir():
                _check_content(file)
            check_memory([file], most=max_memory)
            infos.append(_inspect(file, index, channels))
        except DataError as error:
            problems += error.problems
    if not problems:
        check_memory(files, most=max_memory)
        problems = list(_differences(files, infos))
    if problems:
        raise DataError(problems)
    return infos[0]


def _inspect(path: Path, index: int | None, channels: int) -> ImageInfo:
    shape, parts = _parts(path)
    distances = spacing(path)
    fault = shape_fault(shape) or slice_fault(shape, index) or spacing_fault(distances)
    if fault := fault or _value_fault(_chosen(parts, shape, index)):
        raise DataError(Problem(str(path), *fault))
    frames = shape[3] if len(shape) > 3 and shape[3] != channels else 1
    shape = shape if index is None else (*shape[:2], 1)
    return ImageInfo(shape=shape, spacing=distances, frames=frames, has_geometry=has_geometry(path))


def _differences(files: list[Path], infos: list[ImageInfo]) -> Iterator[Problem]:
    first = files[0]
    remedy = "Resample the channels to one grid, in files of one kind"
    for file, info in zip(files[1:], infos[1:], strict=True):
        size, wanted = (" x ".join(map(str, one.shape)) for one in (info, infos[0]))
        if is_nifti(file) != is_nifti(first) or info.has_geometry != infos[0].has_geometry:
            yield Problem(str(file), f"a file of the same kind as {first.name}", file.name, remedy)
        elif size != wanted:
            yield Problem(str(file), f"the shape {wanted} of {first.name}", size, remedy)
        elif (apart := grid_distance(affine(file), affine(first), info.shape)) > GRID_MM:
            yield Problem(str(file), f"the grid of {first.name}", f"one up to {apart:.2f} mm away", remedy)
        elif info.is_cine:
            yield Problem(str(file), "channels without time", f"{info.frames} time frames", "Split them into volumes")


def _check_content(path: Path) -> None:
    """Name what a file really is, where a library would only say that it is none of its own."""
    remedy = "Copy or download the file again"
    if not path.exists():
        raise DataError(Problem(str(path), "an image", "nothing of that name", "Check the path"))
    if not path.is_file():  # opening a pipe would wait for somebody to write into it
        raise DataError(Problem(str(path), "a regular file", "a pipe or a device", "Copy the image to a disk"))
    with path.open("rb") as stream:
        start = stream.read(512).lstrip()
    if not start:
        raise DataError(Problem(str(path), "an image", "an empty file", remedy))
    kind = next((kind for mark, kind in MAGIC.items() if start.startswith(mark)), "another kind of file")
    if path.name.lower().endswith(".gz") and kind != "gzip":
        raise DataError(Problem(str(path), "a file compressed by gzip", kind, remedy))
    if start.startswith(b"<"):
        raise DataError(Problem(str(path), "an image", kind, remedy))


def _parts(path: Path) -> tuple[tuple[int, ...], Iterable[np.ndarray]]:
    """The shape, and the voxels in parts with the first axis fastest; colour as several such volumes in a row."""
    if is_nifti(path):
        image = load_nifti(path)
        return trimmed(image.shape), nifti_parts(path, image)
    if not has_geometry(path):
        voxels = read_picture_folder(path)
        return voxels.shape[-3:], [channel.ravel(order="F") for channel in voxels.reshape(-1, *voxels.shape[-3:])]
    return _itk_parts(path)


def _itk_parts(path: Path) -> tuple[tuple[int, ...], Iterable[np.ndarray]]:
    image = read_itk(path)
    shape = image.GetSize()
    if len(shape) > 3:  # only NIfTI has a time axis that is known as one
        remedy = "Split it into single volumes, or convert the cine series to NIfTI"
        raise DataError(Problem(str(path), "a volume with three axes", f"{len(shape)} axes", remedy))
    if image.GetNumberOfComponentsPerPixel() > 1:
        return trimmed(shape), [np.zeros(1, "u1, u1")]  # one record per voxel, as NIfTI's RGB
    return trimmed(shape), _slabs(image)


def _slabs(image: Any) -> Iterator[np.ndarray]:
    """Slice by slice; the view is good for as long as the image lives, which this generator holds."""
    import SimpleITK

    for part in SimpleITK.GetArrayViewFromImage(image):
        yield np.array(part).ravel()


def _chosen(parts: Iterable[np.ndarray], shape: tuple[int, ...], index: int | None) -> Iterator[np.ndarray]:
    """The parts, or what they hold of one slice; all of them are read."""
    size, whole = math.prod(shape[:2]), math.prod(shape)
    done = 0
    for part in parts:
        if index is None:
            yield part
        else:
            start = index * size - done % whole
            yield part[max(start, 0) : max(start + size, 0)]
        done += part.size


def _value_fault(parts: Iterable[np.ndarray]) -> Fault | None:
    """What is wrong with the values; every part is read, so that a damaged file is known as such."""
    low, high, bad = np.inf, -np.inf, 0
    odd = None
    for part in parts:
        odd = type_fault(part.dtype)
        if part.size and not odd:
            if part.dtype.kind == "f":
                bad += part.size - int(np.count_nonzero(np.isfinite(part)))
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return odd or range_fault(low, high, bad)
