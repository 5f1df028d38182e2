"""Cases of any layout become a datalist: patients by name, folds by patient, where it came from, and a summary."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.datalists import splits
from pipeline.datalists.datalist import SECTIONS, case_name, check_no_leak, files_of
from pipeline.errors import DataError, Problem
from pipeline.structures import numbers_of
from pipeline.volumes.names import natural

UNNAMED = (
    "no rule for patients was given, so every case counts as a patient of its own. If cases share a patient, name the "
    "patient by --patient or --separator: otherwise the scores will be too good"
)


def assemble(
    training: Sequence[Mapping[str, Any]],
    *,
    testing: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, Any],
    folds: int = 5,
    seed: int = 0,
    patient: str | None = None,
    separator: str | None = None,
    notes: Iterable[str] = (),
    **meta: Any,
) -> dict[str, Any]:
    """Name the patients of cases, deal them into folds and add what a datalist says of itself.

    Args:
        training: items with "image", "label" and "case"; those that have "patient" keep it.
        testing: items that stay out of the folds.
        labels: structure -> number or numbers; "background": 0 is put before them.
        folds: number of folds; a patient is in one of them, groups are spread evenly.
        seed: of the shuffle.
        patient: regular expression that finds the patient in a case's name, or in the path of its first file where
            the expression holds a "/". The part named `patient`, else its first part in brackets, else all that it
            matches, is the patient; a part named `group` is the group.
        separator: the patient is what stands before it in the case's name.
        notes: sentences for people, kept in provenance.
        meta: further keys of the datalist: name, description, modality, reference, licence, ...
    Returns:
        the datalist, patients checked to be on one side each.
    Raises:
        DataError: no case, names without a patient, too few patients, or a patient on two sides.
    """
    rule = _rule(patient, separator)
    training, testing = ([_named(item, rule) for item in section] for section in (training, testing))
    cases = training + testing
    unnamed = [item["case"] for item in cases if not item["patient"]]
    if unnamed:
        wanted = f"a patient found by {patient or separator!r}"
        raise DataError([Problem(case, wanted, "none", "Correct the rule or the name") for case in unnamed])
    if not cases:
        raise DataError(Problem(str(meta.get("name", "data")), "cases", "none", "Give the folder that holds them"))
    known = rule is not None or any(item["patient"] != item["case"] for item in cases)
    notes = [*notes] if known else [*notes, UNNAMED]
    datalist = {
        **meta,
        "labels": {"background": 0, **labels},
        "split": {
            "method": "kfold",
            "folds": folds,
            "seed": seed,
            "by": "patient" if known else "case",
            "stratify": "group" if any("group" in item for item in training) else None,
        },
        "provenance": provenance(cases, **({"notes": notes} if notes else {})),
        "training": _folded(training, folds=folds, seed=seed),
        "testing": testing,
    }
    check_no_leak(datalist)
    return datalist


def provenance(items: Iterable[Mapping[str, Any]], *, counted: str = "patient", **more: Any) -> dict[str, Any]:
    """Where a list comes from: the program, what it counted, a digest of the files' names, and `more`.

    Args:
        items: of both sections.
        counted: what "groups" counts, "patient" or "case".
    """
    items = list(items)
    groups = {item[counted]: item["group"] for item in items if "group" in item}
    files = sorted({path for item in items for path in files_of(item)})
    return {
        "program": f"volseg {__version__}",
        "patients": len({item["patient"] for item in items}),
        "cases": len(items),
        **({"groups": dict(sorted(Counter(groups.values()).items()))} if groups else {}),
        "files": hashlib.sha256("\n".join(files).encode()).hexdigest(),
        **more,
    }


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


def check_shapes(items: Sequence[Mapping[str, Any]], root: Path, *, channels: int = 1) -> list[Problem]:
    """Every file of a case must have the same shape; only headers are read.

    Args:
        items: with paths relative to `root`.
        channels: values per voxel that a case has; a file may hold them in its fourth axis.
    Returns:
        one problem for each file that differs from its case's first image, or that cannot be read.
    """
    from tqdm import tqdm

    problems: list[Problem] = []
    for item in tqdm(items, desc="comparing shapes", unit="case", leave=False):
        try:
            problems += _shape_faults(item, root, channels)
        except DataError as error:
            problems += error.problems
    return problems


def compiled(pattern: str | None, option: str) -> re.Pattern[str] | None:
    """A regular expression that the user gave by an option, None where there is none; DataError where it is faulty."""
    try:
        return re.compile(pattern) if pattern is not None else None
    except re.error as error:
        raise DataError(Problem(option, "a regular expression", f"{pattern} ({error})", "Correct it")) from None


def _rule(patient: str | None, separator: str | None) -> re.Pattern[str] | None:
    if patient is not None and separator is not None:
        raise DataError(Problem("patient", "a pattern or a separator", "both", "Give one of the two"))
    if separator is not None:
        patient = rf"^(?P<patient>.+?){re.escape(separator)}"
    return compiled(patient, "patient")


def _named(item: Mapping[str, Any], rule: re.Pattern[str] | None) -> dict[str, Any]:
    """The item with its patient ("" where the rule finds none) and, where the rule tells it, its group."""
    if rule is None:
        return {**item, "patient": item.get("patient", item["case"])}
    first = files_of(item)[0]
    path = os.path.join(os.path.dirname(first), case_name(first))
    found = rule.search(path if "/" in rule.pattern else item["case"])
    if found is None:
        return {**item, "patient": ""}
    parts = found.groupdict()
    name = parts["patient"] if "patient" in parts else found.group(1 if rule.groups else 0)
    group = {"group": parts["group"]} if parts.get("group") else {}
    return {**item, "patient": name or "", **group}


def _folded(items: list[dict[str, Any]], *, folds: int, seed: int) -> list[dict[str, Any]]:
    if not items:
        return []
    group_of = {item["patient"]: item.get("group", "") for item in reversed(items)}  # the first one counts
    if len(group_of) < 2:
        remedy = "Add cases of other patients, or correct the rule for patients"
        raise DataError(Problem(next(iter(group_of)), "two patients or more, to validate on", "this one alone", remedy))
    side = splits.kfold(list(group_of), list(group_of.values()), folds=folds, seed=seed)
    return [item | {"fold": side[item["patient"]]} for item in items]


def _placed(datalist: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Each item with its fold, or its section where it has none."""
    for section in SECTIONS:
        for item in datalist[section]:
            yield f"fold {item['fold']}" if "fold" in item else section, item


def _shape_faults(item: Mapping[str, Any], root: Path, channels: int) -> Iterable[Problem]:
    from pipeline import volumes

    image, *others = [root / path for path in files_of(item)]
    first = volumes.shape(image)
    several, inside = isinstance(item["image"], list), first[3] if len(first) > 3 else 1
    if not several and channels > 1 and inside != channels and not volumes.is_picture(image):
        expected = f"{channels} channels in the fourth axis"
        yield Problem(str(image), expected, _size(first), "Correct the file or the list")
    if (several or channels == 1) and inside > 1:
        yield Problem(str(image), "a volume with three axes", _size(first), "Split its fourth axis into files")
    for path in others:
        found = volumes.shape(path)
        if _padded(found) != _padded(first)[:3]:
            expected = f"the shape of {image.name}, {_size(_padded(first)[:3])}"
            yield Problem(str(path), expected, _size(found), "Pair each image with the mask that was drawn on it")


def _padded(shape: Sequence[int]) -> tuple[int, ...]:
    """At least three axes, and no fourth of length one."""
    shape = (*shape, *(1,) * (3 - len(shape)))
    return shape[:3] if all(length == 1 for length in shape[3:]) else tuple(shape)


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
