"""A whole chest CT segmented, each side in its own process: time and peak memory against MONAI's stock classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.child import Outcome, in_child
from benchmarks.comparison import Row
from benchmarks.setting import COVID19, Setting

SLICES = 300
TARGET, MEMORY_TARGET = 5.0, 0.25
ROUNDS = 2


def rows(setting: Setting) -> list[Row]:
    """One row for time, one for memory."""
    scan = write_scan(setting)
    theirs: list[Outcome] = []
    ours: list[Outcome] = []
    common = {"image": str(scan), "weights": str(setting.covid19_weights)}
    for number in range(1 if setting.quick else ROUNDS):
        ours.append(in_child("benchmarks.ct:by_bundle", out=str(setting.work / f"ours{number}"), **common))
        theirs.append(in_child("benchmarks.ct:by_stock", out=str(setting.work / f"stock{number}"), **common))
    what = f"a {' x '.join(map(str, shape_of(scan)))} CT, body found first"
    against = "MONAI's stock arrangement"
    accuracy = _accuracy(setting, ours[0].result, theirs[0].result) if setting.ct_weights else "untrained network"
    memory = [a.peak_mb / b.peak_mb for a, b in zip(ours, theirs, strict=True)]
    return [
        Row("ct_time", f"{what}: time", against, "gain",
            [b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True)], target=TARGET,
            seconds=(ours[0].seconds, theirs[0].seconds), accuracy=accuracy,
            note="first call in a fresh process, without imports; the infections of a phantom"),
        Row("ct_memory", f"{what}: peak memory of the process", against, "cost", memory, target=MEMORY_TARGET,
            accuracy=accuracy, note="; ".join(
                f"{name} {o.peak_mb:.0f} MB, of which {o.before_mb:.0f} MB are imports and the network"
                for name, o in (("ours", ours[0]), ("theirs", theirs[0])))),
    ]  # fmt: skip


def by_bundle(image: str, weights: str, out: str, **overrides: Any) -> Callable[[], str]:
    """bundles/covid19 as it stands."""
    from benchmarks.ours import Segmenter

    segmenter = Segmenter(COVID19, Path(weights), Path(out), **overrides)
    return lambda: str(segmenter({"image": image, "case": "scan"}))


def by_stock(image: str, weights: str, out: str) -> Callable[[], str]:
    """MONAI's stock arrangement with the same network."""
    from benchmarks.monai_stock import StockMonai

    segmenter = StockMonai(COVID19, Path(weights), Path(out))
    return lambda: str(segmenter({"image": image}))


def write_scan(setting: Setting, key: str = "image") -> Path:
    """A phantom of 512 x 512 x 300 voxels, with --quick a small one; `key` "label" writes its truth."""
    import nibabel as nib

    scan = nib.load(setting.chest[key])
    middle = max(0, (scan.shape[2] - SLICES) // 2)
    path = setting.work / f"{key}.nii.gz"
    nib.save(scan.slicer[:, :, middle : middle + SLICES], path)
    return path


def shape_of(path: Path) -> tuple[int, ...]:
    """Voxels along each axis of a file."""
    from pipeline.volumes import shape

    return shape(path)


def agreement_of(ours: str, theirs: str, *, above: int = 0) -> float:
    """Dice between two masks of one structure; 1 where both are empty. In the second, those above `above` count."""
    from pipeline.volumes import read_mask

    a, b = read_mask(ours) > 0, read_mask(theirs) > above
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2 * int(np.count_nonzero(a & b)) / total if total else 1.0


def _accuracy(setting: Setting, ours: str, theirs: str) -> str:
    """Dice of both against the phantom's infections, and between both."""
    truth = str(write_scan(setting, "label"))
    below = max(setting.chest["structures"]["infection"]) - 1
    against = [agreement_of(mask, truth, above=below) for mask in (ours, theirs)]
    return f"Dice {against[0]:.4f} / {against[1]:.4f}, between both masks {agreement_of(ours, theirs):.4f}"
