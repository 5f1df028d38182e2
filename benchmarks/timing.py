"""Interleaved timing in one process: each job beside the reference, in turn, as ratios that survive a busy machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from tqdm import tqdm

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Job = Callable[[], Any]


def interleaved(jobs: Mapping[str, Job], *, rounds: int, clock: str = "wall") -> list[dict[str, Any]]:
    """Run every job once per round, each directly after the first one, which all are compared with.

    Args:
        jobs: name -> what to time; the first is the reference. Each is run once before, untimed.
        rounds: how often each is timed.
        clock: "wall", or "cpu": the processor time of this process, for a machine on which others work too (sensible
            with one thread: threads that wait for each other count as working).

    Returns:
        For each job name, milliseconds (median) and the ratio to the reference run just before it: median, and the
        lower and upper quartile of the rounds as low and high.
    """
    now = CLOCKS[clock]
    (_, reference), *_ = jobs.items()
    for job in jobs.values():
        job()
    own: dict[str, list[float]] = {name: [] for name in jobs}
    ratios: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in tqdm(range(rounds), desc="rounds", unit="round", disable=rounds < 2):
        for name, job in jobs.items():
            beside = statistics.fmean(_timed(reference, now) for _ in range(2))
            own[name].append(_timed(job, now))
            ratios[name].append(own[name][-1] / beside)
    return [_row(name, own[name], ratios[name]) for name in jobs]


def markdown(rows: list[Mapping[str, Any]], *, reference: str) -> str:
    """The rows of `interleaved` as a Markdown table."""
    lines = [f"| | times {reference} | half of the rounds within | ms |", "|---|---:|---:|---:|"]
    for row in rows:
        within = f"{row['low']:.2f} to {row['high']:.2f}"
        lines.append(f"| {row['name']} | {row['ratio']:.2f} | {within} | {row['milliseconds']:.1f} |")
    return "\n".join(lines)


def _timed(job: Job, now: Callable[[], float]) -> float:
    start = now()
    job()
    return now() - start


def _row(name: str, seconds: list[float], ratios: list[float]) -> dict[str, Any]:
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    return {
        "name": name,
        "milliseconds": 1000 * statistics.median(seconds),
        "ratio": statistics.median(ratios),
        "low": low,
        "high": high,
    }
