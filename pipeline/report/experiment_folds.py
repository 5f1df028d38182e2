"""Cross-validation in one table: every fold, all folds together, and where there is a test list each model on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from pipeline.experiment.collection import Collection, Result
from pipeline.experiment.ensemble import ON_TEST_LIST
from pipeline.experiment.grid import FOLD
from pipeline.report.document import Cell, Section, Table, Text
from pipeline.report.experiment_held_out import held_out_folders
from pipeline.report.experiment_numbers import by_patient, summarise, table_by_seed
from pipeline.report.experiment_sections import MEASURES, Levels, by_setting, metrics_by_setting, volumes, words
from pipeline.report.tables import Metric

ENSEMBLE = "ensemble"
CAPTION = (
    "Held-out patients: each is scored by the model that was not trained on it. A fold, and every model on the test "
    "list: mean ± SD over volumes. Mean of folds: mean ± SD of the folds' means. All patients: each patient's mean "
    "over its volumes counts once, mean ± SD over patients. Beneath: how many volumes have the measure, where some "
    "lack it (a missed structure has no distance)."
)
ON_TEST = " Test list: patients that no model was trained on. Ensemble: the mean probability of the folds' models."
NO_TEST_LIST = (
    "The data list has no test cases with masks, so the ensemble is not scored: every patient of the list was used to "
    "train all but one of its models."
)


def folds_section(collection: Collection, *, called: Callable[[Levels], str] = words) -> list[Section]:
    """The summary table of folds and ensemble; nothing where one fold was run and no test list was asked for.

    Args:
        collection: the results.
        called: names a setting by its levels, seed and fold aside.
    """
    folds = {result.run.levels.get(FOLD, "0") for result in collection.results}
    if len(folds) < 2 and not collection.grid.ensemble:
        return []
    groups, tests = (by_setting(results) for results in (collection.results, collection.tests))
    known = metrics_by_setting(groups)
    rows: list[list[Cell | str]] = []
    for levels, results in groups.items():
        for row in [*_held_out(results, known[levels]), *_on_test_list(tests.get(levels, []), known[levels])]:
            rows.append([called(levels), *row] if len(groups) > 1 else row)
    head = [
        "model",
        "scored on",
        *(next(iter(known.values()))[measure].name for measure in MEASURES),
        "volumes",
        "patients",
    ]
    table = Table(CAPTION + (ON_TEST if tests else ""), ["runs", *head] if len(groups) > 1 else head, rows)
    blocks: list[Table | Text] = [table]
    if collection.grid.ensemble and all(result.test_cases == 0 for result in collection.results):
        blocks.append(Text(NO_TEST_LIST))
    if reports := ", ".join(f"{name}/report.html" for name in held_out_folders(collection)):
        blocks.append(Text(f"All held-out patients, by phase, with clinical numbers and the worst cases: {reports}"))
    title = "Cross-validation and ensemble" if collection.grid.ensemble else "Cross-validation"
    return [Section("folds", title, blocks)]


def _held_out(results: Sequence[Result], known: dict[str, Metric]) -> Iterator[list[Cell | str]]:
    """A row for each fold, one for their mean, and one for all patients together."""
    where = "held-out patients"
    folds = _by_fold(results)
    yield from _each_and_mean(folds, where, known)
    if len(folds) > 1:
        tables = table_by_seed(results, volumes)
        patients = {measure: by_patient(tables, measure) for measure in MEASURES}
        told = {m: (values.mean(), values.std(ddof=1), summarise(tables, m).share) for m, values in patients.items()}
        cells = [_written(known[m], *numbers, bold=True) for m, numbers in told.items()]
        yield ["all patients", where, *cells, *_sizes(results)]


def _on_test_list(results: Sequence[Result], known: dict[str, Metric]) -> Iterator[list[Cell | str]]:
    """A row for each fold's model, one for their mean, and one for all models together."""
    folds = {fold.removesuffix(ON_TEST_LIST): own for fold, own in _by_fold(results).items()}
    together = folds.pop(ENSEMBLE, [])
    yield from _each_and_mean(folds, "test list", known)
    if together:
        name = f"ensemble of {len(together[0].run.evaluate['members'])}"
        yield [name, "test list", *_over_volumes(together, known, bold=True), *_sizes(together)]


def _by_fold(results: Sequence[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.run.levels.get(FOLD, "0"), []).append(result)
    return found


def _each_and_mean(folds: dict[str, list[Result]], where: str, known: dict[str, Metric]) -> Iterator[list[Cell | str]]:
    for fold, own in folds.items():
        yield [f"fold {fold}", where, *_over_volumes(own, known), *_sizes(own)]
    if len(folds) > 1:
        tables = [table_by_seed(own, volumes) for own in folds.values()]
        means = {measure: pd.Series([summarise(table, measure).mean for table in tables]) for measure in MEASURES}
        cells = [_written(known[measure], values.mean(), values.std(ddof=1)) for measure, values in means.items()]
        yield [f"mean of {len(folds)} folds", where, *cells, "", ""]


def _over_volumes(results: Sequence[Result], known: dict[str, Metric], *, bold: bool = False) -> list[Cell]:
    tables = table_by_seed(results, volumes)
    found = {measure: summarise(tables, measure) for measure in MEASURES}
    return [_written(known[m], summary.mean, summary.sd, summary.share, bold=bold) for m, summary in found.items()]


def _sizes(results: Sequence[Result]) -> list[str]:
    """Volumes and patients of one seed."""
    tables = table_by_seed(results, volumes)
    return [str(len(next(iter(tables.values())))), str(len(by_patient(tables, "dice")))]


def _written(metric: Metric, mean: float, sd: float, share: str = "", *, bold: bool = False) -> Cell:
    return Cell(metric.write(mean) + ("" if math.isnan(sd) else f" ± {metric.write(sd)}"), share, bold)
