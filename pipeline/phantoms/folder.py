"""Where phantoms may be written: a folder without data, or one whose phantoms are to be replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import Problem


def check_folder(out: Path, data: Iterable[str], *, name: str, overwrite: bool) -> list[Problem]:
    """What forbids writing phantoms into a folder; empty where nothing does.

    Args:
        out: the folder; it need not exist.
        data: files and folders whose presence means that there is data, as datalist.json does.
        name: of these phantoms' datalist; other data is never replaced.
        overwrite: whether phantoms that are there may be replaced.
    """
    there = [entry for entry in (*data, "datalist.json") if (out / entry).exists()]
    ours = _name(out) == name
    if not there or (overwrite and ours):
        return []
    remedy = "Give --overwrite or another folder" if ours else "Give another folder"
    found = ", ".join(there) + ("" if ours else ", which are not phantoms")
    return [Problem(str(out), "a folder without data", found, remedy)]


def _name(out: Path) -> str | None:
    """What the folder's datalist calls itself; None where there is no readable one."""
    try:
        return json.loads((out / "datalist.json").read_text(encoding="utf-8")).get("name")
    except (OSError, ValueError, AttributeError):
        return None
