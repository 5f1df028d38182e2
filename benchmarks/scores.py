"""Dice, HD95 and surface Dice of CT masks: this project's measures against medpy, MONAI and surface-distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.comparison import Row, Turns, compared, not_measured, take_turns
from benchmarks.setting import Setting
from pipeline.metrics.overlap import confusion, dice
from pipeline.metrics.surface import bounding_box, hausdorff, surface_dice, surface_distances

TOLERANCE_MM = 2.0
AGREEMENT = {"medpy": 1e-3, "monai": 1e-3}  # largest difference accepted as the same value
PAIRS, QUICK_PAIRS = 20, 2


@dataclass(frozen=True)
class Pair:
    """True and predicted masks (structures, X, Y, Z) as booleans, and the spacing in mm."""

    truth: np.ndarray
    pred: np.ndarray
    spacing: tuple[float, float, float]


Values = dict[str, list[float]]  # measure -> value of each structure


def rows(setting: Setting) -> list[Row]:
    """A row for each peer that is installed."""
    pairs = list(make_pairs(setting))
    size = " x ".join(map(str, pairs[0].truth.shape[1:]))
    what = f"scores of {len(pairs)} CT pairs ({size} and alike)"
    jobs: dict[str, Callable[[Pair], Values]] = {"ours": ours, "ours_monai": ours_as_monai, "monai": by_monai}
    jobs |= {name: job for name, job in (("medpy", by_medpy), ("surface", by_surface_distance)) if installed(job)}
    turns = take_turns(jobs, pairs, what="scores")
    found = []
    for name, own, against, target in (
        ("medpy", "ours", "medpy (Dice, HD95 pooled)", 10.0),
        ("monai", "ours_monai", f"MONAI (Dice, HD95, surface Dice at {TOLERANCE_MM:g} mm)", 2.0),
        ("surface", "ours", "surface-distance (Hausdorff; surfaces lie between voxels)", None),
    ):
        row = {"name": f"scores_{name}", "what": what, "against": against, "target": target}
        if name not in jobs:
            found.append(not_measured("not installed (make bench installs it)", kind="gain", **row))
        else:
            found.append(_compared(turns, own, name, row))
    return found


def ours(pair: Pair) -> Values:
    """Dice, HD95 by medpy's definition, Hausdorff distance."""
    found: Values = {"dice": [], "hd95": [], "hd": []}
    for pred, truth in zip(pair.pred, pair.truth, strict=True):
        found["dice"].append(float(dice(confusion(pred, truth, 2))[1]))
        distances = _distances(pred, truth, pair.spacing)
        found["hd95"].append(hausdorff(distances, percentile=95, definition="pooled"))
        found["hd"].append(hausdorff(distances))
    return found


def ours_as_monai(pair: Pair) -> Values:
    """Dice, HD95 by MONAI's definition, surface Dice."""
    found: Values = {"dice": [], "hd95": [], "surface_dice": []}
    for pred, truth in zip(pair.pred, pair.truth, strict=True):
        found["dice"].append(float(dice(confusion(pred, truth, 2))[1]))
        distances = _distances(pred, truth, pair.spacing)
        found["hd95"].append(hausdorff(distances, percentile=95))
        found["surface_dice"].append(surface_dice(distances, tolerance=TOLERANCE_MM))
    return found


def by_monai(pair: Pair) -> Values:
    """MONAI's functions on one-hot tensors."""
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

    pred, truth = (torch.from_numpy(masks)[None] for masks in (pair.pred, pair.truth))
    options = {"include_background": True, "spacing": pair.spacing}
    return {
        "dice": compute_dice(pred, truth, include_background=True)[0].tolist(),
        "hd95": compute_hausdorff_distance(pred, truth, percentile=95, **options)[0].tolist(),
        "surface_dice": compute_surface_dice(pred, truth, [TOLERANCE_MM] * len(pair.pred), **options)[0].tolist(),
    }


def by_medpy(pair: Pair) -> Values:
    """medpy's functions, one structure after the other."""
    from medpy.metric import binary

    masks = list(zip(pair.pred, pair.truth, strict=True))
    return {
        "dice": [float(binary.dc(pred, truth)) for pred, truth in masks],
        "hd95": [float(binary.hd95(pred, truth, voxelspacing=pair.spacing)) for pred, truth in masks],
    }


def by_surface_distance(pair: Pair) -> Values:
    """surface-distance's Hausdorff distance; its 95th percentile weighs by area, a third definition."""
    import surface_distance

    found = []
    for pred, truth in zip(pair.pred, pair.truth, strict=True):
        distances = surface_distance.compute_surface_distances(truth, pred, pair.spacing)
        found.append(float(surface_distance.compute_robust_hausdorff(distances, 100)))
    return {"hd": found}


def installed(job: Callable[[Pair], Values]) -> bool:
    """Whether a peer can be called at all."""
    ball = np.zeros((1, 9, 9, 9), bool)
    ball[0, 2:6, 2:6, 2:6] = True
    try:
        job(Pair(ball, ball, (1.0, 1.0, 1.0)))
    except ImportError:
        return False
    return True


def make_pairs(setting: Setting) -> Iterator[Pair]:
    """Lungs and infection of chest phantoms, each against itself moved a little and with small faults."""
    from pipeline.phantoms.covid19 import write

    folder = setting.work / "chests"
    listed = write(folder, layout="covid-19-ct-seg", patients=2 if setting.quick else 4,
                   size="small" if setting.quick else "full")  # fmt: skip
    generator = np.random.default_rng(0)
    items = listed["training"]
    for number in range(QUICK_PAIRS if setting.quick else PAIRS):
        yield _faulty(str(folder / items[number % len(items)]["label"]), generator)


def largest_difference(own: Values, theirs: Values) -> float:
    """Over the measures that both have and all structures."""
    return max(
        abs(a - b) for measure in own.keys() & theirs.keys() for a, b in zip(own[measure], theirs[measure], strict=True)
    )


def _faulty(path: str, generator: np.random.Generator) -> Pair:
    from scipy import ndimage

    from pipeline.volumes import read_mask, spacing

    labels = read_mask(path)
    truth = np.stack([labels > 0, labels == 3])
    shift = generator.integers(-3, 4, size=3) // (1, 1, 2)
    moved = np.roll(truth, shift, axis=(1, 2, 3))
    pred = np.stack([ndimage.binary_dilation(moved[0]), ndimage.binary_opening(moved[1]) | (moved[1] & truth[1])])
    truth, pred = np.ascontiguousarray(truth), np.ascontiguousarray(pred)  # one layout, as two files have
    return Pair(truth, pred, tuple(float(n) for n in spacing(path)))


def _distances(pred: np.ndarray, truth: np.ndarray, spacing: tuple[float, float, float]) -> Any:
    box = bounding_box(pred | truth)
    return surface_distances(pred[box], truth[box], spacing)


def _compared(turns: Turns, own: str, name: str, row: dict[str, Any]) -> Row:
    worst = max(map(largest_difference, turns.results[own], turns.results[name]))
    if name not in AGREEMENT:
        return compared(
            turns, own, name, kind="gain", accuracy=f"another definition, up to {worst:.1f} mm apart", **row
        )
    failed = [f"values differ by up to {worst:.3g}"] if worst > AGREEMENT[name] else []
    return compared(turns, own, name, kind="gain", accuracy=f"largest difference {worst:.1e}", failed=failed, **row)
