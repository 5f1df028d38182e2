"""Score pairs of mask files: every problem of every file found before anything is reported."""

from __future__ import annotations

import logging
import math
import multiprocessing
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipeline import __version__
from pipeline.errors import DataError, Problem
from pipeline.metrics import empty
from pipeline.metrics.cases import DISTANCES, VOLUMES, CaseScore, definitions, score_case
from pipeline.metrics.empty import EmptyPolicy, MissingPolicy
from pipeline.metrics.files import SCORE_FILES, refuse_existing
from pipeline.metrics.labels import MEAN, Labels, compact, structures_of
from pipeline.metrics.masks import Mask, grid_fault, lost_pixdim, read_pred, read_truth
from pipeline.metrics.overlap import ForeignLabels
from pipeline.metrics.pairing import pair_folders
from pipeline.metrics.scores import Scores
from pipeline.metrics.surface import HausdorffDefinition

WHO = ("case", "patient", "phase", "group")
FILES = ("image", "label", "pred")
GRID = ("slice", "structures")  # how to read the label, where the datalist says so
LOST_PIXDIM = "carries the truth's affine but not its pixdim: measured with the truth's spacing"

logger = logging.getLogger("pipeline")


@dataclass(frozen=True)
class _Options:
    labels: dict[str, int | list[int]]
    policy: EmptyPolicy
    definition: HausdorffDefinition
    check_grid: bool


@dataclass
class _Outcome:
    score: CaseScore | None = None
    problems: list[Problem] = field(default_factory=list)
    warning: str = ""
    has_geometry: bool = True


