"""One pair of mask files: read, checked against each other and scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.metrics.affected import Grid
from pipeline.metrics.cases import CaseScore, score_case
from pipeline.metrics.labels import Labels, compact
from pipeline.metrics.lesions import LesionScore, score_lesions
from pipeline.metrics.masks import Mask, grid_fault, lost_pixdim, read_pred, read_truth
from pipeline.metrics.overlap import ForeignLabels

LOST_PIXDIM = "carries the truth's affine but not its pixdim: measured with the truth's spacing"


@dataclass
class Outcome:
    """What came of one case: its scores, or the problems that stood in the way."""

    score: CaseScore | None = None
    lesions: LesionScore = field(default_factory=LesionScore)
    problems: list[Problem] = field(default_factory=list)
    warning: str = ""
    has_geometry: bool = True


def score_files(
    case: Mapping[str, Any], *, labels: Labels, lesions: Mapping[str, str | None], check_grid: bool
) -> Outcome:
    """Score the files "label" and "pred" of a case (all background where there is no "pred").

    Never raises DataError, whose problems the outcome holds; options as `pipeline.metrics.scoring.score_cases`.
    """
    outcome = Outcome()
    truth = _read(read_truth, case, labels, outcome.problems)
    pred = _read(read_pred, case["pred"], labels, outcome.problems) if case.get("pred") else None
    if truth and pred:
        fault = grid_fault(pred, truth)
        if fault and (check_grid or truth.shape != pred.shape):
            outcome.problems.append(fault)
        elif check_grid and lost_pixdim(pred, truth):
            outcome.warning = f"{pred.file} {LOST_PIXDIM}"
    if outcome.problems:
        return outcome
    found = pred.array if pred else np.zeros(truth.shape, np.uint8)
    grid = Grid(truth.spacing, truth.affine, truth.has_geometry)
    outcome.has_geometry = truth.has_geometry
    outcome.score = score_case(found, truth.array, truth.spacing, labels)
    outcome.lesions = score_lesions(found, truth.array, grid, labels, lesions)
    return outcome


def _read(read: Callable[..., Mask], source: Any, labels: Labels, problems: list[Problem]) -> Mask | None:
    """A mask, None where it cannot be read; what is wrong with it, foreign labels too, is added to the problems."""
    mask = None
    try:
        mask = read(source, labels)
        compact(mask.array, labels)
    except DataError as error:
        problems += error.problems
    except ForeignLabels as error:
        remedy = "Name every label of the masks, for example 1=RV,2=MYO,3=LV"
        problems.append(Problem(mask.file, f"labels {error.expected}", error.found, remedy))
    return mask
