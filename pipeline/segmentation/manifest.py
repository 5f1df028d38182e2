"""What was segmented, by which weights and on which machine: OUT/manifest.json, one entry for each run."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.files import read_entry
from pipeline.segmentation.results import DONE, MANIFEST
from pipeline.segmentation.statistics import STATISTICS, forget_statistics
from pipeline.segmentation.workplace import left_behind, workplace, write_json


def read_runs(output: str | Path) -> list[dict[str, Any]]:
    """The runs that an output folder's manifest tells of, oldest first; raises DataError where it is unreadable."""
    path = Path(output) / MANIFEST
    return read_entry(path, "runs", list) if path.is_file() else []


def add_run(output: str | Path, run: Mapping[str, Any], *, by_way_of: str | Path | None = None) -> Path:
    """Append one run (`pipeline.segmentation.results.record`) to the manifest, which is made where it is missing."""
    content = {"version": 1, "runs": [*read_runs(output), dict(run)]}
    return write_json(Path(output) / MANIFEST, content, by_way_of=by_way_of)


def add_killed_runs(output: Path) -> int:
    """Add to the manifest what killed runs had done by their journals, remove their workplaces, and count them.

    They had no time to measure their masks, so statistics.json tells of earlier ones: it forgets these cases.
    """
    found = 0
    with workplace(output) as place:
        for journal in left_behind(output):
            found += 1
            if journal and "program" in journal[0]:  # else it was killed before its first case
                cases = list({entry["case"]: entry for entry in journal[1:]}.values())  # the last word on each
                stale = [entry["case"] for entry in _written(cases)]
                forget_statistics(output / STATISTICS, stale, by_way_of=place.folder)
                add_run(output, {**journal[0], "cases": cases}, by_way_of=place.folder)
    return found


def makers_of(runs: Iterable[Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """For each case the run that made its mask last and that run's entry of the case, as far as any run says so."""
    return {entry["case"]: (run, entry) for run in runs for entry in _written(run["cases"])}


def _written(entries: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries of cases that got a new mask: also of one that failed after that, at its preview for example."""
    return [entry for entry in entries if entry["outcome"] == DONE or entry.get("written")]


def describe_program() -> dict[str, str]:
    """Versions of the program and of what computes with it, and the time (UTC)."""
    return {
        "volseg": __version__,
        "python": platform.python_version(),
        "torch": version("torch"),
        "monai": version("monai"),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
