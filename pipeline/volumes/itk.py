"""MetaImage, NRRD and DICOM series by SimpleITK, with one line for what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.volumes.dicom import read_series


def read_itk(path: str | Path) -> Any:
    """Read .mha, .mhd, .nrrd or the folder of one DICOM series as a SimpleITK image; raises DataError."""
    import SimpleITK

    if Path(path).is_dir():
        return read_series(path)
    try:
        return SimpleITK.ReadImage(str(path))
    except Exception as error:
        raise unreadable(path, error) from error


def itk_header(path: str | Path) -> Any:
    """Something with GetSize, GetSpacing, GetOrigin and GetDirection; of a file only the header is read."""
    import SimpleITK

    if Path(path).is_dir():
        return read_itk(path)
    reader = SimpleITK.ImageFileReader()
    try:
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
    except Exception as error:
        raise unreadable(path, error) from error
    return reader


def as_volume(image: Any, name: str | Path) -> Any:
    """The image itself if it has three axes, one slice of 1 mm for two axes; raises DataError for anything else."""
    import SimpleITK

    components = image.GetNumberOfComponentsPerPixel()
    if image.GetDimension() == 2 and components == 1:
        image = SimpleITK.JoinSeries([image], 0.0, 1.0)
    if image.GetDimension() != 3 or components != 1:
        found = f"{image.GetDimension()} axes and {components} values per voxel"
        remedy = "Split it into single volumes"
        raise DataError(Problem(str(name), "a volume with three axes and one value per voxel", found, remedy))
    return image


def affine_of(image: Any) -> np.ndarray:
    """The 4 x 4 matrix from voxel (X, Y, Z) to mm in RAS of a 3D SimpleITK image or reader (ITK's own space is LPS)."""
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    lps[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def unreadable(path: str | Path, error: Exception) -> DataError:
    """The problem of a file that a library failed to read: that it is not there, or the last line of what was said."""
    if not Path(path).exists():
        return DataError(Problem(str(path), "an image", "nothing of that name", "Check the path"))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    why = lines[-1] if lines else type(error).__name__
    if why.startswith("Cannot work out file type"):  # nibabel's, of what is cut off within the header, too
        why = "damaged, or of another kind"
    if why == "Reason: No such file or directory":  # ITK's words for voxels that end too early, or lie elsewhere
        why = "damaged or incomplete"
    return DataError(
        Problem(str(path), "a readable image", f"one that is not ({why[:160]})", "Copy or convert the file again")
    )
