"""Label maps on disk: written on exactly the grid of their image, and read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.files import refuse_existing, unfinished
from pipeline.volumes.grid import has_geometry, shape, trimmed
from pipeline.volumes.itk import itk_header, read_itk
from pipeline.volumes.names import ITK_SUFFIXES, NIFTI_SUFFIXES, Names, first_name, is_nifti, is_picture, suffix_of
from pipeline.volumes.nifti import load_nifti, raw_header, read_nifti
from pipeline.volumes.pictures import read_picture_folder, write_label_picture

CLEARED_FIELDS = (
    *("cal_min", "cal_max", "glmin", "glmax", "intent_p1", "intent_p2", "intent_p3", "intent_code", "intent_name"),
    *("descrip", "aux_file", "db_name", "data_type"),
)

# The grid of a NIfTI file, copied bit by bit: ACDC's files say 1 mm in the affine and the truth in pixdim.
GRID_FIELDS = (
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
SFORM_ALIGNED = 2


def write_mask(
    mask: np.ndarray,
    like: Names,
    output: str | Path,
    *,
    index: int | None = None,
    dtype: type[np.unsignedinteger] = np.uint8,
    overwrite: bool = False,
) -> Path:
    """Write a label map on exactly the grid of its image, atomically.

    Args:
        mask: label numbers, shape (X, Y, Z) in the axis order of nibabel, or (X, Y, Z, T) for a 4D image.
        like: the image that was segmented: NIfTI, .mha, .mhd, .nrrd, the folder of a DICOM series, or a picture; of
            several channels the first counts.
        output: the file to write. A NIfTI image gives a NIfTI mask (.nii or .nii.gz) whose sform, qform, both
            codes, pixdim and units are bitwise the image's; a picture gives a PNG of its size as it is shown, with a
            palette whose index is the label number (see `pipeline.volumes.pictures`); any other image gives the
            format of the suffix. A 3D mask of a 4D image is written as 3D. Volumes are stored as they are, slope 1,
            without display window, description or header extensions.
        index: the mask is (X, Y, 1), that of this slice of the image's third axis; it is written where that slice
            lies.
        dtype: np.uint8, or np.uint16 for more than 255 numbers.
        overwrite: replace a file that exists.

    Returns:
        The path written.

    Raises:
        DataError: the shapes differ, the image cannot be read, the formats do not fit, or the file exists.
        ValueError: a value is not an integer of the type.
    """
    like, output = first_name(like), Path(output)
    array = _whole(mask, dtype)
    if not overwrite:
        refuse_existing([output])
    _check_formats(like, output)
    array = _fitted(array, shape(like), like, index)
    with unfinished(output) as temporary:
        if is_nifti(like):
            _write_nifti(array, like, temporary, index)
        elif is_picture(output):
            write_label_picture(array, temporary)
        else:
            _write_itk(array, like, temporary, index)
    return output


def read_mask(path: str | Path) -> np.ndarray:
    """The label numbers of a mask as uint8, in the axis order of nibabel.

    A picture gives (X, Y, 1), a folder of pictures (X, Y, Z): see `pipeline.volumes.pictures`.

    Raises:
        DataError: unreadable, or a picture in colour or JPEG.
        ValueError: a value is not an integer from 0 to 255.
    """
    if is_nifti(path):
        return _whole(read_nifti(path))
    if not has_geometry(path):
        return _whole(read_picture_folder(path, labels=True))
    import SimpleITK

    return _whole(SimpleITK.GetArrayFromImage(read_itk(path)).T)


def _check_formats(like: str | Path, output: Path) -> None:
    suffix = suffix_of(output)
    if is_nifti(like):
        fits = is_nifti(output)
        expected = "a mask name ending in .nii.gz for a NIfTI image"
        remedy = "Name it .nii.gz: no other format keeps both affines of NIfTI"
    else:
        fits = suffix in (*NIFTI_SUFFIXES, *ITK_SUFFIXES) or (is_picture(like) and suffix == ".png")
        expected = "a mask name ending in .png, .nii.gz, .mha or .nrrd"
        remedy = "Give it one of these; .png is for the masks of pictures"
    if not fits:
        raise DataError(Problem(output.name, expected, f"{output.suffix!r}", remedy))


def _whole(mask: np.ndarray, dtype: type[np.unsignedinteger] = np.uint8) -> np.ndarray:
    labels = np.asarray(mask)
    if labels.dtype == dtype:
        return labels
    with np.errstate(invalid="ignore"):
        whole = labels.astype(dtype)
    if not np.array_equal(whole, labels):
        most = np.iinfo(dtype).max
        raise ValueError(f"a mask holds integers from 0 to {most}, this one has {labels.dtype} values that do not fit")
    return whole


def _write_nifti(array: np.ndarray, like: str | Path, temporary: Path, index: int | None) -> None:
    image = load_nifti(like)
    raw = raw_header(like)
    if index is not None:
        _move_to_slice(raw, image, index)
    header = raw.copy()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape)
    header.set_slope_inter(1, 0)
    for field in CLEARED_FIELDS:
        if field in header.keys():  # noqa: SIM118 - nibabel's headers are no mappings; NIfTI-2 lacks some fields
            header[field] = np.zeros_like(header[field])
    header.extensions = type(header.extensions)()
    saved = type(image)(array, None, header)
    for field in GRID_FIELDS:
        saved.header[field] = raw[field]  # nibabel mends what it finds odd, for example qfac 0
    saved.header["pixdim"][1 + array.ndim :] = 1
    saved.to_filename(temporary)


def _move_to_slice(header: Any, image: Any, index: int) -> None:
    """Let the header's origin be that of a slice. One without sform and qform, whose place follows from its number of
    slices, gets a sform."""
    if header["qform_code"] > 0:
        step = image.header.get_qform()[:3, 2]
        for row, field in enumerate(("qoffset_x", "qoffset_y", "qoffset_z")):
            header[field] = header[field] + index * step[row]
    elif header["sform_code"] <= 0:
        header["sform_code"] = SFORM_ALIGNED
        header["srow_x"], header["srow_y"], header["srow_z"] = image.affine[:3]
    if header["sform_code"] > 0:
        for field in ("srow_x", "srow_y", "srow_z"):
            header[field][3] += index * header[field][2]


def _write_itk(array: np.ndarray, like: str | Path, temporary: Path, index: int | None) -> None:
    import SimpleITK

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    if has_geometry(like):
        grid = itk_header(like)
        image.SetSpacing(grid.GetSpacing())
        image.SetOrigin(grid.GetOrigin())
        image.SetDirection(grid.GetDirection())
    if index:
        image.SetOrigin(image.TransformIndexToPhysicalPoint((0, 0, index)))
    try:
        SimpleITK.WriteImage(image, str(temporary), useCompression=True)
        written = SimpleITK.ReadImage(str(temporary))
        complete = np.array_equal(SimpleITK.GetArrayViewFromImage(written), array.T)
    except RuntimeError:
        complete = False
    if not complete:  # ITK does not say why, and not always that; the system does
        temporary.write_bytes(bytes(array.nbytes))
        raise OSError(f"{temporary.name} could not be written")


def _fitted(array: np.ndarray, wanted: tuple[int, ...], like: str | Path, index: int | None) -> np.ndarray:
    if index is not None:
        wanted = trimmed(wanted)
        if len(wanted) > 3 or not 0 <= index < (*wanted, 1)[2]:
            found = f"shape {' x '.join(map(str, wanted))}"
            remedy = "Correct the datalist; slices count from 0 along the third axis"
            raise DataError(Problem(str(like), f"a volume with a slice {index}", found, remedy))
        wanted = (*wanted[:2], 1)[: len(wanted)]
    if trimmed((*array.shape, 1, 1)) == trimmed((*wanted, 1, 1)):
        return array.reshape(wanted)  # a 2D image, or a fourth axis of length one
    if len(wanted) == 4 and array.shape == wanted[:3]:
        return array
    expected = f"a mask of the image's shape {' x '.join(map(str, wanted))}"
    remedy = "Restore the mask to the original grid before it is written"
    raise DataError(Problem(str(like), expected, f"one of {' x '.join(map(str, array.shape))}", remedy))
