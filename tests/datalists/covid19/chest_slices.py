"""Small CT slices and raw COVID-19 folders for tests: every patient has vessels, greys and grain of his own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from scipy import ndimage

RADIOPAEDIA = ("4_85506_1", "7_85703_0", "10_85902_1", "10_85902_3", "14_85914_0")
RADIOPAEDIA += ("27_86410_0", "29_86490_1", "29_86491_1", "36_86526_0", "40_86625_0")
TWENTY = [f"coronacases_{number:03d}" for number in range(1, 11)] + [f"radiopaedia_{name}" for name in RADIOPAEDIA]


def lungs(patient: int, *, size: tuple[int, int] = (120, 140)) -> np.ndarray:
    """A slice cropped to the lungs, grey levels 0 to 255: an ellipse with blobs of the patient's own in it."""
    random = np.random.default_rng(patient)
    tissue, lung, grain = 190 + 5 * (patient % 10), 15 + 10 * (patient % 7), 1 + 2 * (patient % 5)
    blobs = ndimage.gaussian_filter(random.normal(size=size), 6)
    rows, columns = (np.linspace(-1, 1, length) for length in size)
    radius = np.hypot(rows[:, None], columns[None, :])
    inside = ((blobs < 0.3 * blobs.std()) & (radius < 1)) | (abs(radius - 0.97) < 0.04)
    picture = np.where(inside, lung, tissue)
    return np.clip(picture + random.normal(0, grain, size), 0, 255).round()


def whole_slice(patient: int, *, margin: int = 40) -> np.ndarray:
    """The same slice in Hounsfield units, with chest wall and air around the lungs."""
    inner = lungs(patient)
    height, width = (length + 2 * margin for length in inner.shape)
    rows, columns = np.ogrid[:height, :width]
    body = ((rows - height / 2) / (height / 2 - 4)) ** 6 + ((columns - width / 2) / (width / 2 - 4)) ** 6 < 1
    picture = np.where(body, 215.0, 3.0)
    picture[margin:-margin, margin:-margin] = inner
    return picture * 1500 / 255 - 1250


def write_nifti(path: Path, voxels: np.ndarray | None = None) -> Path:
    """A NIfTI volume, of zeros if nothing is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.zeros((2, 2, 2), np.int16) if voxels is None else np.asarray(voxels, np.int16)
    nib.Nifti1Image(voxels, np.eye(4)).to_filename(path)
    return path


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """A PNG or JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def touch(root: Path, names: Iterable[str]) -> Path:
    """Empty files: enough for layouts that are recognised by their names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def ct_seg(
    root: Path,
    cases: Iterable[str] = TWENTY,
    folders: Iterable[str] = ("Infection_Mask", "Lung_Mask", "Lung_and_Infection_Mask"),
) -> Path:
    """COVID-19-CT-Seg: scans and the folders of masks beside them."""
    cases = list(cases)
    return touch(root, (f"{f}/{case}.nii.gz" for f in ("COVID-19-CT-Seg_20cases", *folders) for case in cases))


def semiseg(root: Path, patients: dict[str, int], part: str = "TrainingSet/LungInfection-Train/Doctor-label") -> Path:
    """COVID-SemiSeg: a picture and a mask for each stem, showing the given patient."""
    for stem, patient in patients.items():
        picture = lungs(patient)
        write_picture(root / "Dataset" / part / "Imgs" / f"{stem}.jpg", picture)
        write_picture(root / "Dataset" / part / "GT" / f"{stem}.png", np.where(picture > 140, 255, 0))
    return root
