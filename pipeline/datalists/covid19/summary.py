"""What is in a COVID-19 datalist, for people."""

from __future__ import annotations

from typing import Any

from pipeline.datalists.assemble import fold_table, kept_together


def summary(datalist: dict[str, Any]) -> str:
    """Collections found, a table of cases per source and fold, what was left out, and near-duplicates.

    Args:
        datalist: as `build` returns it, or read from its file.
    """
    origin, split = datalist["provenance"], datalist["split"]
    structures = " and ".join(name for name in datalist["labels"] if name != "background")
    counts = f"{_plural(origin['patients'], 'patient')}, {_plural(origin['cases'], 'case')}"
    lines = [f"{counts}, structures: {structures}"]
    for name, sections in origin["layouts"].items():
        found = ", ".join(f"{number} {section}" for section, number in sections.items() if number)
        lines.append(f"found {name}: {found or 'nothing listed'}")
    lines += fold_table(datalist, "case")
    if origin["without_masks"]:
        lines.append(f"{_plural(origin['without_masks'], 'case')} without masks: in testing, not scored")
    if split.get("train_on") == "fold":
        lines.append(f"{split['method']}: the chosen fold is trained on, all others are validated")
    lines += [f"left out of {reason}" for reason in origin["left_out"]]
    for alike in origin["near_duplicates"]:
        lines.append(f"near-duplicates: {', '.join(alike)} {kept_together(datalist, alike, key='case')}")
    return "\n".join(lines)


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
