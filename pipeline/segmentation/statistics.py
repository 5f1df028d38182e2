"""How much of each structure a mask holds, lesion by lesion where asked, and the share of each lung they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import read_entry, read_json
from pipeline.segmentation.workplace import write_json
from pipeline.structures import Labels, count_voxels, members, numbers_of
from pipeline.volumes import affine, first_name, has_geometry, read_mask, slice_axis, spacing, trimmed
from pipeline.volumes.cine import heart_cycle

STATISTICS = "statistics.json"
NOTES = [
    "ml: number of voxels times the voxel's volume, spacing from the image's header (NIfTI: pixdim).",
    "percent: share of the picture, where an image does not say how large its pixels are (ml is null).",
    "touches_border: the structure reaches the edge of a slice, so part of it may lie outside the image.",
    "lesions: connected components (26 neighbours, 8 in a slice), largest first; affected: lesion volume in percent of"
    " the organ's, its lesions included, by the patient's side. null: not known, the reason beside it.",
    "Research use only: volumes of predicted masks, not a medical device.",
]
NO_MILLIMETRES = "the picture does not say how large its pixels are"
NO_ORGAN = "the organ that holds it is not segmented"


def measure(
    mask: str | Path,
    image: str | Path | Sequence[str | Path],
    labels: Labels,
    *,
    lesions: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Sizes of the structures in a mask.

    Args:
        mask: a label map on the image's grid, 3D, or 4D with time last.
        image: tells the spacing (of several channels, the first).
        labels: structure -> number, or numbers where structures overlap.
        lesions: structures to be told lesion by lesion, with the organ that holds each (or None), for example
            {"infection": "lungs"}.

    Returns:
        spacing_mm, voxel_ml, and "structures": {name: {"ml", "voxels", "touches_border"}}; for a 4D mask instead
        "frames": [{"frame", "structures"}] and "cycle" (see `pipeline.volumes.cine.heart_cycle`). An absent structure
        has 0 ml. With `lesions` also "lesions": {name: {"count", "ml" (of each), "organ", "organ_ml",
        "affected_percent" (both, left and right), "reason"}}. Of a picture without millimetres "percent" (of the
        picture) in place of "ml", which is None, and "reason".

    Raises:
        DataError: a file that cannot be read, or no positive spacing; lesions that are no structures.
    """
    image = first_name(image)
    distances = spacing(image)
    values = read_mask(mask)
    values = values.reshape(trimmed((*values.shape, *(1,) * (3 - values.ndim))))
    across = slice_axis(distances, values.shape)
    measured = has_geometry(image)
    voxel_ml = float(np.prod(distances)) / 1000 if measured else None
    if measured:
        grid: dict[str, Any] = {"spacing_mm": [round(n, 6) for n in distances], "voxel_ml": round(voxel_ml, 9)}
    else:
        grid = {"spacing_mm": None, "voxel_ml": None, "reason": NO_MILLIMETRES}

    def frame(values: np.ndarray) -> dict[str, Any]:
        found = {"structures": _structures(values, voxel_ml, labels, across)}
        return found | ({"lesions": _lesions(values, image, labels, lesions)} if lesions else {})

    if values.ndim < 4:
        return grid | frame(values)
    frames = [frame(values[..., i]) for i in range(values.shape[3])]
    volumes = [{name: size["ml"] for name, size in found["structures"].items()} for found in frames]
    return grid | {
        "frames": [{"frame": i + 1, **found} for i, found in enumerate(frames)],
        "cycle": heart_cycle(volumes),
    }


def read_statistics(path: str | Path) -> dict[str, Any]:
    """The cases of a statistics.json, none where there is no such file; raises DataError where it is unreadable."""
    return read_entry(path, "cases", dict) if Path(path).is_file() else {}


def save_statistics(
    path: str | Path, cases: Mapping[str, Any], labels: Labels, *, by_way_of: str | Path | None = None
) -> Path:
    """Write statistics.json, replacing the entries of these cases and keeping those of others."""
    path = Path(path)
    every = read_statistics(path) | dict(cases)
    content = {"version": 1, "unit": "ml", "notes": NOTES, "labels": dict(labels), "cases": every}
    return write_json(path, content, by_way_of=by_way_of)


def forget_statistics(path: str | Path, cases: Iterable[str], *, by_way_of: str | Path | None = None) -> None:
    """Take the entries of these cases out of statistics.json, where there is one."""
    found = read_statistics(path)
    if stale := set(cases) & set(found):
        content = read_json(path)
        content["cases"] = {case: entry for case, entry in found.items() if case not in stale}
        write_json(path, content, by_way_of=by_way_of)


def _structures(values: np.ndarray, voxel_ml: float | None, labels: Labels, across: int) -> dict[str, Any]:
    counts = count_voxels(values, 256)
    edges = [np.moveaxis(values, axis, 0)[end].ravel() for axis in {0, 1, 2} - {across} for end in (0, -1)]
    on_edge = set(np.unique(np.concatenate(edges)).tolist())
    found = {}
    for name, numbers in numbers_of(labels).items():
        voxels = int(counts[list(numbers)].sum())
        percent = round(100 * voxels / values.size, 4)
        size = {"ml": round(voxels * voxel_ml, 4)} if voxel_ml else {"ml": None, "percent": percent}
        found[name] = {**size, "voxels": voxels, "touches_border": not on_edge.isdisjoint(numbers)}
    return found


def _lesions(
    values: np.ndarray, image: str | Path, labels: Labels, lesions: Mapping[str, str | None]
) -> dict[str, Any]:
    from pipeline.metrics.affected import Grid
    from pipeline.metrics.lesions import check_lesions, components

    grid = Grid(spacing(image), affine(image), has_geometry(image))
    unit, voxel = grid.unit(), grid.voxel(values.shape)
    numbers = numbers_of(labels)
    found = {}
    for name, organ in check_lesions(lesions, labels).items():
        lesion = members(values, numbers[name])
        sizes = components(lesion)[1].tolist()
        told = {"count": len(sizes), unit: [round(n * voxel, 4) for n in sizes], "organ": lesions[name]}
        found[name] = told | _shares(lesion, members(values, numbers[organ]) if organ else None, grid, str(organ))
    return found


def _shares(lesion: np.ndarray, organ: np.ndarray | None, grid: Any, name: str) -> dict[str, Any]:
    from pipeline.metrics.affected import affected

    shares = affected(lesion, organ, grid, name=name) if organ is not None else {"reason": NO_ORGAN}

    def told(key: str) -> dict[str, float | None]:
        known = {side: shares.get(side) for side in ("both", "left", "right")}
        return {side: round(share[key], 4) if share else None for side, share in known.items()}

    return {
        f"organ_{grid.unit()}": told("size"),
        "affected_percent": told("percent"),
        "reason": shares["reason"] or None,
    }
