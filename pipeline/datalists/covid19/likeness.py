"""Cases that show one patient under different names, found by what their images show."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalists import near_duplicates
from pipeline.datalists.near_duplicates import Fingerprint
from pipeline.errors import DataError, Problem
from pipeline.volumes import is_picture

# MedSeg's nine scans and COVID-19-CT-Seg's radiopaedia cases come from the same pages of Radiopaedia.
SAME_PAGES = ("medseg", "radiopaedia")


def is_slice(item: dict[str, Any]) -> bool:
    """Whether a case is one slice: of a stack, or a picture."""
    return "slice" in item or is_picture(item["image"])


def find_near_duplicates(items: list[dict[str, Any]], root: Path) -> list[list[str]]:
    """Sets of cases that are taken to be of one patient, by `pipeline.datalists.near_duplicates.find`.

    Compared are all slices whose patient is not known, and scans of MedSeg with those of Radiopaedia by their middle.

    Args:
        items: training and testing, with paths relative to `root`.
    Returns:
        sets of two or more case names, sorted.
    Raises:
        DataError: the images that cannot be read.
    """
    slices = [item for item in items if is_slice(item)]
    scans = [item for item in items if item["group"] in SAME_PAGES]
    if len({item["group"] for item in scans}) < len(SAME_PAGES):
        scans = []
    prints, problems = _fingerprints(slices + scans, root)
    if problems:
        raise DataError(problems)
    groups = {item["case"]: item["group"] for item in items}
    found = near_duplicates.find({item["case"]: prints[item["case"]] for item in slices}, groups)
    alike = near_duplicates.find({item["case"]: prints[item["case"]] for item in scans}, groups, across_only=True)
    return sorted(found + alike)


def _fingerprints(items: list[dict[str, Any]], root: Path) -> tuple[dict[str, Fingerprint], list[Problem]]:
    from tqdm import tqdm

    prints: dict[str, Fingerprint] = {}
    problems = []
    progress = tqdm(items, desc="comparing slices", unit="slice", leave=False, disable=len(items) < 2)
    for image, cases in groupby(progress, key=itemgetter("image")):
        voxels = None
        try:
            for item in cases:
                voxels = _open(root / image, whole="slice" in item) if voxels is None else voxels
                prints[item["case"]] = near_duplicates.fingerprint(_middle(voxels, item.get("slice")))
        except Exception as error:  # a damaged file raises one of a dozen types
            found, remedy = f"unreadable ({type(error).__name__}: {error})", "Copy or unpack it again"
            problems.append(Problem(str(root / image), "a picture or a NIfTI volume", found, remedy))
    return prints, problems


def _open(path: Path, *, whole: bool) -> Any:
    if is_picture(path):
        from PIL import Image

        with Image.open(path) as picture:
            return np.asarray(picture.convert("L"))
    import nibabel as nib

    voxels = nib.load(path).dataobj
    return np.asarray(voxels, dtype=np.float32) if whole else voxels


def _middle(image: Any, index: int | None) -> np.ndarray:
    """One slice; of a scan the mean of the two in the middle (one, where their number is odd), whichever way is up."""
    if len(image.shape) == 2:
        return np.asarray(image)
    depth = image.shape[2]
    wanted = [index] if index is not None else sorted({(depth - 1) // 2, depth // 2})
    return np.mean([np.asarray(image[:, :, k], dtype=np.float32) for k in wanted], axis=0)
