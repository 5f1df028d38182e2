"""Score pairs of mask files: every problem of every file found before anything is reported."""

from __future__ import annotations

import logging
import math
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from tqdm import tqdm

from pipeline.errors import DataError, Problem, printable
from pipeline.files import refuse_existing
from pipeline.metrics import empty
from pipeline.metrics.cases import COUNTS, DISTANCES, VOLUMES, definitions
from pipeline.metrics.clinical import ACDC_CSV, check_acdc, left_out, write_acdc_csv
from pipeline.metrics.empty import MissingPolicy
from pipeline.metrics.files import SCORE_FILES
from pipeline.metrics.labels import Labels, structures_of
from pipeline.metrics.lesion_summary import Lesions
from pipeline.metrics.lesions import COLUMNS, UNITS, check_lesions
from pipeline.metrics.one_case import Outcome, score_files
from pipeline.metrics.origin import origin
from pipeline.metrics.pairing import pair_folders
from pipeline.metrics.scores import Scores
from pipeline.metrics.unpaired import unpaired

WHO = ("case", "patient", "phase", "group")
FILES = ("image", "label", "pred")
GRID = ("slice", "structures", "listed", "reversed")  # how to read the label, where the datalist says so

logger = logging.getLogger("pipeline")


def score_cases(
    cases: Sequence[Mapping[str, Any]],
    labels: Labels,
    *,
    missing: MissingPolicy | str = MissingPolicy.ZERO,
    lesions: Mapping[str, str | None] | None = None,
    check_organs: bool = False,
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
        lesions: structures to be scored lesion by lesion, each with the organ that holds it (None: no shares), for
            example {"infection": "lungs"}; see `pipeline.metrics.lesions`.
        check_organs: whether an organ that is none of the labels is refused; its shares are left out otherwise.
        check_grid: whether masks must lie within 0.1 mm of the truth's grid; shapes must agree in any case.
        processes: how many cases are scored at once.
        provenance: what else scores.json is to say of the origin (the datalist, the folders; "warnings").
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
    lesions = check_lesions(lesions, labels, organs=check_organs)
    _check_list(cases)
    absent = [case["case"] for case in cases if not case.get("pred")]
    chosen = [case for case in cases if case.get("pred") or missing is MissingPolicy.ZERO]
    score = partial(score_files, labels=labels, lesions=lesions, check_grid=check_grid)
    bar = tqdm(_mapped(score, chosen, processes), "Scoring", len(chosen), unit="case", disable=not progress)
    outcomes = list(bar)
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    if problems:
        raise DataError(problems)
    unit, unmeasured = _lengths(chosen, outcomes)
    provenance = dict(provenance or {})
    warnings = [outcome.warning for outcome in outcomes if outcome.warning] + unmeasured
    table = _table(chosen, [outcome.score.structures for outcome in outcomes])
    for why, names in left_out(table).items():
        warnings.append(f"{len(names)} not among the clinical numbers, since {why}: {_first(names)}")
    warnings += provenance.get("warnings", [])
    _say(absent, warnings, missing)
    return Scores(
        cases=table,
        slices=_table(chosen, [outcome.score.slices for outcome in outcomes]),
        labels=labels,
        length_unit=unit,
        lesions=_lesions(chosen, outcomes, lesions, absent) if lesions else None,
        definitions=definitions(unit=unit),
        policy={**empty.describe(missing), "hd95": "max_directed"},
        provenance={**origin(), **provenance, "warnings": warnings},
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
    fold: int | str | None = None,
    labels: Labels | None = None,
    acdc_csv: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> Scores:
    """Pair (`pair_folders`), score (`score_cases`, which takes the other options) and write (`Scores.write`).

    With `acdc_csv` also the table of `clinical.write_acdc_csv`, as acdc.csv.

    Raises:
        DataError: as those three; an output folder that holds scores is refused before anything is computed.
    """
    table = Path(out) / ACDC_CSV
    if not overwrite:
        refuse_existing([*(Path(out) / name for name in SCORE_FILES), *([table] if acdc_csv else [])])
    cases, structures = pair_folders(
        pred_dir, truth, dataset_dir=dataset_dir, section=section, fold=fold, labels=labels
    )
    if acdc_csv:
        check_acdc(structures, table)
    inputs = {"pred": _absolute(pred_dir), "truth": _absolute(truth), "section": section, "fold": fold}
    inputs["warnings"] = unpaired(pred_dir, truth, cases)
    scores = score_cases(cases, structures, provenance=inputs, **options)
    scores.write(out, overwrite=overwrite)
    if acdc_csv:
        write_acdc_csv(scores.cases, table, overwrite=overwrite)
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


def _mapped(score: Callable[..., Outcome], cases: Sequence[Mapping[str, Any]], processes: int) -> Iterator[Outcome]:
    """Outcomes in the order of the cases."""
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
    components = _frame(cases, [outcome.lesions.components for outcome in outcomes])
    columns = [*WHO, *(column for column in COLUMNS if column in components or column not in UNITS)]
    by_case = _frame(cases, [outcome.lesions.cases for outcome in outcomes])
    return Lesions(organs, components.reindex(columns=columns), by_case, absent)


def _lengths(cases: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]) -> tuple[str, list[str]]:
    """The unit of all distances; undefined from here on in cases that lack it, and a warning that names those."""
    pictures = [case["case"] for case, outcome in zip(cases, outcomes, strict=True) if not outcome.has_geometry]
    unit = "px" if pictures and len(pictures) == len(cases) else "mm"
    unknown = (*VOLUMES, *DISTANCES) if unit == "mm" else VOLUMES
    for row in (row for outcome in outcomes if not outcome.has_geometry for row in outcome.score.structures):
        row |= dict.fromkeys(unknown, math.nan)
    if not pictures or unit == "px":
        return unit, []
    return unit, [f"no millimetres are known of {_first(pictures)}: distances and volumes of {len(pictures)} undefined"]


def _table(cases: Sequence[Mapping[str, Any]], rows: Iterable[list[dict[str, Any]]]) -> pd.DataFrame:
    table = _frame(cases, rows)
    types = {**dict.fromkeys(("slice", *COUNTS), "Int64"), **dict.fromkeys(VOLUMES, float)}
    return table.astype({column: kind for column, kind in types.items() if column in table})


def _frame(cases: Sequence[Mapping[str, Any]], rows: Iterable[list[dict[str, Any]]]) -> pd.DataFrame:
    """The rows of all cases, each with the columns that say which case it is."""
    return pd.DataFrame([_who(case) | row for case, own in zip(cases, rows, strict=True) for row in own])


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


def _first(names: list[str]) -> str:
    return printable(", ".join(names[:3]) + (", ..." if len(names) > 3 else ""))
