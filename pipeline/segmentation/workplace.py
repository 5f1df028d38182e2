"""The hidden folder in which a run makes its files before they get their names, and what a killed run left of it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.files import write_text

PREFIX = ".volseg-"
LOCK, JOURNAL = "lock", "journal.jsonl"


class Workplace:
    """OUTPUT/.volseg-XXXXXXXX/: nothing in OUTPUT but this is ever unfinished, as all else is renamed into it.

    Its journal tells what was done, line by line, so that the next run knows what became of one that was killed. A lock
    that the system drops with the process tells whether the run still lives.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.masks = folder / "masks"
        self.masks.mkdir()

    def note(self, entry: Mapping[str, Any]) -> None:
        """Add one line to the journal: first the run, then each case."""
        with (self.folder / JOURNAL).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry, default=str) + "\n")

    def clear(self) -> None:
        """Remove what a case has left; what goes meanwhile was an abandoned one's."""
        for leftover in [*self.masks.iterdir(), *self.folder.glob("frames")]:
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)


@contextmanager
def workplace(output: Path) -> Iterator[Workplace]:
    """A workplace of this process alone in a folder that is made where it is missing; removed in the end.

    Raises:
        DataError: the folder cannot be written to.
    """
    with writing(output):
        output.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=output, prefix=PREFIX))
    lock = None
    try:
        with writing(output):
            lock = _locked(folder)
            place = Workplace(folder)
        yield place
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """What cannot be written before the first case is begun is told as bad input."""
    try:
        yield
    except OSError as error:
        remedy = "Choose another folder, or make room on its disk"
        found = f"one that is not ({error.strerror or error})"
        raise DataError(Problem(str(output), "a folder that can be written to", found, remedy)) from error


def write_json(path: Path, content: Any, *, by_way_of: str | Path | None = None) -> Path:
    """Write a file that may exist, whole or not at all.

    `by_way_of` is a folder of the same file system that takes the unfinished file; default that of `path`.
    """
    text = json.dumps(content, indent=2, default=str) + "\n"
    os.replace(write_text(Path(by_way_of or path.parent) / path.name, text, overwrite=True), path)
    return path


def left_behind(output: Path) -> Iterator[list[dict[str, Any]]]:
    """The journals of killed runs, whose workplaces are removed once they have been told."""
    for folder in sorted(output.glob(f"{PREFIX}*")):
        if folder.is_dir() and _is_abandoned(folder):
            yield _journal(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _locked(folder: Path) -> int | None:
    """The lock of a new workplace; it gets its name once it is held. None where the file system has no locks."""
    try:
        import fcntl

        descriptor = os.open(folder / f".{LOCK}", os.O_CREAT | os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(folder / f".{LOCK}", folder / LOCK)
    except (ImportError, OSError):
        return None
    return descriptor


def _is_abandoned(folder: Path) -> bool:
    """Whether the process of a workplace is gone; False where that cannot be known."""
    with suppress(ImportError, OSError):
        import fcntl

        with (folder / LOCK).open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    return False


def _journal(folder: Path) -> list[dict[str, Any]]:
    entries = []
    with suppress(OSError):
        for line in (folder / JOURNAL).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line may be half of one
                entries.append(json.loads(line))
    return entries
