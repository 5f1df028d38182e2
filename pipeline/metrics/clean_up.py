"""Whether taking away small components pays: the Dice of finished masks with and without it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.files import write_text
from pipeline.metrics import overlap
from pipeline.metrics.files import records
from pipeline.metrics.labels import Labels, compact, members_of, structures_of
from pipeline.metrics.masks import read_pred, read_truth
from pipeline.metrics.pairing import pair_folders
from pipeline.metrics.surface import bounding_box
from pipeline.structures import remove_small_components

SIZES = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # ml, or thousands of pixels
NAME = "clean_up.json"
logger = logging.getLogger("pipeline")


def compare_folders(
    pred_dir: str | Path, truth: str | Path, out: str | Path, *, labels: Labels, overwrite: bool = False, **chosen: Any
) -> float:
    """Pair (`pair_folders`, which takes the other options) and compare (`compare_clean_up`); raises as those two."""
    cases, _ = pair_folders(pred_dir, truth, labels=labels, **chosen)
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
    labels = structures_of(labels)
    predicted = [case for case in cases if case.get("pred")]
    dice = pd.DataFrame([row for case in predicted for row in _case(case, labels, sizes)], columns=list(labels))
    means = dice.groupby(sizes * len(predicted)).mean()
    known = means.fillna(0)
    keep = float(known[(known >= known.iloc[0]).all(axis=1)].mean(axis=1).idxmax())
    rows = [{"min_component": size, "dice": row} for size, row in zip(sizes, records(means), strict=True)]
    content = {"unit": "ml, or 1000 pixels where spacing is unknown", "cases": len(predicted), "sizes": rows}
    write_text(Path(out) / NAME, json.dumps({**content, "keep": keep}, indent=2) + "\n", overwrite=overwrite)
    logger.info("removing small components: %s", f"min_component {keep:g} may be kept" if keep else "none pays")
    return keep


def _case(case: Mapping[str, Any], labels: Labels, sizes: Sequence[float]) -> Iterator[np.ndarray]:
    """For each size the Dice of each structure without what is smaller; NaN where neither mask holds it."""
    truth, pred = read_truth(case, labels), read_pred(case["pred"], labels)
    box = bounding_box((truth.array > 0) | (pred.array > 0))  # beyond it all is background
    wanted, predicted = compact(truth.array[box], labels), pred.array[box]
    members = members_of(labels)
    voxel_ml = math.prod(truth.spacing) / 1000
    for size in sizes:
        fewest = math.ceil(size / voxel_ml)
        mask = remove_small_components(predicted, labels, fewest) if fewest > 1 and predicted.size else predicted
        counts = overlap.confusion(compact(mask, labels), wanted, members.shape[1])
        yield overlap.dice(counts, members)
