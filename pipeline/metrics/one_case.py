"""One pair of mask files: read, checked against each other and scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.metrics.affected import Grid
from pipeline.metrics.cases import CaseScore, score_case
from pipeline.metrics.empty import EmptyPolicy
from pipeline.metrics.labels import Labels, compact
from pipeline.metrics.lesions import LesionScore, score_lesions
from pipeline.metrics.masks import Mask, grid_fault, lost_pixdim, read_pred, read_truth
from pipeline.metrics.overlap import ForeignLabels
from pipeline.metrics.surface import HausdorffDefinition

LOST_PIXDIM = "carries the truth's affine but not its pixdim: measured with the truth's spacing"


@dataclass(frozen=True)
class Options:
    """What is the same for all cases; see `pipeline.metrics.scoring.score_cases`."""

    labels: dict[str, int | list[int]]
    policy: EmptyPolicy
    definition: HausdorffDefinition
    check_grid: bool
    lesions: dict[str, str | None]


@dataclass
class Outcome:
    """What came of one case: its scores, or the problems that stood in the way."""

    score: CaseScore | None = None
    lesions: LesionScore = field(default_factory=LesionScore)
    problems: list[Problem] = field(default_factory=list)
    warning: str = ""
    has_geometry: bool = True


def score_files(case: Mapping[str, Any], *, options: Options) -> Outcome:
    """Score the files "label" and "pred" of a case; never raises DataError, whose problems the outcome holds."""
    try:
        truth, pred, problems = _read_pair(case, options)
    except DataError as error:
        return Outcome(problems=error.problems)
    if problems:
        return Outcome(problems=problems)
    warning = f"{pred.file} {LOST_PIXDIM}" if options.check_grid and lost_pixdim(pred, truth) else ""
    score = score_case(
        pred.array,
        truth.array,
        truth.spacing,
        options.labels,
        policy=options.policy,
        definition=options.definition,
    )
    grid = Grid(truth.spacing, truth.affine, truth.has_geometry)
    lesions = score_lesions(pred.array, truth.array, grid, options.labels, options.lesions)
    return Outcome(score, lesions, warning=warning, has_geometry=truth.has_geometry)


def _read_pair(case: Mapping[str, Any], options: Options) -> tuple[Mask, Mask, list[Problem]]:
    """Truth, prediction (all background where there is none), and what is wrong with either."""
    masks, problems = [], []
    reads = [lambda: read_truth(case, options.labels)]
    if case.get("pred"):
        reads.append(lambda: read_pred(case["pred"], options.labels))
    for read in reads:
        try:
            masks.append(read())
            problems += _foreign_labels(masks[-1], options.labels)
        except DataError as error:
            problems += error.problems
    if len(masks) < len(reads):
        raise DataError(problems)
    truth = masks[0]
    if not case.get("pred"):
        nothing = np.zeros(truth.array.shape, np.uint8)
        return truth, replace(truth, file="", array=nothing), problems
    fault = grid_fault(masks[1], truth)
    if fault and (options.check_grid or truth.array.shape != masks[1].array.shape):
        problems.append(fault)
    return truth, masks[1], problems


def _foreign_labels(mask: Mask, labels: Labels) -> list[Problem]:
    try:
        compact(mask.array, labels)
    except ForeignLabels as error:
        remedy = "Name every label of the masks, for example 1=RV,2=MYO,3=LV"
        return [Problem(mask.file, f"labels {error.expected}", error.found, remedy)]
    return []
