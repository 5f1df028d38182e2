"""What the name of an image says: its format, its place among others, and how its mask is called."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".mha", ".mhd", ".nrrd", ".nhdr")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

Names = str | Path | Sequence[str | Path]


def suffix_of(path: str | Path) -> str:
    """The known image suffix of a path in lower case (".nii.gz", ".mha"), "" for anything else, folders too."""
    name = Path(path).name.lower()
    return next((s for s in (*NIFTI_SUFFIXES, *ITK_SUFFIXES, *PICTURE_SUFFIXES) if name.endswith(s)), "")


def is_nifti(path: str | Path) -> bool:
    """Whether the name is that of a NIfTI file."""
    return suffix_of(path) in NIFTI_SUFFIXES


def is_picture(path: str | Path) -> bool:
    """Whether the name is that of a 2D picture (PNG, JPEG, BMP, TIFF)."""
    return suffix_of(path) in PICTURE_SUFFIXES


def natural(name: str | os.PathLike) -> list[tuple[int, int | str]]:
    """A sorting key that counts: slice_9 comes before slice_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", os.fspath(name)) if part]


def mask_name(case: str, image: Names) -> str:
    """The file name of a case's mask, by the format of its image (of the first one, where it has several).

    .png for a picture, .mha for MetaImage, .nrrd for NRRD, .nii.gz for everything else.
    """
    suffix = suffix_of(first_name(image))
    if suffix in PICTURE_SUFFIXES:
        return f"{case}.png"
    if suffix in (".mha", ".mhd"):
        return f"{case}.mha"  # one file: a .mhd and its .raw could not be renamed together
    if suffix in (".nrrd", ".nhdr"):
        return f"{case}.nrrd"
    return f"{case}.nii.gz"


def names_of(image: Names) -> list[str | Path]:
    """The files of an image: one, or several that are its channels."""
    return [image] if isinstance(image, str | Path) else list(image)


def first_name(image: Names) -> str | Path:
    """The file that tells an image's format and grid: the image itself, or the first of its channels."""
    return names_of(image)[0]