def score_cases(
    cases: Sequence[Mapping[str, Any]],
    labels: Labels,
    *,
    missing: MissingPolicy | str = MissingPolicy.ZERO,
    policy: EmptyPolicy | str = EmptyPolicy.UNDEFINED,
    definition: HausdorffDefinition | str = HausdorffDefinition.MAX_DIRECTED,
    check_grid: bool = True,
    processes: int = 1,
    provenance: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Scores:
    """Score predicted masks against true ones, file by file.

    Args:
        cases: for each case "case" (its name), "label" (truth) and "pred" (prediction; None or absent where there is
            none); also, as far as known, "image", "patient", "phase", "group", "structures" and "slice" (see
            `pipeline.metrics.masks.read_truth`).
        labels: name -> number of each structure, or numbers where they overlap; background (0) may be among them.
        missing: what a case without a prediction counts for: an empty mask, or nothing ("skip").
        policy: Dice and IoU where a structure is in neither mask.
        definition: of HD95.
        check_grid: whether masks must lie within 0.1 mm of the truth's grid; shapes must agree in any case.
        processes: how many cases are scored at once.
        provenance: what else scores.json is to say of the origin (the datalist, the folders).
        progress: show a bar on stderr.

    Returns:
        The scores; spacing is the truth file's pixdim. Where no case has millimetres (pictures), distances are in
        pixels and `Scores.length_unit` is "px"; where only some have, distances and volumes of the others are
        undefined.

    Raises:
        DataError: no cases, no predictions at all, a name twice, unreadable files, different grids, unknown labels;
            all problems of all cases at once.
    """
    missing = MissingPolicy(missing)
    options = _Options(structures_of(labels), EmptyPolicy(policy), HausdorffDefinition(definition), check_grid)
    _check_list(cases)
    absent = [case["case"] for case in cases if not case.get("pred")]
    chosen = [case for case in cases if case.get("pred") or missing is MissingPolicy.ZERO]
    outcomes = list(_bar(_score_all(chosen, options, processes), total=len(chosen), shown=progress))
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    if problems:
        raise DataError(problems)
    warnings = [outcome.warning for outcome in outcomes if outcome.warning]
    unit, unmeasured = _lengths(chosen, outcomes)
    warnings += unmeasured
    _say(absent, warnings, missing)
    return Scores(
        cases=_table(chosen, [outcome.score.structures for outcome in outcomes]),
        slices=_table(chosen, [outcome.score.slices for outcome in outcomes]),
        labels=options.labels,
        length_unit=unit,
        definitions=definitions(options.definition, unit=unit),
        policy={**empty.describe(options.policy, missing), "hd95": options.definition.value},
        provenance={**_origin(), **(provenance or {}), "warnings": warnings},
        missing=absent,
        files=[_who(case) | _files(case) for case in cases],
    )


def score_folders(
    pred_dir: str | Path,
    truth: str | Path,
    out: str | Path,
    *,
    dataset_dir: str | Path | None = None,
    section: Literal["training", "testing"] = "training",
    fold: int | None = None,
    labels: Labels | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Scores:
    """Pair (`pair_folders`), score (`score_cases`, which takes the other options) and write (`Scores.write`).

    Raises:
        DataError: as those three; an output folder that holds scores is refused before anything is computed.
    """
    if not overwrite:
        refuse_existing(Path(out), SCORE_FILES)
    cases, structures = pair_folders(
        pred_dir, truth, dataset_dir=dataset_dir, section=section, fold=fold, labels=labels
    )
    origin = {"pred": _absolute(pred_dir), "truth": _absolute(truth), "section": section, "fold": fold}
    scores = score_cases(cases, structures, provenance=origin, **options)
    scores.write(out, overwrite=overwrite)
    return scores


def _check_list(cases: Sequence[Mapping[str, Any]]) -> None:
    remedy = "Name a folder of masks and a datalist or folder of true masks that belong together"
    if not any(case.get("pred") for case in cases):
        found = f"none for the {len(cases)} cases" if cases else "no cases"
        raise DataError(Problem("predictions", "at least one mask to score", found, remedy))
    counts = Counter(case["case"] for case in cases)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise DataError([Problem(name, "one case of this name", f"{counts[name]}", remedy) for name in twice])


def _score_all(cases: Sequence[Mapping[str, Any]], options: _Options, processes: int) -> Iterator[_Outcome]:
    """Outcomes in the order of the cases."""
    score = partial(_score_files, options=options)
    if processes <= 1 or len(cases) < 2:
        yield from map(score, cases)
        return
    # spawned, since forking a process that holds torch's threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(cases)), mp_context=context) as pool:
        yield from pool.map(score, cases, chunksize=4)


def _score_files(case: Mapping[str, Any], *, options: _Options) -> _Outcome:
    try:
        truth, pred, problems = _read_pair(case, options)
    except DataError as error:
        return _Outcome(problems=error.problems)
    if problems:
        return _Outcome(problems=problems)
    warning = f"{pred.file} {LOST_PIXDIM}" if options.check_grid and lost_pixdim(pred, truth) else ""
    score = score_case(
        pred.array,
        truth.array,
        truth.spacing,
        options.labels,
        policy=options.policy,
        definition=options.definition,
    )
    return _Outcome(score, warning=warning, has_geometry=truth.has_geometry)


def _read_pair(case: Mapping[str, Any], options: _Options) -> tuple[Mask, Mask, list[Problem]]:
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


def _lengths(cases: Sequence[Mapping[str, Any]], outcomes: Sequence[_Outcome]) -> tuple[str, list[str]]:
    """The unit of all distances; undefined from here on in cases that lack it, and a warning that names those."""
    pictures = [case["case"] for case, outcome in zip(cases, outcomes, strict=True) if not outcome.has_geometry]
    unit = "px" if pictures and len(pictures) == len(cases) else "mm"
    for outcome in (outcome for outcome in outcomes if not outcome.has_geometry):
        for row in outcome.score.structures:
            row |= dict.fromkeys(VOLUMES, math.nan if row["structure"] != MEAN else None)
            row |= dict.fromkeys(DISTANCES, math.nan) if unit == "mm" else {}
    if not pictures or unit == "px":
        return unit, []
    return unit, [f"no millimetres are known of {_first(pictures)}: distances and volumes of {len(pictures)} undefined"]


def _table(cases: Sequence[Mapping[str, Any]], rows: Iterable[list[dict[str, Any]]]) -> pd.DataFrame:
    table = pd.DataFrame([_who(case) | row for case, own in zip(cases, rows, strict=True) for row in own])
    counts = [column for column in ("slice", "truth_voxels", "pred_voxels") if column in table]
    sizes = [column for column in VOLUMES if column in table]
    return table.astype({**dict.fromkeys(counts, "Int64"), **dict.fromkeys(sizes, float)})


def _who(case: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(case.get(key) or "") for key in WHO}


def _files(case: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _absolute(case.get(key)) for key in FILES} | {key: case[key] for key in GRID if key in case}


def _absolute(path: Any) -> Any:
    """Paths of images may be lists of channels."""
    if isinstance(path, list | tuple):
        return [_absolute(part) for part in path]
    return str(Path(path).absolute()) if path else None


def _origin() -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"program": f"volseg {__version__}", "created": now, "command": shlex.join([*_program(), *sys.argv[1:]])}


def _program() -> list[str]:
    """What was typed to start this process, without the place that it is installed in."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return ["python", "-m", spec.parent] if spec is not None and spec.parent else [Path(sys.argv[0]).name]


def _say(absent: list[str], warnings: list[str], missing: MissingPolicy) -> None:
    if absent:
        counted = "scored as empty masks" if missing is MissingPolicy.ZERO else "left out"
        logger.warning("%d cases have no prediction (%s): %s", len(absent), counted, _first(absent))
    if warnings:
        logger.warning("%d: %s", len(warnings), _first(warnings))


def _first(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _bar(outcomes: Iterable[_Outcome], *, total: int, shown: bool) -> Iterable[_Outcome]:
    from tqdm import tqdm

    return tqdm(outcomes, total=total, desc="Scoring", unit="case", disable=not shown)
