"""What no image may be, in the words of an error: its shape, its slices, the type and the range of its values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Fault = tuple[str, str, str]  # what was expected, what was found, the remedy
PLAUSIBLE_MM = (0.01, 50.0)
FLOAT32 = float(np.finfo(np.float32).max)  # networks compute in it


def shape_fault(shape: tuple[int, ...]) -> Fault | None:
    """Why a shape is none of an image."""
    found = "shape " + " x ".join(map(str, shape))
    if len(shape) > 1 and min(shape[:2]) < 2:
        return "at least two voxels along both in-plane axes", found, "Check the export"
    if not 2 <= len(shape) <= 4 or min(shape) < 1:
        return "a volume with three axes, or four with time", found, "Split it into single volumes"
    return None


def slice_fault(shape: tuple[int, ...], index: int | None) -> Fault | None:
    """Why an image has no such slice; with None there is nothing to fault."""
    if index is None or (len(shape) < 4 and 0 <= index < (*shape, 1)[2]):
        return None
    found = "shape " + " x ".join(map(str, shape))
    return f"a volume with a slice {index}, counted from 0", found, "Build the datalist again"


def spacing_fault(spacing: Sequence[float]) -> Fault | None:
    """Why distances between voxels cannot be meant in mm."""
    low, high = PLAUSIBLE_MM
    if all(low <= value <= high for value in spacing):
        return None
    found = " x ".join(f"{value:g}" for value in spacing) + " mm"
    remedy = "Look whether the header counts in metres or micrometres, and convert the file again"
    return f"voxels of {low:g} to {high:g} mm", found, remedy


def type_fault(dtype: np.dtype) -> Fault | None:
    """Why voxels of a type are none of an image or a mask."""
    if dtype.names or dtype.kind not in "iufb":
        kind = "colour" if dtype.names else str(dtype)
        return "one real number per voxel", f"{kind} voxels", "Convert it to a grey-scale volume"
    return None


def range_fault(low: float, high: float, bad: int) -> Fault | None:
    """What is wrong with an image of these values; `bad` is the number of voxels that are NaN or infinite."""
    if bad:
        return "finite intensities", f"{bad} voxels that are NaN or infinite", "Repair the file or leave it out"
    if max(abs(low), abs(high)) > FLOAT32:
        return "values that float32 can hold", f"{low:g} to {high:g}", "Repair the file or leave it out"
    if low == high:
        return "an image with contrast", f"the value {low:g} everywhere", "Check the export"
    return None
