"""What is in a COVID-19 datalist, for people."""

from __future__ import annotations

from collections import Counter
from typing import Any


def summary(datalist: dict[str, Any]) -> str:
    """Collections found, a table of cases per source and fold, what was left out, and near-duplicates.

    Args:
        datalist: as `build` returns it, or read from its file.
    """
    provenance = datalist["provenance"]
    lines = [f"{_plural(provenance['patients'], 'patient')}, {_plural(provenance['cases'], 'case')}, structures: "]
    lines[0] += " and ".join(name for name in datalist["labels"] if name != "background")
    lines += [f"found {name}: {_counts(counts)}" for name, counts in provenance["layouts"].items()]
    lines += _table(datalist)
    if provenance["without_masks"]:
        lines.append(f"{_plural(provenance['without_masks'], 'case')} without masks: in testing, not scored")
    if datalist["split"].get("train_on") == "fold":
        lines.append(f"{datalist['split']['method']}: the chosen fold is trained on, all others are validated")
    lines += [f"left out of {reason}" for reason in provenance["left_out"]]
    return "\n".join(lines + _near_duplicates(datalist))


def _table(datalist: dict[str, Any]) -> list[str]:
    columns: dict[str, Counter] = {}
    for item in datalist["training"]:
        columns.setdefault(f"fold {item['fold']}", Counter())[item["group"]] += 1
    for item in datalist["testing"]:
        columns.setdefault("testing", Counter())[item["group"]] += 1
    names = sorted(columns, key=lambda name: (name == "testing", len(name), name))
    groups = sorted({group for counts in columns.values() for group in counts})
    width = max(len("cases"), *map(len, groups))
    rows = [" " * width + "".join(f"{name:>9}" for name in names)]
    rows += [f"{group:<{width}}" + "".join(f"{columns[name][group]:>9}" for name in names) for group in groups]
    totals = "".join(f"{columns[name].total():>9}" for name in names)
    return [*rows, f"{'cases':<{width}}{totals}"]


def _near_duplicates(datalist: dict[str, Any]) -> list[str]:
    sides = {item["case"]: f"fold {item['fold']}" for item in datalist["training"]}
    sides |= {item["case"]: "testing" for item in datalist["testing"]}
    lines = []
    for alike in datalist["provenance"]["near_duplicates"]:
        where = sorted({sides[case] for case in alike})
        verb = "are kept in" if len(where) == 1 else "LEAK between"
        lines.append(f"near-duplicates: {', '.join(alike)} {verb} {' and '.join(where)}")
    return lines


def _counts(counts: dict[str, int]) -> str:
    parts = [f"{number} {section}" for section, number in counts.items() if number]
    return ", ".join(parts) or "nothing listed"


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
