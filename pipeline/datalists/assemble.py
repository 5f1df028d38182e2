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
    ruled = patient is not None or separator is not None
    rule = _rule(patient, separator)
    named = [[_named(item, rule) for item in section] for section in (training, testing)]
    unnamed = [item for section in named for item in section if not item["patient"]]
    if unnamed:
        wanted = f"a patient found by {patient or separator!r}"
        raise DataError([Problem(item["case"], wanted, "none", "Correct the rule or the name") for item in unnamed])
    if not any(named):
        raise DataError(Problem(str(meta.get("name", "data")), "cases", "none", "Give the folder that holds them"))
    known = ruled or any(item["patient"] != item["case"] for section in named for item in section)
    datalist = {
        **meta,
        "labels": {"background": 0, **{name: value for name, value in labels.items() if value != 0}},
        "split": {
            "method": "kfold",
            "folds": folds,
            "seed": seed,
            "by": "patient" if known else "case",
            "stratify": "group" if any("group" in item for item in named[0]) else None,
        },
        "provenance": _provenance(named[0] + named[1], [*notes, *([] if known else [UNNAMED])]),
        "training": _folded(named[0], folds=folds, seed=seed),
        "testing": named[1],
    }
    check_no_leak(datalist)
    return datalist


def summary(datalist: Mapping[str, Any]) -> str:
    """What is in a datalist, for people: cases, patients, structures, channels, a table of folds, and the notes."""
    provenance = datalist["provenance"]
    structures = [f"{name} {_numbers(value)}" for name, value in datalist["labels"].items() if value != 0]
    lines = [f"{provenance['cases']} cases of {provenance['patients']} patients"]
    lines.append("structures: " + ", ".join(structures))
    if len(datalist.get("channels", ())) > 1:
        lines.append(f"{len(datalist['channels'])} channels: " + ", ".join(datalist["channels"]))
    lines += _table(datalist)
    lines += [f"Note: {note}." for note in provenance.get("notes", [])]
    return "\n".join(lines)


def check_shapes(items: Iterable[Mapping[str, Any]], root: str | os.PathLike, *, channels: int = 1) -> list[Problem]:
    """Every file of a case must have the same shape; only headers are read.

    Args:
        items: with paths relative to `root`.
        channels: values per voxel that a case has; a file may hold them in its fourth axis.
    Returns:
        one problem for each file that differs from its case's first image, or that cannot be read.
    """
    from tqdm import tqdm

    problems: list[Problem] = []
    for item in tqdm(list(items), desc="comparing shapes", unit="case", leave=False):
        try:
            problems += _shape_faults(item, Path(root), channels)
        except DataError as error:
            problems += error.problems
    return problems


def natural(name: str | os.PathLike) -> list[tuple[int, int | str]]:
    """A sorting key that counts: slice_9 comes before slice_10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", os.fspath(name)) if part]


def entries_of(folder: Path) -> str:
    """The first names in a folder, for errors."""
    if not folder.is_dir():
        return "no such folder"
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") or "an empty folder"


def _rule(patient: str | None, separator: str | None) -> re.Pattern[str] | None:
    if patient is not None and separator is not None:
        raise DataError(Problem("patient", "a pattern or a separator", "both", "Give one of the two"))
    if separator is not None:
        return re.compile(rf"^(?P<patient>.+?){re.escape(separator)}")
    try:
        return re.compile(patient) if patient is not None else None
    except re.error as error:
        raise DataError(Problem("patient", "a regular expression", f"{patient} ({error})", "Correct it")) from None


def _named(item: Mapping[str, Any], rule: re.Pattern[str] | None) -> dict[str, Any]:
    """The item with its patient ("" where the rule finds none) and, where the rule tells it, its group."""
    if rule is None:
        return {**item, "patient": item.get("patient", item["case"])}
    first = files_of(dict(item))[0]
    path = os.path.join(os.path.dirname(first), case_name(first))
    found = rule.search(path if "/" in rule.pattern else item["case"])
    if found is None:
        return {**item, "patient": ""}
    parts = found.groupdict()
    name = parts["patient"] if "patient" in parts else found.group(1) if rule.groups else found.group()
    group = {"group": parts["group"]} if parts.get("group") else {}
    return {**item, "patient": name or "", **group}


def _folded(items: list[dict[str, Any]], *, folds: int, seed: int) -> list[dict[str, Any]]:
    if not items:
        return []
    group_of: dict[str, str] = {}
    for item in items:
        group_of.setdefault(item["patient"], item.get("group", ""))
    if len(group_of) < 2:
        remedy = "Add cases of other patients, or correct the rule for patients"
        raise DataError(Problem(next(iter(group_of)), "two patients or more, to validate on", "this one alone", remedy))
    side = splits.kfold(list(group_of), list(group_of.values()), folds=folds, seed=seed)
    return [item | {"fold": side[item["patient"]]} for item in items]


def _provenance(items: list[dict[str, Any]], notes: list[str]) -> dict[str, Any]:
    group_of = {item["patient"]: item["group"] for item in items if "group" in item}
    files = sorted(path for item in items for path in files_of(item))
    found: dict[str, Any] = {
        "program": f"volseg {__version__}",
        "patients": len({item["patient"] for item in items}),
        "cases": len(items),
        "files": hashlib.sha256("\n".join(files).encode()).hexdigest(),
    }
    if group_of:
        found["groups"] = dict(sorted(Counter(group_of.values()).items()))
    return found | ({"notes": notes} if notes else {})


def _numbers(value: int | Sequence[int]) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _table(datalist: Mapping[str, Any]) -> list[str]:
    """Cases by group and fold, and the patients of each fold."""
    columns: dict[str, list[Mapping[str, Any]]] = {}
    for section in SECTIONS:
        for item in datalist[section]:
            columns.setdefault(f"fold {item['fold']}" if "fold" in item else section, []).append(item)
    names = sorted(columns, key=natural)
    groups = sorted({item["group"] for items in columns.values() for item in items if "group" in item})
    rows = [("", names)]
    rows += [(group, [sum(item.get("group") == group for item in columns[name]) for name in names]) for group in groups]
    rows += [("cases", [len(columns[name]) for name in names])]
    rows += [("patients", [len({item["patient"] for item in columns[name]}) for name in names])]
    width = max(len(head) for head, _ in rows)
    return [f"{head:<{width}}" + "".join(f"{cell:>9}" for cell in cells) for head, cells in rows]


def _shape_faults(item: Mapping[str, Any], root: Path, channels: int) -> Iterable[Problem]:
    from pipeline import volumes

    image, *others = [root / path for path in files_of(dict(item))]
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
