"""Volumes as files: grids in millimetres, masks on exactly the grid of their image, every format read alike."""

from pipeline.volumes.grid import (
    affine,
    has_geometry,
    read_image,
    shape,
    slice_axis,
    spacing,
    thick_axis,
    trimmed,
)
from pipeline.volumes.masks import read_mask, write_mask
from pipeline.volumes.names import (
    ITK_SUFFIXES,
    NIFTI_SUFFIXES,
    PICTURE_SUFFIXES,
    first_name,
    is_nifti,
    is_picture,
    mask_name,
    names_of,
    suffix_of,
)

__all__ = [
    "ITK_SUFFIXES",
    "NIFTI_SUFFIXES",
    "PICTURE_SUFFIXES",
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
    "thick_axis",
    "trimmed",
    "write_mask",
]
