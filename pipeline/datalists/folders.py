"""What lies in a folder: its files, links followed once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.errors import printable
from pipeline.volumes.names import natural

logger = logging.getLogger("pipeline")


def files_below(folder: str | os.PathLike, *, without: Iterable[str | os.PathLike] = ()) -> list[Path]:
    """Every file below a folder, in no order; links are followed, and a circle of them ends.

    Left out are names that begin with a dot (such as macOS' `._` files), __MACOSX and the folders `without`; a
    folder that may not be read is named in the log.
    """
    found: list[Path] = []
    seen = set(map(os.path.realpath, without))
    for place, folders, names in os.walk(folder, onerror=_warn, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return found


def _warn(error: OSError) -> None:
    logger.warning("%s cannot be read and is left out (%s)", printable(str(error.filename)), error.strerror)


def files_in(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder that end so, in upper or lower case, in natural order; none where it is not there."""
    files = folder.iterdir() if folder.is_dir() else ()
    named = [path for path in files if path.name.lower().endswith(suffix.lower()) and not path.name.startswith(".")]
    return sorted(filter(Path.is_file, named), key=natural)


def entries_of(folder: Path) -> str:
    """The first names in a folder, for errors."""
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return some(names, 5) or "an empty folder"


def some(names: Sequence[object], most: int = 8) -> str:
    """The first of many names or numbers, for a line."""
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")
