"""The results of a grid, read from the files of its runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import DataError, Problem
from pipeline.experiment.details import background_table, band_table
from pipeline.experiment.ensemble import TEST_CASES, runs_on_test_list
from pipeline.experiment.grid import Grid, Run
from pipeline.experiment.runner import GRID
from pipeline.experiment.state import State, card, state_of
from pipeline.metrics.labels import MEAN
from pipeline.metrics.scores import Scores, read_scores

UNITS = {"slices": ["case", "slice"], "volumes": ["case"]}


@dataclass(frozen=True)
class Result:
    """One finished run and its scores; `test_cases` are those of its datalist, None where nobody looked."""

    run: Run
    folder: Path
    resolved: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    test_cases: int | None = None

    @cached_property
    def scores(self) -> Scores:
        """The scores of its evaluation; raises DataError where they cannot be read."""
        return read_scores(self.folder / "evaluation")

    @cached_property
    def background(self) -> pd.DataFrame:
        """`details.background_table` of its masks, kept beside them."""
        return background_table(self.folder / "evaluation", self.scores)

    @cached_property
    def bands(self) -> pd.DataFrame:
        """`details.band_table` of its masks, kept beside them."""
        return band_table(self.folder / "evaluation", self.scores)

    def structures(self, unit: str = "slices", *, background: bool = False) -> pd.DataFrame:
        """Dice and IoU of each structure in each unit: columns case, patient, (slice,) structure, dice, iou."""
        table = self.scores.slices if unit == "slices" else self.scores.cases
        rows = table[table["structure"] != MEAN]
        if background:
            extra = self.background[self.background["unit"] == unit]
            rows = pd.concat([rows, extra], ignore_index=True)
        return rows

    def units(self, unit: str = "slices", *, background: bool = False, empty: float | None = None) -> pd.DataFrame:
        """Dice, IoU and pixel error of each slice or volume; Dice and IoU are means over its structures.

        Args:
            unit: "slices" or "volumes".
            background: whether it counts as one more structure.
            empty: what a structure that truth and prediction lack counts for; None leaves it out, and the unit's Dice
                is NaN where nothing is left.

        Returns:
            Columns case, patient, (slice,) dice, iou, pixel_error.
        """
        keys = UNITS[unit]
        rows = self.structures(unit, background=background)
        values = rows[[*keys, "dice", "iou"]].copy()
        if empty is not None:
            values = values.fillna({"dice": empty, "iou": empty})
        means = values.groupby(keys, sort=False)[["dice", "iou"]].mean()
        table = self.scores.slices if unit == "slices" else self.scores.cases
        whole = table[table["structure"] == MEAN].set_index(keys)
        return means.join(whole[["patient", "pixel_error"]]).reset_index()


def pooled(results: Sequence[Result]) -> dict[str, float]:
    """Dice and IoU over all voxels of all cases of all results at once, mean over structures, and their pixel error."""
    rows = pd.concat([result.structures("volumes") for result in results])
    sizes = (rows["truth_voxels"] + rows["pred_voxels"]).astype(float)
    both = rows["dice"].fillna(0) * sizes / 2
    sums = pd.DataFrame({"both": both, "sizes": sizes}).groupby(rows["structure"]).sum()
    dice = 2 * sums["both"] / sums["sizes"]
    wrong, voxels = pd.concat([result.bands for result in results])[["wrong", "all"]].sum()
    error = float(wrong / voxels) if voxels else math.nan
    return {"dice": float(dice.mean()), "iou": float((dice / (2 - dice)).mean()), "pixel_error": error}


@dataclass(frozen=True)
class Collection:
    """All that is known of a grid.

    Args:
        grid: as it was run.
        results: the finished runs.
        unfinished: run name -> (state, reason).
        tests: finished evaluations on the test list.
    """

    grid: Grid
    results: list[Result]
    unfinished: dict[str, tuple[State, str]]
    tests: list[Result] = field(default_factory=list)

    def level(self, **levels: str) -> list[Result]:
        """The results with these levels, e.g. alpha="0"."""
        return [r for r in self.results if all(r.run.levels.get(axis) == level for axis, level in levels.items())]

    def levels(self, axis: str) -> list[str]:
        """The levels of an axis among the finished runs, in the grid's order."""
        done = {result.run.levels.get(axis) for result in self.results}
        return [level for level in dict.fromkeys(run.levels.get(axis) for run in self.grid.runs) if level in done]


def collect(folder: str | Path) -> Collection:
    """Read a grid's folder.

    Raises:
        DataError: it holds no grid, or no run is finished.
    """
    folder = Path(folder)
    if not (folder / GRID).is_file():
        raise DataError(Problem(str(folder), f"the folder of an experiment ({GRID})", "none", "Run it first"))
    grid = Grid.from_json(folder / GRID)
    results, unfinished = _finished(grid.runs, folder)
    tests, untested = _finished(runs_on_test_list(grid, folder), folder)
    if not results:
        reasons = sorted({reason for _, reason in unfinished.values() if reason})
        found = "none; " + "; ".join(reasons) if reasons else "none"
        raise DataError(Problem(str(folder), "at least one finished run", found, "Mend what failed, and start again"))
    return Collection(grid, results, unfinished | untested, tests)


def _finished(runs: Iterable[Run], folder: Path) -> tuple[list[Result], dict[str, tuple[State, str]]]:
    """The finished runs, and of the others state and reason."""
    results, unfinished = [], {}
    for run in runs:
        home = folder / run.name
        state, facts = state_of(home), card(home)
        if state is State.FINISHED:
            resolved = facts.get("resolved") or run.resolved()
            results.append(Result(run, home, resolved, facts.get("seconds"), facts.get(TEST_CASES)))
        else:
            unfinished[run.name] = (state, facts.get("error", ""))
    return results, unfinished
