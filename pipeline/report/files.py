"""Files that are whole or absent, and never replaced unasked."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import DataError, Problem


def write_new(path: Path, content: bytes | str, *, overwrite: bool = False) -> Path:
    """Write under a temporary name in the same folder, then rename; parent folders are made.

    Raises:
        DataError: the file exists and `overwrite` is false.
    """
    if not overwrite:
        refuse_existing([path])
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def refuse_existing(paths: Iterable[Path]) -> None:
    """Raise a DataError that names every one of the files that exists already."""
    remedy = "Choose another place, or allow overwriting"
    problems = [
        Problem(str(path), "a new file", "one that is there already", remedy) for path in paths if path.exists()
    ]
    if problems:
        raise DataError(problems)
