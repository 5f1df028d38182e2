"""Whether taking away small components pays: the Dice of finished masks with and without it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.files import write_text
from pipeline.metrics.labels import Labels
from pipeline.metrics.masks import read_pred, read_truth
from pipeline.metrics.pairing import pair_folders
from pipeline.metrics.surface import bounding_box
from pipeline.structures import numbers_of, remove_small_components, structure_masks

SIZES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # ml, or thousands of pixels
NAME = "clean_up.json"
logger = logging.getLogger("pipeline")


def compare_folders(
    pred_dir: str | Path,
    truth: str | Path,
    out: str | Path,
    *,
    labels: Labels,
    dataset_dir: str | Path | None = None,
    section: Literal["training", "testing"] = "training",
    fold: int | None = None,
    overwrite: bool = False,
) -> float:
    """Pair (`pair_folders`) and compare (`compare_clean_up`); raises as those two."""
    cases, _ = pair_folders(pred_dir, truth, dataset_dir=dataset_dir, section=section, fold=fold, labels=labels)
    return compare_clean_up(cases, labels, out, overwrite=overwrite)


def compare_clean_up(
    cases: Sequence[Mapping[str, Any]],
    labels: Labels,
    out: str | Path,
    *,
    sizes: Sequence[float] = SIZES,
    overwrite: bool = False,
) -> float:
    """Score masks again after components below each size were removed, and say which size may be kept.

    Kept is the size with the best mean Dice among those with which no structure's mean Dice falls; 0 where every size
    loses. Choose on validation cases of training folds, never on the cases that are reported.

    Args:
        cases: as `pipeline.metrics.score_cases` takes them; cases without a prediction are left out.
        labels: name -> number or numbers.
        out: the folder that clean_up.json goes to: {"unit", "sizes": [{"min_component", "dice": {structure: mean}}],
            "keep"}.
        sizes: in ml (1000 pixels where there are no millimetres); 0 is always among them.
        overwrite: replace an existing file.

    Returns:
        the size to keep, the value for the bundles' key `min_component`.

    Raises:
        DataError: a mask cannot be read, or the file exists.
    """
    sizes = sorted({0.0, *map(float, sizes)})
    predicted = [case for case in cases if case.get("pred")]
    dice = np.array([_case(case, labels, sizes) for case in predicted]).reshape(-1, len(sizes), len(numbers_of(labels)))
    means = [[_mean(dice[:, size, structure]) for structure in range(dice.shape[2])] for size in range(len(sizes))]
    keep = sizes[_best(np.array(means, float))]
    rows = [
        {"min_component": size, "dice": dict(zip(numbers_of(labels), row, strict=True))}
        for size, row in zip(sizes, means, strict=True)
    ]
    content = {"unit": "ml, or 1000 pixels where spacing is unknown", "cases": len(predicted), "sizes": rows}
    write_text(Path(out) / NAME, json.dumps({**content, "keep": keep}, indent=2) + "\n", overwrite=overwrite)
    logger.info("removing small components: %s", f"min_component {keep:g} may be kept" if keep else "none pays")
    return keep


def _case(case: Mapping[str, Any], labels: Labels, sizes: Sequence[float]) -> list[list[float]]:
    """Dice of each structure at each size; NaN where neither mask holds it."""
    truth, pred = read_truth(case, labels), read_pred(case["pred"], labels)
    box = bounding_box((truth.array > 0) | (pred.array > 0))  # beyond it all is background
    wanted, predicted = structure_masks(truth.array[box], labels), pred.array[box]
    voxel_ml = math.prod(truth.spacing) / 1000
    rows = []
    for size in sizes:
        fewest = math.ceil(size / voxel_ml)
        mask = remove_small_components(predicted, labels, fewest) if fewest > 1 and predicted.size else predicted
        found = structure_masks(mask, labels)
        rows.append([_dice(one, other) for one, other in zip(wanted, found, strict=True)])
    return rows


def _dice(truth: np.ndarray, pred: np.ndarray) -> float:
    total = int(truth.sum()) + int(pred.sum())
    return 2 * int((truth & pred).sum()) / total if total else math.nan


def _mean(values: np.ndarray) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None


def _best(means: np.ndarray) -> int:
    """The row with the best mean among those in which no column is below the first row's."""
    first = np.nan_to_num(means[0])
    safe = [row for row in range(len(means)) if (np.nan_to_num(means[row]) >= first).all()]
    return max(safe, key=lambda row: (np.nan_to_num(means[row]).mean(), -row))
