"""Why a case failed, in one line, whatever library said so."""

from __future__ import annotations

from pathlib import Path

from pipeline.endings import NO_SPACE, chain
from pipeline.errors import DataError

NO_ENTRY = "is not defined in the config"  # MONAI's words for a reference to nothing; why it looked lies further in


def root_cause(error: BaseException, *, name_files: bool = False) -> str:
    """The innermost error of a chain in one line without a full stop; MONAI wraps each one into several of its own.

    With `name_files` the file of each problem is named: where a case has several.
    """
    error = innermost(error)
    if isinstance(error, DataError):
        named = [f"{Path(p.file).name}: " if name_files else "" for p in error.problems]
        told = [f"expected {p.expected}, found {p.found}" for p in error.problems]
        return "; ".join(map("".join, zip(named, told, strict=True)))
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2])[:240].rstrip(".,")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def remedy_of(error: BaseException) -> str:
    """What the user can do about the first problem of a chain, as far as it is known."""
    error = innermost(error)
    return error.problems[0].remedy if isinstance(error, DataError) else ""


def innermost(error: BaseException) -> BaseException:
    """The error of a chain that says most; a DataError where there is one."""
    found = list(chain(error))
    return next((one for one in found if isinstance(one, DataError) or NO_ENTRY in str(one)), found[-1])


def is_disk_full(error: BaseException) -> bool:
    """Whether an error, or one that caused it, says that there is no room left for a file."""
    return any(isinstance(one, OSError) and one.errno in NO_SPACE for one in chain(error))
