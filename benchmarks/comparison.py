"""Rows of the tables: jobs run in turns within one run, compared as ratios of the times of each turn."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tqdm import tqdm

SIGNS = {"cost": "<=", "gain": ">=", "seconds": "<"}


@dataclass
class Turns:
    """What came of jobs that took turns: for each job the seconds and the result of every turn."""

    seconds: dict[str, list[float]]
    results: dict[str, list[Any]]

    def ratios(self, job: str, other: str) -> list[float]:
        """The time of `job` as a multiple of `other`'s, turn by turn."""
        return [a / b for a, b in zip(self.seconds[job], self.seconds[other], strict=True)]


@dataclass
class Row:
    """One line of a table.

    Args:
        name: short and unique, for the JSON file.
        what, against: what is measured, and what it is compared with.
        kind: what `values` are: "cost" (ours / theirs, small is good), "gain" (theirs / ours), or "seconds".
        values: one for each turn.
        target: the bound of the median; None where there is none.
        seconds: medians of ours and theirs, where that makes sense.
        accuracy: what the speed costs, in words and numbers.
        failed: further conditions of the target that are not met, in words.
        note: what must be known to read the row.
    """

    name: str
    what: str
    against: str
    kind: Literal["cost", "gain", "seconds"]
    values: list[float]
    target: float | None = None
    seconds: tuple[float, float] | None = None
    accuracy: str = ""
    failed: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def median(self) -> float:
        """The median of the values; NaN where nothing could be measured."""
        return statistics.median(self.values) if self.values else math.nan

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one, or where nothing could be measured."""
        if self.target is None or not self.values:
            return None
        within = self.median >= self.target if self.kind == "gain" else self.median <= self.target
        return within and not self.failed

    def as_json(self) -> dict[str, Any]:
        """Everything, with median, least and most."""
        spread = {"median": self.median, "min": min(self.values), "max": max(self.values)} if self.values else {}
        return {**asdict(self), **spread, "met": self.met}


def take_turns(
    jobs: Mapping[str, Callable[[Any], Any]], items: Iterable[Any], *, warm_up: bool = True, what: str = ""
) -> Turns:
    """Call every job with the first item, then every job with the second, and so on (A B A B ...).

    Args:
        jobs: name -> what to time.
        items: one for each turn, for example the volumes to segment.
        warm_up: call each job once before, untimed, with the first item.
        what: for the progress bar.
    """
    items = list(items)
    if warm_up:
        for job in jobs.values():
            job(items[0])
    turns = Turns({name: [] for name in jobs}, {name: [] for name in jobs})
    for item in tqdm(items, desc=what or "turns", unit="turn", disable=len(items) < 2):
        for name, job in jobs.items():
            start = time.perf_counter()
            result = job(item)
            turns.seconds[name].append(time.perf_counter() - start)
            turns.results[name].append(result)
    return turns


def compared(turns: Turns, ours: str, theirs: str, *, kind: Literal["cost", "gain"], **row: Any) -> Row:
    """A row of two jobs that took turns; the other arguments are those of `Row`."""
    values = turns.ratios(ours, theirs) if kind == "cost" else turns.ratios(theirs, ours)
    seconds = (statistics.median(turns.seconds[ours]), statistics.median(turns.seconds[theirs]))
    return Row(kind=kind, values=values, seconds=seconds, **row)


def not_measured(why: str, **row: Any) -> Row:
    """A row that says why there are no values."""
    return Row(values=[], note=f"not measured: {why}", **row)


def markdown(rows: Iterable[Row]) -> str:
    """The table, with the notes below it."""
    lines = ["| what | against | target | measured (least to most) | ours / theirs | accuracy |"]
    lines.append("|---|---|---|---|---|---|")
    notes = []
    for row in rows:
        target = "" if row.target is None else f"{SIGNS[row.kind]} {row.target:g}{_unit(row)}"
        seconds = "" if row.seconds is None else " / ".join(_time(s) for s in row.seconds)
        lines.append(f"| {row.what} | {row.against} | {target} | {_measured(row)} | {seconds} | {row.accuracy} |")
        notes += [f"- {row.what}: {text}" for text in [row.note, *row.failed] if text]
    return "\n".join([*lines, "", *notes] if notes else lines)


def _measured(row: Row) -> str:
    if not row.values:
        return "not measured"
    text = f"{row.median:.2f}{_unit(row)} ({min(row.values):.2f} to {max(row.values):.2f})"
    return {True: f"**{text}**", False: f"{text}, missed", None: text}[row.met]


def _unit(row: Row) -> str:
    return {"cost": "", "gain": " times faster", "seconds": " s"}[row.kind]


def _time(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
