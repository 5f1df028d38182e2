"""Label maps on disk: their voxels and their grid, and whether two of them lie on the same one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import volumes
from pipeline.errors import DataError, Problem
from pipeline.metrics.labels import Labels
from pipeline.structures import relabel_item
from pipeline.volumes.grid import corner_displacement, with_third_axis
from pipeline.volumes.itk import affine_of, itk_header
from pipeline.volumes.nifti import load_nifti, read_nifti
from pipeline.volumes.pictures import read_label_picture, read_picture_folder

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

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.array.shape


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
    array = relabel_item(mask.array, case, labels, source=mask.file, is_picture=not mask.has_geometry)
    mask = replace(mask, array=array[:, :, ::-1] if case.get("reversed") else array)
    image = volumes.first_name(case["image"]) if case.get("image") else None
    if not mask.has_geometry and image and Path(image).exists() and volumes.has_geometry(image):
        mask = _on_grid_of(image, mask)
    return mask if case.get("slice") is None else one_slice(mask, case["slice"])


def read_pred(path: str | Path, labels: Labels) -> Mask:
    """A predicted mask, as `read_mask`; of a picture with 0 and 255, 255 is the only structure of `labels`."""
    mask = read_mask(path)
    return replace(mask, array=relabel_item(mask.array, {}, labels, is_picture=not mask.has_geometry))


def one_slice(mask: Mask, index: int) -> Mask:
    """One slice along the third axis, as a mask of depth one where that slice lies; raises DataError beyond the end."""
    depth = mask.shape[2]
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
    has_geometry, image = volumes.has_geometry(path), None
    if volumes.is_nifti(path):
        image = load_nifti(path)  # once: the header of a small mask takes as long as its voxels
        array = read_nifti(path, image)
    else:
        array = volumes.read_image(path) if has_geometry else label_pictures(path)
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        found = "shape " + " x ".join(map(str, array.shape))
        remedy = "Give one label number for each voxel, and split a cine into its frames"
        raise DataError(Problem(str(path), "a label map with 3 axes", found, remedy))
    spacing, stated = volumes.spacing(path), stated_affine(path, image)
    array = array if array.ndim == 3 else array[..., None]
    return Mask(str(path), array, spacing, rescaled(stated, spacing), stated, has_geometry)


def label_pictures(path: str | Path) -> np.ndarray:
    """(X, Y, Z) label numbers as stored, of a picture or of a folder of them; raises DataError where they have none."""
    return read_label_picture(path) if volumes.is_picture(path) else read_picture_folder(path, labels=True)


def stated_affine(path: str | Path, image: Any = None) -> np.ndarray:
    """(4, 4) voxel -> RAS mm as the file says it, also where a NIfTI file's pixdim says otherwise.

    Args:
        path: in any format.
        image: nibabel's image of it, where that is at hand.
    """
    if volumes.is_nifti(path):
        return with_third_axis(np.array((image or load_nifti(path)).affine, float))
    if volumes.has_geometry(path) and not Path(path).is_dir() and len(volumes.shape(path)) == 3:
        return affine_of(itk_header(path))  # `volumes.affine` would read the voxels, too
    return volumes.affine(path)


def rescaled(affine: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The affine with columns of length `spacing`, direction and origin kept; zero columns stay."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    scaled = affine.copy()
    scaled[:3, :3] *= np.divide(spacing, lengths, out=np.ones(3), where=lengths > 0)
    return scaled


def grid_fault(pred: Mask, truth: Mask) -> Problem | None:
    """What is wrong with the prediction's grid: its shape, or where its corners lie (more than 0.1 mm off).

    Of pictures only the shape counts.
    """
    if pred.shape != truth.shape:
        expected, found = (" x ".join(map(str, mask.shape)) for mask in (truth, pred))
        remedy = f"Write the mask on the grid of its image, that of {truth.file}"
        return Problem(pred.file, f"shape {expected} as the truth has", f"shape {found}", remedy)
    if not (pred.has_geometry and truth.has_geometry):
        return None
    distance = corner_displacement(pred.affine, truth.affine, truth.shape)
    if distance <= GRID_TOLERANCE_MM or lost_pixdim(pred, truth):
        return None
    return Problem(
        pred.file,
        f"the grid of {truth.file}",
        f"one whose corners lie up to {distance:.1f} mm away",
        "Write the mask with its image's header; if only the header is wrong, switch the grid check off",
    )


def lost_pixdim(pred: Any, truth: Any) -> bool:
    """Whether the prediction copied the truth's affine but not the pixdim that corrects it.

    ACDC's files say 1 mm in the affine and the truth in pixdim, so a mask that a tool saved with "the image's affine"
    holds the right voxels and the wrong millimetres. Both may be whatever has these attributes.
    """
    if not (pred.has_geometry and truth.has_geometry):
        return False
    same = corner_displacement(pred.stated_affine, truth.stated_affine, truth.shape) <= GRID_TOLERANCE_MM
    return same and corner_displacement(pred.affine, truth.affine, truth.shape) > GRID_TOLERANCE_MM


def _on_grid_of(image: str | Path, mask: Mask) -> Mask:
    shape = volumes.shape(image)[:3]
    if shape != mask.shape[: len(shape)]:
        expected, found = (" x ".join(map(str, size)) for size in (shape, mask.shape))
        remedy = "Give the label as many slices and pixels as the image has"
        raise DataError(Problem(mask.file, f"shape {expected} as {image} has", f"shape {found}", remedy))
    affine = volumes.affine(image)
    return replace(mask, spacing=volumes.spacing(image), affine=affine, stated_affine=affine, has_geometry=True)
