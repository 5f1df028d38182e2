"""What a check found: problems, which stop a run, and warnings, which do not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.files import write_text

Told = tuple[str, Problem]  # the name of a check, and what it found


@dataclass(frozen=True)
class Finding:
    """One fault and the cases that it spoils.

    Args:
        check: what was looked at: "readable", "grid", "labels", ... (docs/checks.md lists them).
        problem: file, expected, found, remedy.
        cases: the cases that are left out where the fault is not mended; of a warning, those that it is about.
    """

    check: str
    problem: Problem
    cases: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"check": self.check, **self.problem.to_dict(), "cases": list(self.cases)}


@dataclass(frozen=True)
class Result:
    """All that a check found.

    Args:
        source: the datalist or folder.
        root: the folder that the list's paths are relative to.
        level: "fast" or "full".
        cases, files: how many were looked at.
        problems: what makes a run fail or its scores wrong.
        warnings: what may be meant so.
        seconds: how long it took.
        datalist: the list as it was read, or one of a folder's images; None where there is none.
    """

    source: str
    root: str
    level: str
    cases: int = 0
    files: int = 0
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    datalist: dict[str, Any] | None = None

    @property
    def broken(self) -> list[str]:
        """The cases that have a problem, each once."""
        return list(dict.fromkeys(case for finding in self.problems for case in finding.cases))

    def raise_problems(self) -> None:
        """Raise a DataError of all problems, where there are any."""
        if self.problems:
            raise DataError(finding.problem for finding in self.problems)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; "broken" names the cases that `quarantine` leaves out."""
        return {
            "source": self.source,
            "dataset_dir": self.root,
            "level": self.level,
            "cases": self.cases,
            "files": self.files,
            "seconds": round(self.seconds, 2),
            "broken": self.broken,
            "problems": [finding.to_dict() for finding in self.problems],
            "warnings": [finding.to_dict() for finding in self.warnings],
        }


def write_json(result: Result, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write `result.to_dict()` as a JSON file; raises DataError for one that exists, unless it may be replaced."""
    return write_text(path, json.dumps(result.to_dict(), indent=1) + "\n", overwrite=overwrite)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Equal faults as one, with all their cases, in the order of their first mention."""
    found: dict[tuple[str, Problem], Finding] = {}
    for finding in findings:
        key = (finding.check, finding.problem)
        earlier = found.get(key)
        cases = (*earlier.cases, *finding.cases) if earlier else finding.cases
        found[key] = replace(finding, cases=tuple(dict.fromkeys(cases)))
    return list(found.values())
