"""What was segmented, by which weights and on which machine: OUT/manifest.json, one entry for each run."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.files import read_entry
from pipeline.segmentation.results import MANIFEST
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
    """Add to the manifest what killed runs had done by their journals, remove their workplaces, and count them."""
    found = 0
    with workplace(output) as place:
        for journal in left_behind(output):
            found += 1
            if journal and "program" in journal[0]:  # else it was killed before its first case
                add_run(output, {**journal[0], "cases": journal[1:]}, by_way_of=place.folder)
    return found


def maker_of(runs: Sequence[Mapping[str, Any]], case: str) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """The run that made a case's mask last and its entry of the case, if any run says so."""
    for run in reversed(runs):
        for found in run["cases"]:
            if found["case"] == case and found["outcome"] == "done":
                return run, found
    return None


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
