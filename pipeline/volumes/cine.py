"""A cine series in one 4D file: taken apart into frames, and put together again as one 4D mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.volumes import read_mask, write_mask
from pipeline.volumes.nifti import load_nifti, read_nifti

LV = "LV"
NOTE = (
    "Derived from the predicted LV volumes of all frames: ED is the largest, ES the smallest. "
    "Nobody has annotated these frames."
)


def split_frames(path: str | Path, folder: str | Path, case: str) -> Iterator[dict[str, str]]:
    """Write the frames of a NIfTI file one after the other as 3D files with its exact grid.

    Args:
        path: a NIfTI file (X, Y, Z, T); (X, Y) and (X, Y, Z) count as one frame.
        folder: where the frames are written, each when it is asked for.
        case: the name of the series.

    Yields:
        {"image": path, "case": "CASE_frameNN"}, numbered from 1 as ACDC's files are.
    """
    series = load_nifti(path)
    voxels = read_nifti(path, series)
    voxels = voxels.reshape(*voxels.shape[:3], *(1,) * (3 - voxels.ndim), -1)
    for index in range(voxels.shape[-1]):
        frame = type(series)(voxels[..., index], None, series.header)
        frame.header.set_data_dtype(voxels.dtype)
        frame.header.set_slope_inter(1, 0)
        if len(series.shape) < 3:
            frame.header["pixdim"][3] = max(frame.header["pixdim"][1:3])  # a 2D file says nothing of it
        name = f"{case}_frame{index + 1:02d}"
        target = Path(folder) / f"{name}.nii.gz"
        frame.to_filename(target)
        yield {"image": str(target), "case": name}


def join_masks(masks: Sequence[str | Path], like: str | Path, output: str | Path) -> Path:
    """Write the masks of all frames, in order, as one mask with the series' exact header; raises as `write_mask`."""
    frames = [read_mask(mask) for mask in masks]
    joined = np.stack(frames, axis=-1) if len(frames) > 1 else frames[0]
    return write_mask(joined, like, output)


def heart_cycle(frames: Sequence[Mapping[str, float]]) -> dict[str, Any] | None:
    """End-diastole, end-systole and ejection fraction of the LV from its volume in each frame.

    Args:
        frames: ml per structure, one mapping for each frame.

    Returns:
        frame numbers (from 1), volumes in ml and EF in percent (None for an empty ventricle), marked as derived; None
        where no structure is called LV.
    """
    if not frames or LV not in frames[0]:
        return None
    curve = [frame[LV] for frame in frames]
    ed, es = int(np.argmax(curve)), int(np.argmin(curve))
    fraction = round(100 * (curve[ed] - curve[es]) / curve[ed], 2) if curve[ed] > 0 else None
    return {
        "ED_frame": ed + 1,
        "ES_frame": es + 1,
        "LV_EDV_ml": curve[ed],
        "LV_ESV_ml": curve[es],
        "LV_EF_percent": fraction,
        "derived": True,
        "note": NOTE,
    }
