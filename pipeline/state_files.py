"""Files of weights and training states: written whole or not at all, and read without trust."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.errors import DataError, Problem

PICKLE = b"\x80"  # how Python's pickles begin; those that torch.save made of weights alone are read


def save_atomically(content: Any, path: Path, *, earlier: Path | None = None) -> None:
    """torch.save to a temporary name in the same folder, flushed to disk, then renamed.

    Args:
        earlier: what `path` held until then is kept under this name.

    Raises:
        OSError: no room on the disk, say; what `path` held is still there, and the unfinished file is not.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        if earlier is not None and path.is_file():
            os.replace(path, earlier)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except (RuntimeError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__context__  # torch's error hides that of the file
        if isinstance(cause, OSError):
            raise OSError(cause.errno, cause.strerror, str(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def load_file(path: Path) -> dict[str, Any]:
    """A file of `save_atomically`, or other weights, on the CPU; nothing that it may contain is executed.

    Raises:
        DataError: damaged, or no such file.
    """
    try:
        _check_archive(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, Mapping):
            raise TypeError(f"a {type(state).__name__}")
        return state
    except Exception as error:
        remedy = "Take another copy of the file; a file that holds more than weights is refused"
        raise DataError(Problem(str(path), "a PyTorch file of weights", _reason(path, error), remedy)) from error


def _flush_folder(folder: Path) -> None:
    """Make renamed files survive a power failure, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(path: Path, error: Exception) -> str:
    """Why a file was not read; PyTorch's own words advise to read it with trust."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        with path.open("rb") as file:
            is_pickle = file.read(1) == PICKLE
        if is_pickle or "Unsupported global" in text or "TorchScript" in text:
            return "a file that holds more than weights (it could run code)"
        return "a file of another kind"
    if "hasRecord" in text:
        return "an archive that PyTorch did not write"
    return text.splitlines()[0][:120] if text else type(error).__name__


def _check_archive(path: Path) -> None:
    """Look for what PyTorch does not see, or tells badly: checksums, and files that were cut off."""
    with path.open("rb") as file:
        start = file.read(2)
    if not start:
        raise ValueError("an empty file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"a wrong checksum in {broken}")
    elif start == b"PK":
        raise ValueError("a file that was cut off")
