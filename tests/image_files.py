"""Small image files for tests: one volume in every format, and headers as ACDC has them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK


def acdc_like(path: Path, voxels: np.ndarray, spacing: tuple[float, float, float] = (1.5, 1.25, 10.0)) -> Path:
    """A NIfTI file whose affine says 1 mm (sform code 2, qform code 0) and whose pixdim holds the truth."""
    image = nib.Nifti1Image(voxels, None)
    image.header.set_sform(np.diag([-1.0, -1.0, 1.0, 1.0]), code=2)
    image.header["pixdim"][1:4] = spacing
    image.header["quatern_d"] = 1
    image.to_filename(path)
    return path


def oblique_affine(spacing: tuple[float, float, float] = (1.5, 1.25, 8.0)) -> np.ndarray:
    """RAS affine of a volume turned about two axes, first axis mirrored."""
    a, b = 0.4, -0.25
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ np.diag([-1, 1, 1]) @ np.diag(spacing)
    affine[:3, 3] = (-12.5, 31.0, 7.25)
    return affine


def itk_image(voxels: np.ndarray, affine: np.ndarray) -> SimpleITK.Image:
    """The SimpleITK image of an array (X, Y, Z) and its RAS affine, written out from the definitions."""
    lps = np.diag([-1, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    return image


def dicom_series(folder: Path, voxels: np.ndarray, affine: np.ndarray, *, uid: str = "1.2.3.1") -> Path:
    """One DICOM file per slice, named against the slices' order; voxels int16 (X, Y, Z), right-handed affine."""
    folder.mkdir(parents=True, exist_ok=True)
    image = itk_image(voxels, affine)
    direction = np.reshape(image.GetDirection(), (3, 3))
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    count = voxels.shape[2]
    for index in range(count):
        part = image[:, :, index]
        position = image.TransformIndexToPhysicalPoint((0, 0, index))
        tags = {
            "0008|0060": "MR",
            "0008|0018": f"{uid}.{index}",
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0020|0013": str(index),
            "0020|0032": "\\".join(f"{value:.9g}" for value in position),
            "0020|0037": "\\".join(f"{value:.9g}" for value in direction.T[:2].ravel()),
            "0018|0050": f"{image.GetSpacing()[2]:g}",
        }
        for tag, value in tags.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid}_{count - index:03d}.dcm"))
        writer.Execute(part)
    return folder
