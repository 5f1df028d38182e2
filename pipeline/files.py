"""Small text and JSON files, written whole or not at all."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import DataError, Problem

REMEDY = "Move it away and try again"
Kind = TypeVar("Kind", dict, list)


def refuse_existing(paths: Iterable[str | Path]) -> None:
    """Raise a DataError that names every one of these files that is there already."""
    remedy = "Ask for it to be overwritten (--overwrite), or write elsewhere"
    there = [
        Problem(str(path), "no file of that name", "one that exists", remedy) for path in paths if Path(path).exists()
    ]
    if there:
        raise DataError(there)


@contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A name for an unfinished file in the folder of `path`, which is made; what was written takes the place of `path`
    at the end of the block, and is removed where that fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes, *, overwrite: bool = False) -> Path:
    """Write a file whole or not at all; raises DataError for one that may not be replaced."""
    path = Path(path)
    if not overwrite:
        refuse_existing([path])
    with unfinished(path) as temporary:
        temporary.write_bytes(content)
    return path


def write_text(path: str | Path, content: str, *, overwrite: bool = False) -> Path:
    """Write UTF-8 text as `write_bytes` does."""
    return write_bytes(path, content.encode(), overwrite=overwrite)


def read_json(path: str | Path) -> Any:
    """What a JSON file holds; raises DataError where it is none."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # the last: nested too deeply
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        remedy = "Check how it is spelt" if isinstance(error, FileNotFoundError) else REMEDY
        raise DataError(Problem(str(path), "a JSON file", found, remedy)) from error


def read_entry(path: str | Path, key: str, kind: type[Kind]) -> Kind:
    """One entry of a JSON file that holds an object; raises DataError where there is none of this kind."""
    content = read_json(path)
    entry = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entry, kind):
        name = "a list" if kind is list else "an object"
        raise DataError(Problem(str(path), f"{name} {key!r}", "none: another program's file", REMEDY))
    return entry
