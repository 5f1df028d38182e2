"""The grid of an image, whatever its format: shape, distances in mm, axes in space; and its voxels."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.volumes.dicom import is_series_folder
from pipeline.volumes.itk import affine_of, as_volume, itk_header, read_itk
from pipeline.volumes.names import is_nifti, is_picture
from pipeline.volumes.nifti import load_nifti, raw_header, read_nifti
from pipeline.volumes.pictures import brightness, folder_shape, is_picture_folder, read_picture_folder

PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # what ITK says of a picture, too


def read_image(path: str | Path) -> np.ndarray:
    """The (scaled) voxel values of an image in the axis order of nibabel, the brightness of a coloured picture.

    Raises:
        DataError: the image cannot be read.
    """
    if is_nifti(path):
        return read_nifti(path)
    if not has_geometry(path):
        return brightness(read_picture_folder(path))
    import SimpleITK

    return SimpleITK.GetArrayFromImage(as_volume(read_itk(path), path)).T


def trimmed(shape: Iterable[int]) -> tuple[int, ...]:
    """A shape without axes of length one behind the third."""
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def has_geometry(path: str | Path) -> bool:
    """Whether an image says where its voxels lie in mm: every format but pictures and folders of them."""
    return not is_picture(path) and not (is_picture_folder(path) and not is_series_folder(path))


def shape(path: str | Path) -> tuple[int, ...]:
    """The shape of a volume as its header has it, in the axis order of nibabel; reads no voxel of a file."""
    if is_nifti(path):
        return tuple(int(n) for n in load_nifti(path).shape)
    if not has_geometry(path):
        return folder_shape(path)
    return tuple(int(n) for n in itk_header(path).GetSize())


def spacing(path: str | Path) -> tuple[float, float, float]:
    """The distance between voxel centres along the three axes, in mm.

    A NIfTI file's pixdim, also where its affine says otherwise (ACDC's affine says 1 mm throughout). A 2D image
    counts 1 mm along z; what has no geometry (`has_geometry`) counts 1 mm everywhere, which stands for one pixel.

    Raises:
        DataError: the file cannot be read, or a distance is not finite and positive.
    """
    if is_nifti(path):
        header = raw_header(path)
        axes, found = int(header["dim"][0]), [float(value) for value in header["pixdim"][1:4]]
    elif not has_geometry(path):
        return 1.0, 1.0, 1.0
    else:
        header = itk_header(path)
        axes, found = len(header.GetSize()), [float(value) for value in header.GetSpacing()]
    found = (found + [1.0] * 3)[:3] if axes > 2 else [*found[:2], 1.0]
    found = [abs(value) for value in found]  # some writers keep the sign of the axis in pixdim
    if not all(np.isfinite(value) and value > 0 for value in found):
        told = " x ".join(f"{value:g}" for value in found)
        remedy = "Convert the image again, or set pixdim in its header"
        raise DataError(Problem(str(path), "voxel spacings above 0 mm", told, remedy))
    return found[0], found[1], found[2]


def slice_axis(spacing: Sequence[float], shape: Sequence[int] = ()) -> int:
    """The axis across the slices: that of the largest distance if it is 1.5 times both others, else the last.

    Where two axes are equally coarse, as in a CT of 0.98 x 0.98 x 0.6 mm, neither runs across slices. With a shape
    (X, Y, Z), a single slice along the last axis settles it: its thickness may well be a voxel's.
    """
    if len(shape) > 2 and shape[2] == 1:
        return 2
    thick = thick_axis(spacing)
    return 2 if thick is None else thick


def thick_axis(spacing: Sequence[float]) -> int | None:
    """The axis whose distance (mm) is 1.5 times both others; None where there is none."""
    _, second, largest = sorted(spacing)
    return list(spacing).index(largest) if largest >= 1.5 * second else None


def affine(path: str | Path) -> np.ndarray:
    """The 4 x 4 matrix from voxel to mm in RAS: the header's directions with the distances of `spacing`.

    For what has no geometry as if it were shown: columns towards the patient's left, rows towards the back.
    """
    if is_nifti(path):
        matrix = with_third_axis(np.array(load_nifti(path).affine, dtype=float))
    elif not has_geometry(path):
        matrix = PICTURE_AFFINE.copy()
    else:
        matrix = affine_of(as_volume(read_itk(path), path))
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    matrix[:3, :3] *= np.asarray(spacing(path)) / np.where(lengths > 0, lengths, 1)
    return matrix


def with_third_axis(matrix: np.ndarray) -> np.ndarray:
    """The matrix, its third axis upright on the others and 1 mm long where a 2D image's header has none."""
    if matrix[:3, 2].any() or not np.isfinite(matrix).all():
        return matrix
    normal = np.cross(matrix[:3, 0], matrix[:3, 1])
    length = np.linalg.norm(normal)
    upright = matrix.copy()
    upright[:3, 2] = normal / length if length > 0 else (0, 0, 1)
    return upright


def corner_displacement(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """The largest distance in mm between equal corners (voxel centres) of a volume's grid under two affines."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in volume_shape(shape)))])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def volume_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(X, Y, Z): one slice for 2D, channels or time left out."""
    return (*shape, 1, 1)[:3]
