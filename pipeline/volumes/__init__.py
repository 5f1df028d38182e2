"""Volumes as files: grids in millimetres, masks on exactly the grid of their image, every format read alike."""

from pipeline.volumes.grid import (
    PICTURE_AFFINE,
    affine,
    has_geometry,
    read_image,
    shape,
    slice_axis,
    spacing,
    voxel_ml,
)
from pipeline.volumes.masks import GRID_FIELDS, read_mask, write_mask
from pipeline.volumes.names import (
    ITK_SUFFIXES,
    NIFTI_SUFFIXES,
    PICTURE_SUFFIXES,
    Names,
    first_name,
    is_nifti,
    is_picture,
    mask_name,
    names_of,
    suffix_of,
)

__all__ = [
    "GRID_FIELDS",
    "ITK_SUFFIXES",
    "NIFTI_SUFFIXES",
    "PICTURE_AFFINE",
    "PICTURE_SUFFIXES",
    "Names",
    "affine",
    "first_name",
    "has_geometry",
    "is_nifti",
    "is_picture",
    "mask_name",
    "names_of",
    "read_image",
    "read_mask",
    "shape",
    "slice_axis",
    "spacing",
    "suffix_of",
    "voxel_ml",
    "write_mask",
]
