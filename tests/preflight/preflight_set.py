"""A small good dataset for tests, and how to spoil its files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from pipeline.preflight import Result, check

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
SIZE = (12, 11, 5)
CASES = "abcdef"


def affine(spacing: tuple[float, float, float] = (1.5, 1.25, 8.0)) -> np.ndarray:
    """Turned by 0.3 about the third axis, off the origin."""
    matrix = np.eye(4)
    c, s = np.cos(0.3), np.sin(0.3)
    matrix[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(spacing)
    matrix[:3, 3] = (-20, 11.5, 40)
    return matrix


def image_of(case: str) -> np.ndarray:
    """Another noise for each case."""
    return np.random.default_rng(ord(case)).integers(0, 900, SIZE).astype(np.int16)


def label_of(case: str) -> np.ndarray:
    """Each structure 18 voxels or more, in another place for each case."""
    label = np.zeros(SIZE, np.uint8)
    shift = CASES.index(case)
    for number in (1, 2, 3):
        label[shift : shift + 4, 3 * number - 2 : 3 * number + 1, 1:4] = number
    return label


def save(path: Path, voxels: np.ndarray, matrix: np.ndarray | None = None) -> Path:
    """A NIfTI file with sform and pixdim that agree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(voxels, affine() if matrix is None else matrix).to_filename(path)
    return path


def good_set(root: Path) -> dict[str, Any]:
    """Six patients in three folds below `root`; returns their datalist."""
    training = []
    for index, case in enumerate(CASES):
        save(root / "images" / f"{case}.nii.gz", image_of(case))
        save(root / "labels" / f"{case}.nii.gz", label_of(case))
        entry = {"image": f"images/{case}.nii.gz", "label": f"labels/{case}.nii.gz"}
        training.append({**entry, "case": case, "patient": f"p{case}", "fold": index % 3})
    return {"name": "small", "labels": LABELS, "training": training, "testing": []}


def checked(root: Path, datalist: dict[str, Any], **options: Any) -> Result:
    """Write the list beside the data and check it."""
    (root / "datalist.json").write_text(json.dumps(datalist))
    return check(root / "datalist.json", progress=False, **options)


def edit_header(path: Path, change: Callable[[bytearray], None]) -> None:
    """Change bytes of a .nii.gz's header."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(bytes(content)))
