"""How many millilitres of each structure a mask holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import read_json, write_text
from pipeline.volumes import read_mask, slice_axis, spacing
from pipeline.volumes.cine import heart_cycle

NOTES = [
    "ml: number of voxels times the voxel's volume, spacing from the image's header (NIfTI: pixdim).",
    "touches_border: the structure reaches the edge of a slice, so part of it may lie outside the image.",
    "Research use only: volumes of predicted masks, not a medical device.",
]


def measure(mask: str | Path, image: str | Path, labels: Mapping[str, int]) -> dict[str, Any]:
    """Volumes of the structures in a mask.

    Args:
        mask: a label map on the image's grid, 3D, or 4D with time last.
        image: tells the spacing.
        labels: structure -> number.

    Returns:
        spacing_mm, voxel_ml, and "structures": {name: {"ml", "voxels", "touches_border"}}; for a 4D mask instead
        "frames": [{"frame", "structures"}] and "cycle" (see `pipeline.volumes.cine.heart_cycle`). An absent structure
        has 0 ml.

    Raises:
        DataError: a file that cannot be read, or no positive spacing.
    """
    distances = spacing(image)
    voxel_ml = float(np.prod(distances)) / 1000
    values = read_mask(mask)
    values = values.reshape(*values.shape, *(1,) * (3 - values.ndim))
    across = slice_axis(distances, values.shape)
    grid = {"spacing_mm": [round(value, 6) for value in distances], "voxel_ml": round(voxel_ml, 9)}
    if values.ndim < 4 or values.shape[3] == 1:
        return grid | {"structures": _structures(values, voxel_ml, labels, across)}
    frames = [_structures(values[..., i], voxel_ml, labels, across) for i in range(values.shape[3])]
    volumes = [{name: found["ml"] for name, found in frame.items()} for frame in frames]
    return grid | {
        "frames": [{"frame": i + 1, "structures": frame} for i, frame in enumerate(frames)],
        "cycle": heart_cycle(volumes),
    }


def save_statistics(path: str | Path, cases: Mapping[str, Any], labels: Mapping[str, int]) -> Path:
    """Write statistics.json, replacing the entries of these cases and keeping those of others."""
    before = read_json(path)["cases"] if Path(path).is_file() else {}
    content = {"version": 1, "unit": "ml", "notes": NOTES, "labels": dict(labels), "cases": {**before, **cases}}
    return write_text(path, json.dumps(content, indent=2) + "\n", overwrite=True)


def _structures(values: np.ndarray, voxel_ml: float, labels: Mapping[str, int], across: int) -> dict[str, Any]:
    counts = np.bincount(values.ravel(), minlength=256)
    edges = [values.take(end, axis=axis).ravel() for axis in {0, 1, 2} - {across} for end in (0, -1)]
    on_edge = set(np.unique(np.concatenate(edges)).tolist())
    return {
        name: {
            "ml": round(int(counts[number]) * voxel_ml, 4),
            "voxels": int(counts[number]),
            "touches_border": number in on_edge,
        }
        for name, number in labels.items()
    }
