"""Splits that publications on the 20 cases of COVID-19-CT-Seg report results on, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pipeline.datalists.splits import kfold
from pipeline.errors import DataError, Problem

PROTOCOLS = ("benchmark-4-16", "miscnn-16-4")
SOURCES = {"coronacases": 10, "radiopaedia": 10}


def twenty_cases(items: Sequence[dict[str, Any]], protocol: str) -> tuple[dict[str, int], dict[str, Any]]:
    """Five folds of four cases, two of each source, patients whole, for one of two protocols on the same folds.

    "benchmark-4-16" (Ma et al., arXiv 2004.12537, task 1): each fold in turn is trained on and the other 16 cases are
    tested; "miscnn-16-4" (Müller et al., doi 10.1016/j.imu.2021.100681): each is validated and the others trained on.
    The folds are ours: MIScnn deals them at random, without a seed, and the benchmark keeps its own in a Python pickle.
    They agree with both in number and size, so means over five folds compare, single folds do not.

    Args:
        items: the 20 cases, with case, patient and group (coronacases or radiopaedia).
        protocol: its name.
    Returns:
        fold (0 to 4) by case, and what to note in the datalist's "split"; {"train_on": "fold"} there says that the
        items of the chosen fold are trained on and the others validated.
    Raises:
        DataError: not exactly those 20 cases.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"no such protocol: {protocol!r}")
    counts = Counter(item["group"] for item in items)
    if counts != SOURCES:
        expected = "the 20 cases of COVID-19-CT-Seg, 10 coronacases and 10 radiopaedia"
        found = ", ".join(f"{count} {group}" for group, count in sorted(counts.items())) or "none of them"
        raise DataError(Problem(f"split {protocol}", expected, found, "Use the whole set or another split"))
    patients: dict[str, list[str]] = {}
    for item in items:
        patients.setdefault(item["patient"], []).append(item["case"])
    cases, groups = [item["case"] for item in items], [item["group"] for item in items]
    folds = kfold(cases, groups, folds=5, seed=0, together=patients.values())
    meta = {"method": protocol, "folds": 5, "seed": 0, "by": "patient", "stratify": "group"}
    return folds, meta | ({"train_on": "fold"} if protocol == "benchmark-4-16" else {})
