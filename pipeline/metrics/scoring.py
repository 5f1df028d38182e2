"""Score pairs of mask files: every problem of every file found before anything is reported."""

from __future__ import annotations

import logging
import math
import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from pipeline.errors import DataError, Problem
from pipeline.metrics import empty
from pipeline.metrics.cases import DISTANCES, VOLUMES, definitions
from pipeline.metrics.empty import EmptyPolicy, MissingPolicy
from pipeline.metrics.files import SCORE_FILES, refuse_existing
from pipeline.metrics.labels import MEAN, Labels, structures_of
from pipeline.metrics.lesion_summary import Lesions
from pipeline.metrics.lesions import COLUMNS, UNITS, check_lesions
from pipeline.metrics.one_case import Options, Outcome, score_files
from pipeline.metrics.origin import origin
from pipeline.metrics.pairing import pair_folders
from pipeline.metrics.scores import Scores
from pipeline.metrics.surface import HausdorffDefinition

WHO = ("case", "patient", "phase", "group")
FILES = ("image", "label", "pred")
GRID = ("slice", "structures", "reversed")  # how to read the label, where the datalist says so

logger = logging.getLogger("pipeline")


def score_cases(
    cases: Sequence[Mapping[str, Any]],
    labels: Labels,
    *,
    missing: MissingPolicy | str = MissingPolicy.ZERO,
    policy: EmptyPolicy | str = EmptyPolicy.UNDEFINED,
    definition: HausdorffDefinition | str = HausdorffDefinition.MAX_DIRECTED,
    lesions: Mapping[str, str | None] | None = None,
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
        lesions: structures to be scored lesion by lesion, each with the organ that holds it (None: no shares), for
            example {"infection": "lungs"}; see `pipeline.metrics.lesions`.
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
    labels = structures_of(labels)
    options = Options(
        labels, EmptyPolicy(policy), HausdorffDefinition(definition), check_grid, check_lesions(lesions, labels)
    )
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
        lesions=_lesions(chosen, outcomes, options.lesions, absent) if options.lesions else None,
        definitions=definitions(options.definition, unit=unit),
        policy={**empty.describe(options.policy, missing), "hd95": options.definition.value},
        provenance={**origin(), **(provenance or {}), "warnings": warnings},
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
    inputs = {"pred": _absolute(pred_dir), "truth": _absolute(truth), "section": section, "fold": fold}
    scores = score_cases(cases, structures, provenance=inputs, **options)
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


def _score_all(cases: Sequence[Mapping[str, Any]], options: Options, processes: int) -> Iterator[Outcome]:
    """Outcomes in the order of the cases."""
    score = partial(score_files, options=options)
    if processes <= 1 or len(cases) < 2:
        yield from map(score, cases)
        return
    # spawned, since forking a process that holds torch's threads may hang
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(cases)), mp_context=context) as pool:
        yield from pool.map(score, cases, chunksize=4)


def _lesions(
    cases: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome], organs: dict[str, str | None], absent: list[str]
) -> Lesions:
    parts = [
        pd.DataFrame([_who(case) | row for case, own in zip(cases, rows, strict=True) for row in own])
        for rows in ([o.lesions.components for o in outcomes], [o.lesions.cases for o in outcomes])
    ]
    columns = [*WHO, *(column for column in COLUMNS if column in parts[0] or column not in UNITS)]
    return Lesions(organs, parts[0].reindex(columns=columns), parts[1], absent)


def _lengths(cases: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> tuple[str, list[str]]:
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


def _say(absent: list[str], warnings: list[str], missing: MissingPolicy) -> None:
    if absent:
        counted = "scored as empty masks" if missing is MissingPolicy.ZERO else "left out"
        logger.warning("%d cases have no prediction (%s): %s", len(absent), counted, _first(absent))
    if warnings:
        logger.warning("%d: %s", len(warnings), _first(warnings))


def _first(names: list[str], limit: int = 3) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _bar(outcomes: Iterable[Outcome], *, total: int, shown: bool) -> Iterable[Outcome]:
    from tqdm import tqdm

    return tqdm(outcomes, total=total, desc="Scoring", unit="case", disable=not shown)
