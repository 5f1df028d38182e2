"""Means, spreads and counts of the scores, by structure, phase and group, over volumes and over slices."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from pipeline.metrics.cases import METRICS

VOLUME, SLICE = "volume", "slice"


def summarise(cases: pd.DataFrame, slices: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The summary of scores.json.

    Args:
        cases: rows of scores.csv (one for each case and structure, and the structure "mean").
        slices: rows of slices.csv.

    Returns:
        "overall", "by_phase" and "by_group" (each value counts one volume once) and "slices" (each value counts one
        slice once). Each entry: structure, metric, n, mean, sd, median, min, max, undefined, missed, false_found,
        unit; by_phase and by_group also phase or group. `sd` is the sample's (n - 1), None for n < 2. n counts defined
        values only; undefined counts the others, missed and false_found those with only one mask empty.
    """
    return {
        "overall": _entries(cases, VOLUME),
        "by_phase": _by(cases, "phase"),
        "by_group": _by(cases, "group"),
        "slices": _entries(slices, SLICE),
    }


def describe(values: pd.Series) -> dict[str, float | int | None]:
    """n, mean, sd, median, min, max of the defined values, and how many are undefined; None where there is none."""
    defined = values.dropna().astype(float)
    numbers = {
        "mean": defined.mean(),
        "sd": defined.std(ddof=1),
        "median": defined.median(),
        "min": defined.min(),
        "max": defined.max(),
    }
    known = {name: None if math.isnan(number) else float(number) for name, number in numbers.items()}
    return {"n": len(defined), **known, "undefined": len(values) - len(defined)}


def _by(cases: pd.DataFrame, column: str) -> list[dict[str, Any]]:
    levels = [level for level in dict.fromkeys(cases[column]) if level] if column in cases else []
    return [
        {column: level, **entry}
        for level in sorted(levels)
        for entry in _entries(cases[cases[column] == level], VOLUME)
    ]


def _entries(rows: pd.DataFrame, unit: str) -> list[dict[str, Any]]:
    found = []
    for structure in dict.fromkeys(rows["structure"]) if len(rows) else []:
        own = rows[rows["structure"] == structure]
        empty = own["empty"]
        counts = {"missed": int((empty == "pred").sum()), "false_found": int((empty == "truth").sum())}
        for metric in (metric for metric in METRICS if metric in own):
            described = describe(own[metric])
            found.append({"structure": structure, "metric": metric, **described, **counts, "unit": unit})
    return found
