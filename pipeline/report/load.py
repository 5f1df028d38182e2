"""The score files of one evaluation, read for drawing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import DataError, Problem

MEAN = "mean"  # the pseudo-structure of the score files: mean over a case's structures
_TEXT = ["case", "patient", "phase", "group", "structure", "empty"]


@dataclass
class ScoreFiles:
    """What `volseg score` and evaluate.json wrote into one folder.

    Args:
        cases: scores.csv, one row for each case and structure.
        slices: slices.csv; empty if there is none.
        info: scores.json: labels, definitions, policy, summary, missing, provenance, clinical.
        clinical: clinical.csv, or None where the cases are no ED/ES pairs.
        files: cases.json by case name: where image, label and pred lie; empty if there is none.
    """

    cases: pd.DataFrame
    info: dict[str, Any]
    slices: pd.DataFrame = field(default_factory=pd.DataFrame)
    clinical: pd.DataFrame | None = None
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def structures(self) -> list[str]:
        """Structures in the order of their labels, without background and without the mean."""
        labels = sorted(self.info.get("labels", {}).items(), key=lambda item: item[1])
        known = [name for name, number in labels if number != 0]
        found = [name for name in self.cases["structure"].unique() if name not in (*known, MEAN)]
        return known + found

    @property
    def missing(self) -> list[str]:
        """Names of the cases without a prediction."""
        entries = self.info.get("missing") or []
        return [str(entry["case"] if isinstance(entry, dict) else entry) for entry in entries]

    def rows(self, section: str) -> list[dict[str, Any]]:
        """The summary rows of "overall", "by_phase", "by_group" or "slices"; empty where there are none."""
        return (self.info.get("summary") or {}).get(section) or []

    def values(self, column: str) -> list[str]:
        """The distinct non-empty entries of a text column, in order of appearance."""
        return [value for value in self.cases[column].unique() if value]


def load_scores(scores_dir: str | Path) -> ScoreFiles:
    """Read scores.csv and scores.json, and slices.csv, clinical.csv and cases.json where they exist.

    Raises:
        DataError: scores.csv or scores.json is absent or cannot be read, or a column is missing.
    """
    folder = Path(scores_dir)
    missing = [name for name in ("scores.csv", "scores.json") if not (folder / name).is_file()]
    if missing:
        raise DataError([_no_scores(folder / name) for name in missing])
    cases = _table(folder / "scores.csv")
    needed = {"case", "structure", "dice"} - set(cases.columns)
    if needed:
        found = ", ".join(cases.columns) or "no columns"
        raise DataError(_bad(folder / "scores.csv", f"columns {', '.join(sorted(needed))} too", found))
    for column in ("patient", "phase", "group"):
        if column not in cases:
            cases[column] = ""
    optional = {name: folder / f"{name}.csv" for name in ("slices", "clinical")}
    tables = {name: _table(path) for name, path in optional.items() if path.is_file()}
    return ScoreFiles(cases=cases, info=_json(folder / "scores.json"), files=_files(folder), **tables)


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "cases.json"
    return {entry["case"]: entry for entry in _json(path)} if path.is_file() else {}


def _table(path: Path) -> pd.DataFrame:
    """Text columns as text, all others as floats with NaN for an empty cell."""
    try:
        # text stays as written: a case may be called NA or 001
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(_bad(path, "a table with one header line", str(error))) from error
    numeric = [column for column in table.columns if column not in _TEXT]
    return table.assign(**{column: pd.to_numeric(table[column], errors="coerce") for column in numeric})


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(_bad(path, "JSON", str(error))) from error


def _no_scores(path: Path) -> Problem:
    return Problem(
        file=str(path),
        expected="a score file",
        found="nothing",
        remedy="Write it with `volseg score PRED TRUTH -o OUT` or evaluate.json, then name that folder",
    )


def _bad(path: Path, expected: str, found: str) -> Problem:
    return Problem(str(path), expected, found, "Write the scores anew with `volseg score PRED TRUTH -o OUT`")
