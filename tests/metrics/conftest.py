"""Small mask files with ACDC's names, written where a test wants them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

SPACING = (2.0, 1.0, 10.0)


def _heart(shift: int = 0) -> np.ndarray:
    """Three bars of 4 voxels (RV, MYO, LV) in slice 1 of 2, moved by `shift` along x: Dice is 1 - shift / 4."""
    labels = np.zeros((12, 6, 2), np.uint8)
    for number, column in ((1, 0), (2, 2), (3, 4)):
        labels[shift : 4 + shift, column, 1] = number
    return labels


@pytest.fixture
def heart() -> Callable[..., np.ndarray]:
    """heart(shift): the label map of `_heart`."""
    return _heart


@pytest.fixture
def save_mask() -> Callable[..., Path]:
    """save_mask(path, labels) writes a NIfTI mask with 2 x 1 x 10 mm; its folder is made."""

    def save(path: Path, labels: np.ndarray, *, affine: np.ndarray | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        grid = np.diag([*SPACING, 1.0]) if affine is None else affine
        nib.save(nib.Nifti1Image(labels, grid), path)
        return path

    return save


@pytest.fixture
def acdc_truth(tmp_path: Path, save_mask: Callable[..., Path]) -> Path:
    """Two patients in ACDC's layout, images and labels at ED (frame 1) and ES (frame 7)."""
    root = tmp_path / "truth"
    for patient, group in (("patient001", "DCM"), ("patient002", "NOR")):
        folder = root / "training" / patient
        for frame in (1, 7):
            save_mask(folder / f"{patient}_frame{frame:02d}.nii.gz", _heart())
            save_mask(folder / f"{patient}_frame{frame:02d}_gt.nii.gz", _heart())
        (folder / "Info.cfg").write_text(f"ED: 1\nES: 7\nGroup: {group}\nHeight: 170.0\nNbFrame: 9\nWeight: 70.0\n")
    return root
