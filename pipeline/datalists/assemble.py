"""Cases of any layout become a datalist: patients by name, folds by patient, and where it came from."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline import __version__
from pipeline.datalists import splits
from pipeline.datalists.datalist import case_name, check_no_leak, files_of
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


def compiled(pattern: str | None, option: str) -> re.Pattern[str] | None:
    """A regular expression that the user gave by an option, None where there is none; DataError where it is faulty."""
    try:
        return re.compile(pattern) if pattern is not None else None
    except re.error as error:
        raise DataError(Problem(option, "a regular expression", f"{pattern} ({error})", "Correct it")) from None


def _rule(patient: str | None, separator: str | None) -> re.Pattern[str] | None:
    if patient is not None and separator is not None:
        raise DataError(Problem("patient", "a pattern or a separator", "both", "Give one of the two"))
    if "" in (patient, separator):
        option, example = ("separator", "_") if separator == "" else ("patient", r"^[^_]+")
        expected, remedy = "a text that tells patients apart", f"Give one, such as {example}"
        raise DataError(Problem(option, expected, "an empty one", remedy))
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
