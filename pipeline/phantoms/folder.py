"""Where phantoms are written: into a folder without data, or in the place of older phantoms, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.files import read_json


def write_phantoms(
    out: Path,
    draw: Callable[[Path], dict[str, Any]],
    *,
    name: str,
    tops: Iterable[str],
    foreign: Iterable[str] = (),
    settings: dict[str, Any],
    problems: Iterable[Problem],
    overwrite: bool,
) -> dict[str, Any]:
    """Write phantoms and their datalist; what `draw` leaves behind when it fails is removed.

    Args:
        out: the folder; it is made.
        draw: writes the files into the folder that it is given, and returns their datalist.
        name: of the datalist; by this name phantoms are recognised, and other data is never replaced.
        tops: all that phantoms of this name may have at the top of `out`, beside datalist.json. What is replaced is
            only what the phantoms hold that are there.
        foreign: what else there counts as data.
        settings: what the phantoms depend on, for the datalist.
        problems: what is wrong with them, told together with what is wrong with the folder.
        overwrite: replace phantoms that are there already.
    Raises:
        DataError: there are problems, or the folder holds data already.
    """
    old = _own(out, name, tops) if overwrite else set()
    problems = [*problems, *_obstacles(out, {*tops, *foreign, "datalist.json"} - old, name=name)]
    if problems:
        raise DataError(problems)
    from pipeline.datalists import save_datalist

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".phantoms.", dir=out) as temporary:
        datalist = draw(Path(temporary)) | {"name": name, "licence": "CC0-1.0"}
        datalist["provenance"]["phantoms"] = settings | {"holds": sorted(os.listdir(temporary))}
        save_datalist(datalist, Path(temporary, "datalist.json"))
        for top in old:
            _remove(out / top)
        for path in sorted(Path(temporary).iterdir()):
            os.replace(path, out / path.name)
    return datalist


def _obstacles(out: Path, data: Iterable[str], *, name: str) -> list[Problem]:
    """What forbids writing phantoms into a folder; empty where nothing does."""
    there = sorted(entry for entry in data if (out / entry).exists())
    if not there:
        return []
    ours = "datalist.json" in there and _list(out).get("name") == name
    found = ", ".join(there) + ("" if ours else ", which are not phantoms")
    remedy = "Give --overwrite or another folder" if ours else "Give another folder"
    return [Problem(str(out), "a folder without data", found, remedy)]


def _own(out: Path, name: str, tops: Iterable[str]) -> set[str]:
    """What belongs to the phantoms of this name that lie in a folder; nothing where there are none."""
    datalist = _list(out)
    if datalist.get("name") != name:
        return set()
    settings = (datalist.get("provenance") or {}).get("phantoms") or {}
    return {"datalist.json", *(settings.get("holds") or tops)}  # lists of earlier versions do not tell


def _list(out: Path) -> dict[str, Any]:
    """The folder's datalist; {} where there is no readable one."""
    try:
        content = read_json(out / "datalist.json")
    except DataError:
        return {}
    return content if isinstance(content, dict) else {}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
