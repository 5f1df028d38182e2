"""A datalist without the broken cases; the data and the first list stay as they are."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from pipeline.datalists import save_datalist
from pipeline.datalists.datalist import SECTIONS, name_of
from pipeline.errors import DataError, Problem
from pipeline.preflight.result import Result


def quarantine(result: Result, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the list that `result` is about without the cases in `result.broken`.

    What was left out is told, with the reasons, in the new list's provenance. Paths stay relative to the same folder
    as before; those of a folder's images become relative to the new list; a list's own stay as they are.

    Raises:
        DataError: there is no list, no case is left, the file exists, or a problem is none of single cases.
    """
    if result.datalist is None:
        raise DataError([finding.problem for finding in result.problems])
    reasons: dict[str, list[str]] = defaultdict(list)
    for finding in result.problems:
        for case in finding.cases:
            reasons[case].append(str(finding.problem))
    kept: dict[str, list[dict[str, Any]]] = {
        section: [item for item in result.datalist[section] if name_of(item) not in reasons] for section in SECTIONS
    }
    general = [finding.problem for finding in result.problems if not finding.cases]
    if general:
        raise DataError(general)
    if not any(kept.values()):
        remedy = "Mend the problems that are named above"
        raise DataError(Problem(str(path), "cases without problems", f"none of {result.cases}", remedy))
    if not result.source.lower().endswith(".json"):  # the images of a folder
        kept = {section: [_placed(item, Path(path)) for item in items] for section, items in kept.items()}
    provenance = {**(result.datalist.get("provenance") or {}), "quarantined": reasons}
    return save_datalist({**result.datalist, **kept, "provenance": provenance}, path, overwrite=overwrite)


def _placed(item: dict[str, Any], path: Path) -> dict[str, Any]:
    """The full path of a folder's image as one from the new list's folder."""
    return {**item, "image": os.path.relpath(item["image"], path.absolute().parent)}
