"""Label maps on disk: their voxels and their grid, and whether two of them lie on the same one."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import volumes
from pipeline.errors import DataError, Problem
from pipeline.metrics.labels import Labels, numbers_of
from pipeline.structures import relabel
from pipeline.volumes.itk import read_itk, unreadable
from pipeline.volumes.nifti import load_nifti

GRID_TOLERANCE_MM = 0.1


@dataclass(frozen=True)
class Mask:
    """A label map and its grid.

    Args:
        file: where it was read from.
        array: label numbers as stored, (X, Y, Z) in nibabel's axis order; a 2D file has Z = 1.
        spacing: mm along each axis; a NIfTI file's pixdim, also where its affine says otherwise (ACDC's do).
        affine: (4, 4) voxel index -> RAS mm, its columns scaled to `spacing`.
        stated_affine: (4, 4) as the file says.
        has_geometry: whether the millimetres mean anything: not so for a picture, whose pixels count 1 mm.
    """

    file: str
    array: np.ndarray
    spacing: tuple[float, float, float]
    affine: np.ndarray
    stated_affine: np.ndarray
    has_geometry: bool = True


def read_truth(case: Mapping[str, Any], labels: Labels) -> Mask:
    """The true mask of a case in the numbers of `labels`, as the items of a datalist describe it.

    Args:
        case: "label" (the file); where the list has them "structures" (which of the file's numbers make up each
            structure), "slice" (the case is this slice alone, counted from 0), "reversed" (its slices run against the
            image's) and "image", on whose grid a label without geometry of its own (a folder of PNG slices) lies.
        labels: the wanted structures.

    Raises:
        DataError: as `read_mask`; or the image's shape, the slice or the structures do not fit.
    """
    mask = read_mask(case["label"])
    if case.get("structures"):
        array = relabel(mask.array, case["structures"], labels, source=mask.file)
    else:
        array = _picture_numbers(mask, labels)
    mask = replace(mask, array=array[:, :, ::-1] if case.get("reversed") else array)
    image = case["image"][0] if isinstance(case.get("image"), list) else case.get("image")
    if not mask.has_geometry and image and Path(image).exists() and volumes.has_geometry(image):
        mask = _on_grid_of(image, mask)
    return mask if case.get("slice") is None else one_slice(mask, case["slice"])


def read_pred(path: str | Path, labels: Labels) -> Mask:
    """A predicted mask, as `read_mask`; of a picture with 0 and 255, 255 is the only structure of `labels`."""
    mask = read_mask(path)
    return replace(mask, array=_picture_numbers(mask, labels))


def one_slice(mask: Mask, index: int) -> Mask:
    """One slice along the third axis, as a mask of depth one where that slice lies; raises DataError beyond the end."""
    depth = mask.array.shape[2]
    if not 0 <= index < depth:
        remedy = "Build the datalist again from these files"
        raise DataError(Problem(mask.file, f"a slice {index} (counted from 0)", f"{depth} slices", remedy))
    step = np.eye(4)
    step[2, 3] = index
    array = mask.array[:, :, index : index + 1]
    return replace(mask, array=array, affine=mask.affine @ step, stated_affine=mask.stated_affine @ step)


def read_mask(path: str | Path) -> Mask:
    """Read a NIfTI, MetaImage or NRRD file, a picture (PNG, ...) or a folder of pictures.

    Raises:
        DataError: it is absent, no image, damaged (the gzip stream too), not 2D or 3D, or without spacing.
    """
    if not volumes.has_geometry(path):
        affine = volumes.affine(path)
        return Mask(str(path), volumes.read_mask(path), volumes.spacing(path), affine, affine, has_geometry=False)
    array, stated = _read_nifti(path) if volumes.is_nifti(path) else _read_itk(path)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        raise DataError(
            Problem(
                str(path),
                "a label map with 3 axes",
                "shape " + " x ".join(map(str, array.shape)),
                "Give one label number for each voxel, and split a cine into its frames",
            )
        )
    array = array if array.ndim == 3 else array[..., None]
    spacing = volumes.spacing(path)
    return Mask(str(path), array, spacing, _rescaled(stated, spacing), stated)


def grid_fault(pred: Mask, truth: Mask) -> Problem | None:
    """What is wrong with the prediction's grid: its shape, or where its corners lie (more than 0.1 mm off).

    Of pictures only the shape counts.
    """
    if pred.array.shape != truth.array.shape:
        expected, found = (" x ".join(map(str, mask.array.shape)) for mask in (truth, pred))
        remedy = f"Write the mask on the grid of its image, that of {truth.file}"
        return Problem(pred.file, f"shape {expected} as the truth has", f"shape {found}", remedy)
    if not (pred.has_geometry and truth.has_geometry):
        return None
    distance = corner_displacement(pred.affine, truth.affine, truth.array.shape)
    if distance <= GRID_TOLERANCE_MM or lost_pixdim(pred, truth):
        return None
    return Problem(
        pred.file,
        f"the grid of {truth.file}",
        f"one whose corners lie up to {distance:.1f} mm away",
        "Write the mask with its image's header; if only the header is wrong, switch the grid check off",
    )


def lost_pixdim(pred: Mask, truth: Mask) -> bool:
    """Whether the prediction copied the truth's affine but not the pixdim that corrects it.

    ACDC's files say 1 mm in the affine and the truth in pixdim, so a mask that a tool saved with "the image's affine"
    holds the right voxels and the wrong millimetres.
    """
    if not (pred.has_geometry and truth.has_geometry):
        return False
    shape = truth.array.shape
    same = corner_displacement(pred.stated_affine, truth.stated_affine, shape) <= GRID_TOLERANCE_MM
    return same and corner_displacement(pred.affine, truth.affine, shape) > GRID_TOLERANCE_MM


def corner_displacement(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """The largest distance in mm between equal corners (voxel centres) of a grid under two affines."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in shape))])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())


def _picture_numbers(mask: Mask, labels: Labels) -> np.ndarray:
    """The array; with 255 as the structure's own number where a picture is black and white and there is only one."""
    structures = [numbers for numbers in numbers_of(labels).values() if numbers != (0,)]
    if mask.has_geometry or len(structures) != 1 or not (mask.array == 255).any():
        return mask.array
    if not np.isin(mask.array, (0, 255)).all():
        return mask.array
    return np.where(mask.array == 255, structures[0][0], 0)


def _on_grid_of(image: str | Path, mask: Mask) -> Mask:
    shape = volumes.shape(image)[:3]
    if shape != mask.array.shape[: len(shape)]:
        expected, found = (" x ".join(map(str, size)) for size in (shape, mask.array.shape))
        remedy = "Give the label as many slices and pixels as the image has"
        raise DataError(Problem(mask.file, f"shape {expected} as {image} has", f"shape {found}", remedy))
    affine = volumes.affine(image)
    return replace(mask, spacing=volumes.spacing(image), affine=affine, stated_affine=affine, has_geometry=True)


def _read_nifti(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    image = load_nifti(path)
    try:
        if str(path).lower().endswith(".gz"):  # to the stream's end, where its checksum is
            image = type(image).from_bytes(gzip.decompress(Path(path).read_bytes()))
        array = np.asanyarray(image.dataobj)
    except Exception as error:  # each library below nibabel has its own
        raise unreadable(path, error) from error
    return array, np.asarray(image.affine, float)


def _read_itk(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    import SimpleITK

    image = read_itk(path)
    size = image.GetDimension()
    affine = np.eye(4)
    if size == 3:
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
        affine[:3, 3] = image.GetOrigin()
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # LPS -> RAS
    array = SimpleITK.GetArrayFromImage(image)
    vector = image.GetNumberOfComponentsPerPixel() > 1
    return (np.moveaxis(array, -1, 0).T if vector else array.T), affine


def _rescaled(affine: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """The affine with columns of length `spacing`, direction and origin kept; zero columns stay."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    scaled = affine.copy()
    scaled[:3, :3] *= np.divide(spacing, lengths, out=np.ones(3), where=lengths > 0)
    return scaled
