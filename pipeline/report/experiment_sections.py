"""Sections that every experiment's report has: runs, what is not finished, whether the scores agree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pipeline.experiment.collection import UNITS, Collection, Result
from pipeline.experiment.grid import FOLD, SEED
from pipeline.metrics.labels import MEAN
from pipeline.report.document import Bullets, Section, Table, Text
from pipeline.report.tables import Metric, metrics_of

MEASURES = ("dice", "iou", "pixel_error", "hd95_mm")
JSON = {"True": "true", "False": "false", "None": "null"}
Levels = tuple[tuple[str, str], ...]


def by_setting(results: Sequence[Result]) -> dict[Levels, list[Result]]:
    """The runs by their levels, seed and fold aside, in the grid's order."""
    found: dict[Levels, list[Result]] = {}
    for result in results:
        levels = tuple((axis, level) for axis, level in result.run.levels.items() if axis not in (SEED, FOLD))
        found.setdefault(levels, []).append(result)
    return found


def metrics_by_setting(groups: Mapping[Levels, Sequence[Result]]) -> dict[Levels, dict[str, Metric]]:
    """How each setting's measures are named and written: with the unit in the cells where settings differ in it."""
    scores = {levels: results[0].scores for levels, results in groups.items()}
    several = len({own.length_unit for own in scores.values()}) > 1
    return {levels: metrics_of(own, unit_in_cells=several) for levels, own in scores.items()}


def words(levels: Levels) -> str:
    """How a group of runs is called: its levels, with the axis where a level is a number, or true, false or nothing."""
    return ", ".join(f"{axis} {_json(level)}" if _plain(level) else level for axis, level in levels) or "all runs"


def warnings(collection: Collection) -> list[Text]:
    """A paragraph on what is not finished; none where everything is."""
    if not collection.unfinished:
        return []
    told = [
        f"{name} ({state}{': ' + reason if reason else ''})" for name, (state, reason) in collection.unfinished.items()
    ]
    number = "1 run is" if len(told) == 1 else f"{len(told)} runs are"
    words = f"{number} not finished and not in this report: {'; '.join(told)}."
    return [Text(words + " Start the same command again to go on.", kind="warn")]


def consistency(results: Sequence[Result]) -> Text:
    """Whether IoU = Dice / (2 - Dice) holds for each structure of each slice and volume, as it must."""
    rows = pd.concat([result.structures(unit)[["dice", "iou"]] for result in results for unit in UNITS])
    rows = rows.astype(float).dropna(how="all")
    away = (rows["iou"] - rows["dice"] / (2 - rows["dice"])).abs()
    wrong = int((~(away < 1e-5)).sum())  # also where only one of the two is defined
    what = "values of single structures in slices and volumes"
    if wrong:
        return Text(f"IoU = Dice / (2 - Dice) FAILS in {wrong} of {len(rows)} {what}: the scores are wrong.", "warn")
    largest = f"{away.max():.0e}"
    return Text(f"IoU = Dice / (2 - Dice) holds in all {len(rows)} {what} (largest deviation {largest}).", "soft")


def runs_section(collection: Collection) -> Section:
    """Every finished run with what it was, how long it took and what it reached."""
    axes = list(dict.fromkeys(axis for result in collection.results for axis in result.run.levels))
    rows = []
    for result in collection.results:
        level = [result.run.levels.get(axis, "–") for axis in axes]
        minutes = "–" if result.seconds is None else f"{result.seconds / 60:.1f}"
        dice = result.scores.mean("dice")
        rows.append([result.run.name, *level, minutes, "–" if dice is None else f"{dice:.4f}"])
    caption = "Minutes: training and evaluation, on the machine as busy as it was. Dice: mean over volumes."
    table = Table(caption, ["Run", *axes, "minutes", "Dice"], rows)
    listed = [f"{key}: {in_words(value)}" for key, value in settings_in_common(collection.results).items()]
    return Section("runs", "Runs", [table, Text("Settings that all runs share:"), Bullets(listed)])


def in_words(value: Any) -> str:
    """A setting as it is typed after --set."""
    return value if isinstance(value, str) else json.dumps(value)


def settings_in_common(results: Sequence[Result]) -> dict[str, Any]:
    """Plain values of the configuration that are the same in every run; expressions are left out."""
    first, *others = [result.resolved for result in results]
    return {
        key: value
        for key, value in first.items()
        if all(other.get(key) == value for other in others)
        and not (isinstance(value, str) and value.startswith(("$", "@", "%")))
        and not isinstance(value, list | dict | None.__class__)
        and key not in ("bundle_root", "output_dir", "dataset_dir", "resume")
    }


def _json(level: str) -> str:
    """As it is typed in a grid: true for True."""
    return JSON.get(level, level)


def _plain(level: str) -> bool:
    """Whether the level says nothing without its axis."""
    if level in JSON or level in JSON.values():
        return True
    try:
        float(level)
    except ValueError:
        return False
    return True


def volumes(result: Result) -> pd.DataFrame:
    """The row "mean" of each volume: case, patient, and every measure of scores.csv."""
    table = result.scores.cases
    return table[table["structure"] == MEAN]
