"""The score files on disk: written whole or not at all, and read back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import DataError, Problem
from pipeline.files import refuse_existing

TEXT_COLUMNS = ("case", "patient", "phase", "group", "structure", "empty", "source", "stratum")
SCORE_FILES = ("scores.csv", "slices.csv", "scores.json", "cases.json", "clinical.csv", "lesions.csv")
COUNT_COLUMNS = ("slice", "truth_voxels", "pred_voxels", "lesion", "voxels", "detected")


def write_files(folder: Path, contents: Mapping[str, str], *, overwrite: bool = False) -> None:
    """Write text files into one folder: each under a temporary name first, renamed when all are written.

    Raises:
        DataError: a file exists and `overwrite` is false; then nothing is written.
    """
    if not overwrite:
        refuse_existing(folder / name for name in contents)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = {name: folder / f".{name}.{os.getpid()}.tmp" for name in contents}
    try:
        for name, path in temporary.items():
            path.write_text(contents[name], encoding="utf-8")
        for name, path in temporary.items():
            os.replace(path, folder / name)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def to_csv(table: pd.DataFrame) -> str:
    """The table as text: undefined values are empty cells, numbers have up to 7 significant digits."""
    return table.to_csv(index=False, float_format="%.7g")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON takes them: undefined values are None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def to_json(content: Any) -> str:
    """Indented JSON; a NaN in it is an error, since JSON has none."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_table(path: Path) -> pd.DataFrame:
    """A table of `to_csv`: text stays text (a case may be called 001 or NA), counts whole, empty cells undefined.

    Raises:
        DataError: no such file, or no such table.
    """
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(TEXT_COLUMNS, str), keep_default_na=False)
        for column in table.columns.difference(TEXT_COLUMNS):
            numbers = pd.to_numeric(table[column])
            table[column] = numbers.astype("Int64") if column in COUNT_COLUMNS else numbers.astype(float)
    except (OSError, ValueError) as error:
        raise DataError(_unreadable(path, error)) from error
    return table


def read_json(path: Path) -> Any:
    """The content of a JSON file; raises DataError where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> Problem:
    found = "nothing" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
    return Problem(str(path), "a score file", found, "Write the scores with `volseg score PRED TRUTH -o OUT`")
