"""Checksums of the files of a folder, in the form that `sha256sum -c` reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

NAME = "checksums.sha256"
WRITTEN_LATER = {"runs", "__pycache__"}  # what using a bundle adds to its folder


def write(folder: Path) -> Path:
    """Write FOLDER/checksums.sha256 over all files below it."""
    lines = [f"{_digest(folder / name)}  {name}\n" for name in files_of(folder)]
    path = folder / NAME
    path.write_text("".join(lines), encoding="utf-8")
    return path


def read(folder: Path) -> dict[str, str]:
    """File -> sha256 as the list has them; empty where there is no list."""
    path = folder / NAME
    if not path.is_file():
        return {}
    rows = (line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return {row[-1]: row[0] for row in rows}


def differences(folder: Path) -> dict[str, str]:
    """File -> "missing", "changed" or "not listed", against the list."""
    listed = read(folder)
    found = {name: "not listed" for name in files_of(folder) if name not in listed}
    for name, digest in listed.items():
        path = folder / name
        if not path.is_file():
            found[name] = "missing"
        elif _digest(path) != digest:
            found[name] = "changed"
    return found


def files_of(folder: Path) -> list[str]:
    """Relative names of the files of a bundle, in order, without the list itself and what using it adds."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted({name.as_posix() for name in names if not WRITTEN_LATER & set(name.parts)} - {NAME})


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
