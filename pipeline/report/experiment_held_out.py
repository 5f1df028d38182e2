"""The held-out patients of all folds in one evaluation report, with phases, clinical numbers and worst cases."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.experiment.collection import Collection, Result
from pipeline.experiment.grid import FOLD
from pipeline.metrics.origin import origin
from pipeline.metrics.scores import joined
from pipeline.report.experiment_sections import Levels, words
from pipeline.report.writer import write_report

HELD_OUT = "held_out"


def held_out_folders(collection: Collection) -> dict[str, list[Result]]:
    """Folder below the grid's -> the runs whose scores lie there together: all folds of one setting and seed.

    Nothing for settings with one fold, whose own evaluation says it all, or whose folds were scored on the same cases.
    """
    found: dict[Levels, list[Result]] = {}
    for result in collection.results:
        levels = tuple((axis, level) for axis, level in result.run.levels.items() if axis != FOLD)
        found.setdefault(levels, []).append(result)
    several = {levels: results for levels, results in found.items() if len(results) > 1 and _apart(results)}
    return {_folder(levels) if len(found) > 1 else HELD_OUT: results for levels, results in several.items()}


def _apart(results: Sequence[Result]) -> bool:
    cases = [case for result in results for case in result.scores.cases["case"].unique()]
    return len(cases) == len(set(cases))


def _folder(levels: Levels) -> str:
    return f"{HELD_OUT}/" + re.sub(r"[^\w.+-]+", "-", words(levels)).strip("-")


def write_held_out(collection: Collection, folder: str | Path) -> None:
    """Write score files and report of each of `held_out_folders`; older ones are replaced.

    Raises:
        DataError: folds that were scored by different rules.
    """
    for name, results in held_out_folders(collection).items():
        home = Path(folder) / name
        folds = ", ".join(result.run.levels[FOLD] for result in results)
        parts = [result.scores for result in results]
        told = [warning for part in parts for warning in part.provenance.get("warnings", [])]
        whence = {**origin(), "runs": [result.run.name for result in results], "warnings": told}
        joined(parts, provenance=whence).write(home, overwrite=True)
        write_report(home, title=f"{collection.grid.title}: held-out patients of folds {folds}", overwrite=True)
