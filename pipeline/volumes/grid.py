"""Volumes on disk: their grid, and masks that are written on exactly that grid."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.volumes.dicom import is_series_folder
from pipeline.volumes.itk import affine_of, as_volume, itk_header, read_itk, unreadable
from pipeline.volumes.names import is_nifti, is_picture
from pipeline.volumes.pictures import (
    brightness,
    folder_shape,
    is_picture_folder,
    picture_shape,
    read_label_picture,
    read_picture,
    read_picture_folder,
)

PICTURE_AFFINE = np.diag([-1.0, -1.0, 1.0, 1.0])  # what ITK says of a picture, too

CLEARED_FIELDS = (
    *("cal_min", "cal_max", "glmin", "glmax", "intent_p1", "intent_p2", "intent_p3", "intent_code", "intent_name"),
    *("descrip", "aux_file", "db_name", "data_type"),
)

# The grid of a NIfTI file, copied bit by bit: ACDC's files say 1 mm in the affine and the truth in pixdim.
GRID_FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)


def write_mask(mask: np.ndarray, like: str | Path, output: str | Path, *, overwrite: bool = False) -> Path:
    """Write a label map on exactly the grid of its image, atomically.

    Args:
        mask: label numbers 0..255, shape (X, Y, Z) in the axis order of nibabel, or (X, Y, Z, T) for a 4D image.
        like: the image that was segmented: NIfTI, .mha, .mhd, .nrrd, or the folder of a DICOM series.
        output: the file to write. A NIfTI image gives a NIfTI mask (.nii or .nii.gz) whose sform, qform, both
            codes, pixdim and units are bitwise the image's; any other image gives the format of the suffix. A 3D
            mask of a 4D image is written as 3D. Stored as uint8, slope 1, without display window, description
            or header extensions.
        overwrite: replace a file that exists.

    Returns:
        The path written.

    Raises:
        DataError: the shapes differ, the image cannot be read, the formats do not fit, or the file exists.
        ValueError: a value is not an integer from 0 to 255.
    """
    output = Path(output)
    if output.exists() and not overwrite:
        raise DataError(
            Problem(
                str(output),
                "no file of that name",
                "one that exists",
                "Ask for it to be overwritten, or write elsewhere",
            )
        )
    labels = _as_uint8(mask)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{uuid.uuid4().hex[:8]}.{output.name}")
    try:
        if is_nifti(like):
            _write_nifti(labels, like, temporary)
        else:
            _write_itk(labels, like, temporary)
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)
    return output


def read_mask(path: str | Path) -> np.ndarray:
    """The label numbers of a mask as uint8, in the axis order of nibabel; raises DataError when unreadable.

    A picture gives (X, Y, 1), a folder of pictures (X, Y, Z): see `pipeline.volumes.pictures`.
    """
    if is_nifti(path):
        return _as_uint8(np.asanyarray(_load_nifti(path).dataobj))
    if not has_geometry(path):
        return _as_uint8(read_label_picture(path) if is_picture(path) else read_picture_folder(path, labels=True))
    import SimpleITK

    return _as_uint8(SimpleITK.GetArrayFromImage(read_itk(path)).T)


def read_image(path: str | Path) -> np.ndarray:
    """The (scaled) voxel values of an image in the axis order of nibabel, the brightness of a coloured picture.

    Raises:
        DataError: the image cannot be read.
    """
    if is_nifti(path):
        try:
            return np.asanyarray(_load_nifti(path).dataobj)
        except (OSError, EOFError, ValueError) as error:
            raise unreadable(path, error) from error
    if not has_geometry(path):
        return brightness(read_picture(path) if is_picture(path) else read_picture_folder(path))
    import SimpleITK

    return SimpleITK.GetArrayFromImage(as_volume(read_itk(path), path)).T


def has_geometry(path: str | Path) -> bool:
    """Whether an image says where its voxels lie in mm: every format but pictures and folders of them."""
    return not is_picture(path) and not (is_picture_folder(path) and not is_series_folder(path))


def shape(path: str | Path) -> tuple[int, ...]:
    """The shape of a volume as its header has it, in the axis order of nibabel; reads no voxel of a file."""
    if is_nifti(path):
        return tuple(int(n) for n in _load_nifti(path).shape)
    if not has_geometry(path):
        return picture_shape(path) if is_picture(path) else folder_shape(path)
    return tuple(int(n) for n in itk_header(path).GetSize())


def spacing(path: str | Path) -> tuple[float, float, float]:
    """The distance between voxel centres along the three axes, in mm.

    A NIfTI file's pixdim, also where its affine says otherwise (ACDC's affine says 1 mm throughout). A 2D image
    counts 1 mm along z; what has no geometry (`has_geometry`) counts 1 mm everywhere, which stands for one pixel.

    Raises:
        DataError: the file cannot be read, or a distance is not finite and positive.
    """
    if is_nifti(path):
        found = [float(value) for value in _raw_header(path)["pixdim"][1:4]]
    elif not has_geometry(path):
        return 1.0, 1.0, 1.0
    else:
        found = [float(value) for value in itk_header(path).GetSpacing()]
    found = (found + [1.0] * 3)[:3] if len(shape(path)) > 2 else [*found[:2], 1.0]
    found = [abs(value) for value in found]  # some writers keep the sign of the axis in pixdim
    if not all(np.isfinite(value) and value > 0 for value in found):
        raise DataError(
            Problem(
                str(path),
                "voxel spacings above 0 mm",
                " x ".join(f"{value:g}" for value in found),
                "Convert the image again, or set pixdim in its header",
            )
        )
    return found[0], found[1], found[2]


def voxel_ml(path: str | Path) -> float:
    """The volume of one voxel in millilitres; raises DataError as `spacing` does."""
    return float(np.prod(spacing(path))) / 1000.0


def slice_axis(spacing: Sequence[float], shape: Sequence[int] = (), *, ratio: float = 1.5) -> int:
    """The axis across the slices: that of the largest distance if it is `ratio` times the last one's, else the last.

    With a shape (X, Y, Z), a single slice along the last axis settles it: its thickness may well be a voxel's.
    """
    if len(shape) > 2 and shape[2] == 1:
        return 2
    thick = max(range(3), key=lambda axis: spacing[axis])
    return thick if spacing[thick] >= ratio * spacing[2] else 2


def affine(path: str | Path) -> np.ndarray:
    """The 4 x 4 matrix from voxel to mm in RAS: the header's directions with the distances of `spacing`.

    For what has no geometry as if it were shown: columns towards the patient's left, rows towards the back.
    """
    if is_nifti(path):
        matrix = np.array(_load_nifti(path).affine, dtype=float)
    elif not has_geometry(path):
        matrix = PICTURE_AFFINE.copy()
    else:
        matrix = affine_of(as_volume(read_itk(path), path))
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    matrix[:3, :3] *= np.asarray(spacing(path)) / np.where(lengths > 0, lengths, 1)
    return matrix


def _as_uint8(mask: np.ndarray) -> np.ndarray:
    labels = np.asarray(mask)
    if labels.dtype == np.uint8:
        return labels
    with np.errstate(invalid="ignore"):
        whole = labels.astype(np.uint8)
    if not np.array_equal(whole, labels):
        raise ValueError(f"a mask holds integers from 0 to 255, this one has {labels.dtype} values that do not fit")
    return whole


def _write_nifti(labels: np.ndarray, like: str | Path, temporary: Path) -> None:
    if not is_nifti(temporary):
        raise DataError(
            Problem(
                str(temporary.name.split(".", 2)[-1]),
                "a mask name ending in .nii.gz for a NIfTI image",
                f"{temporary.suffix!r}",
                "Name it .nii.gz: no other format keeps both affines of NIfTI",
            )
        )
    image = _load_nifti(like)
    raw = _raw_header(like)
    labels = _fitted(labels, tuple(image.shape), like)
    header = raw.copy()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(labels.shape)
    header.set_slope_inter(1, 0)
    for field in CLEARED_FIELDS:
        if field in header.keys():  # noqa: SIM118 - nibabel's headers are no mappings; NIfTI-2 lacks some fields
            header[field] = np.zeros_like(header[field])
    header.extensions = type(header.extensions)()
    saved = type(image)(labels, None, header)
    for field in GRID_FIELDS:
        saved.header[field] = raw[field]  # nibabel mends what it finds odd, for example qfac 0
    saved.header["pixdim"][1 + labels.ndim :] = 1
    saved.to_filename(temporary)


def _write_itk(labels: np.ndarray, like: str | Path, temporary: Path) -> None:
    import SimpleITK

    grid = itk_header(like)
    labels = _fitted(labels, tuple(grid.GetSize()), like)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(labels.T))
    image.SetSpacing(grid.GetSpacing())
    image.SetOrigin(grid.GetOrigin())
    image.SetDirection(grid.GetDirection())
    SimpleITK.WriteImage(image, str(temporary), useCompression=True)


def _fitted(labels: np.ndarray, wanted: tuple[int, ...], like: str | Path) -> np.ndarray:
    if _padded(labels.shape) == _padded(wanted):
        return labels.reshape(wanted)  # a 2D image, or a fourth axis of length one
    if len(wanted) == 4 and labels.shape == wanted[:3]:
        return labels
    raise DataError(
        Problem(
            str(like),
            f"a mask of the image's shape {' x '.join(map(str, wanted))}",
            f"one of {' x '.join(map(str, labels.shape))}",
            "Restore the mask to the original grid before it is written",
        )
    )


def _padded(size: tuple[int, ...]) -> tuple[int, ...]:
    size = (*size, *(1,) * (3 - len(size)))
    while len(size) > 3 and size[-1] == 1:
        size = size[:-1]
    return size


def _load_nifti(path: str | Path) -> Any:
    import nibabel as nib

    try:
        return nib.load(path)
    except Exception as error:
        raise unreadable(path, error) from error


def _raw_header(path: str | Path) -> Any:
    from nibabel.openers import Opener

    header = type(_load_nifti(path)).header_class
    with Opener(str(path)) as stream:
        return header.from_fileobj(stream, check=False)
