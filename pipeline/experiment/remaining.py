"""How long a grid will still take, by what its epochs took so far."""

from __future__ import annotations

import heapq
import itertools
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipeline.experiment.grid import FOLD, SEED, Run
from pipeline.experiment.state import card, epoch_seconds

LATEST = 10  # epochs whose median is a run's pace: the machine may be busier now than at the start


@dataclass(frozen=True)
class Estimate:
    """Seconds until the last run ends, and how many runs' pace is only that of other data."""

    seconds: float
    guessed: int = 0


class Remaining:
    """Words on the remaining time, computed anew whenever an epoch has ended, and counted down in between.

    Args:
        runs, out: the grid's runs and its folder.
        processes: runs at the same time.
    """

    def __init__(self, runs: Sequence[Run], out: Path, *, processes: int = 1) -> None:
        self.runs = runs
        self.out = out
        self.processes = processes
        self._left: Mapping[str, int] | None = None
        self._estimate: Estimate | None = None
        self._since = 0.0

    def __call__(self, left: Mapping[str, int]) -> str:
        """For example "about 2:31:00 left"; empty while nothing is measured, or where nothing is left.

        Args:
            left: run name -> epochs that are not done, the evaluation counted as one.
        """
        if left != self._left:
            self._left = dict(left)
            self._estimate = estimate(self.runs, self.out, left, processes=self.processes)
            self._since = time.monotonic()
        if self._estimate is None or not any(left.values()):
            return ""
        seconds = max(0.0, self._estimate.seconds - (time.monotonic() - self._since))
        told = f"about {tqdm.format_interval(seconds)} left"
        return told + (", guessed by other data" if self._estimate.guessed else "")


def estimate(runs: Sequence[Run], out: Path, left: Mapping[str, int], *, processes: int = 1) -> Estimate | None:
    """The time that the epochs left will take, each run's at its own pace, `processes` runs at the same time.

    A run that has measured nothing takes the mean pace of those that differ from it in seed and fold alone, else of
    those on the same data, else of all: that is a guess, and counted. None while no run has measured anything.
    """
    paces = {run.name: pace for run in runs if (pace := seconds_per_epoch(run, out / run.name)) is not None}
    if not paces:
        return None
    workers = [0.0] * processes
    guessed = 0
    for run in runs:
        if left.get(run.name):
            pace, known = _pace(run, runs, paces)
            guessed += not known
            heapq.heapreplace(workers, workers[0] + pace * left[run.name])
    return Estimate(max(workers), guessed)


def seconds_per_epoch(run: Run, folder: Path) -> float | None:
    """Median of the latest epochs' seconds in the run's log; of an evaluation alone, what it took; None without."""
    if not run.trains:
        return card(folder).get("seconds")
    seconds = list(itertools.islice(epoch_seconds(folder), LATEST))
    return statistics.median(seconds) if seconds else None


def _pace(run: Run, runs: Sequence[Run], paces: Mapping[str, float]) -> tuple[float, bool]:
    """Seconds of an epoch, and whether they were measured on the same data."""
    if run.name in paces:
        return paces[run.name], True
    for alike in (_kind, _data):
        found = [paces[other.name] for other in runs if other.name in paces and alike(other) == alike(run)]
        if found:
            return statistics.fmean(found), True
    return statistics.fmean(paces.values()), False


def _kind(run: Run) -> object:
    return {axis: level for axis, level in run.levels.items() if axis not in (SEED, FOLD)}


def _data(run: Run) -> object:
    return run.bundle, run.settings.get("dataset_dir")
