"""Volumes as files: grids in millimetres, masks on exactly the grid of their image, every format read alike."""

from pipeline.volumes.grid import (
    GRID_FIELDS,
    ITK_SUFFIXES,
    NIFTI_SUFFIXES,
    affine,
    is_nifti,
    mask_name,
    read_image,
    read_mask,
    shape,
    slice_axis,
    spacing,
    suffix_of,
    voxel_ml,
    write_mask,
)

__all__ = [
    "GRID_FIELDS",
    "ITK_SUFFIXES",
    "NIFTI_SUFFIXES",
    "affine",
    "is_nifti",
    "mask_name",
    "read_image",
    "read_mask",
    "shape",
    "slice_axis",
    "spacing",
    "suffix_of",
    "voxel_ml",
    "write_mask",
]
