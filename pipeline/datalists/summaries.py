"""What is in a datalist, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.datalists.datalist import SECTIONS
from pipeline.structures import numbers_of
from pipeline.volumes.names import natural


def summary(datalist: Mapping[str, Any]) -> str:
    """What is in a datalist, for people: cases, patients, structures, channels, a table of folds, and the notes."""
    origin = datalist["provenance"]
    numbers = {name: "+".join(map(str, members)) for name, members in numbers_of(datalist["labels"]).items()}
    lines = [f"{origin['cases']} cases of {origin['patients']} patients"]
    lines.append("structures: " + ", ".join(f"{name} {members}" for name, members in numbers.items()))
    if len(datalist["channels"]) > 1:
        lines.append(f"{len(datalist['channels'])} channels: " + ", ".join(datalist["channels"]))
    lines += fold_table(datalist, "case", "patient")
    lines += [f"Note: {note}." for note in origin.get("notes", [])]
    return "\n".join(lines)


def fold_table(datalist: Mapping[str, Any], *counted: str) -> list[str]:
    """Lines with a column for each fold and section: how many of each group there are, and in all.

    Args:
        datalist: its items have the keys that are counted.
        counted: "patient", "case"; the first one is counted in each group, all in the last lines.
    """
    columns: dict[str, list[Mapping[str, Any]]] = {}
    for name, item in _placed(datalist):
        columns.setdefault(name, []).append(item)
    names = sorted(columns, key=natural)
    groups = sorted({item.get("group", "?") for items in columns.values() for item in items})
    groups = [] if groups == ["?"] else groups
    rows = [("", names)]
    for key, group in [*((counted[0], group) for group in groups), *((key, None) for key in counted)]:
        members = ([item for item in columns[name] if group in (None, item.get("group", "?"))] for name in names)
        rows.append((group or f"{key}s", [len({item[key] for item in those}) for those in members]))
    width = max(len(head) for head, _ in rows)
    return [f"{head:<{width}}" + "".join(f"{cell:>9}" for cell in cells) for head, cells in rows]


def kept_together(datalist: Mapping[str, Any], names: Iterable[str], *, key: str) -> str:
    """Whether patients or cases (`key`) are on one side, for people: "are kept in fold 1", or "LEAK between ..."."""
    names = set(names)
    where = sorted({place for place, item in _placed(datalist) if item[key] in names})
    return f"{'are kept in' if len(where) == 1 else 'LEAK between'} {' and '.join(where)}"


def _placed(datalist: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Each item with its fold, or its section where it has none."""
    for section in SECTIONS:
        for item in datalist[section]:
            yield f"fold {item['fold']}" if "fold" in item else section, item
