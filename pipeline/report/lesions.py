"""Lesion scores in words and pictures: detection, size strata, agreement of load and of affected share."""

from __future__ import annotations

from typing import Any

from pipeline.metrics.lesion_summary import RATES, Lesions
from pipeline.metrics.lesions import DEFINITIONS
from pipeline.report.clinical import agreement_plot, in_words
from pipeline.report.figures import Picture

DETECTION_HEAD = ["Structure", "True", "Detected", "Missed", "Predicted", "False", "Sensitivity", "Precision", "F1"]
STRATA_HEAD = ["Size", "True", "Detected", "Sensitivity", "Dice by lesion", "Predicted", "False", "Precision"]
COUNTS = ("truth", "detected", "missed", "pred", "false")
PLOTTED = ("load", "affected", "affected_left", "affected_right")


def lesion_tables(lesions: Lesions | None) -> dict[str, Any]:
    """What the page says of lesions, by the names in lesions.html.j2; empty where they were not scored."""
    if lesions is None:
        return {}
    return {
        "detection_head": DETECTION_HEAD,
        "detection": detection_rows(lesions),
        "strata_head": STRATA_HEAD,
        "strata": strata_tables(lesions),
        "agreement": lesion_agreement(lesions),
        "shares": any(lesions.organs.values()),
        "definitions": DEFINITIONS,
    }


def detection_rows(lesions: Lesions) -> list[list[tuple[str, str]]]:
    """One row for each lesion structure under DETECTION_HEAD: (pooled over all lesions, by case) in words."""
    rows = []
    for entry in lesions.summary:
        without = entry["cases_without"]
        cases = "1 case" if entry["cases"] == 1 else f"{entry['cases']} cases"
        note = cases + (f", {without} without a true lesion" if without else "")
        counts = [(str(entry[key]), "") for key in COUNTS]
        rates = [(_rate(entry[key]), f"by case {_spread(entry['by_case'][key])}") for key in RATES]
        rows.append([(entry["structure"], note), *counts, *rates])
    return rows


def strata_tables(lesions: Lesions) -> dict[str, list[list[str]]]:
    """For each lesion structure that has lesions, rows under STRATA_HEAD."""
    return {
        entry["structure"]: [_stratum(row) for row in entry["strata"]] for entry in lesions.summary if entry["strata"]
    }


def lesion_agreement(lesions: Lesions) -> list[list[str]]:
    """Agreement of load, organ volumes and affected shares, under `pipeline.report.clinical.AGREEMENT_HEAD`."""
    return [
        in_words(row, name=quantity_name(row["quantity"], entry["structure"], entry["organ"]))
        for entry in lesions.summary
        for row in entry["agreement"]
    ]


def lesion_plots(lesions: Lesions, structure: str, *, colour: str | None = None) -> list[Picture]:
    """Prediction against truth and Bland-Altman plots of the load and the affected shares of one structure."""
    entry = next(entry for entry in lesions.summary if entry["structure"] == structure)
    table, look = lesions.loads(structure), {"prefix": f"lesions_{structure}", "colour": colour}
    return [
        agreement_plot(table, row, **look, name=quantity_name(row["quantity"], structure, entry["organ"]))
        for row in entry["agreement"]
        if row["quantity"] in PLOTTED and row["n"]
    ]


def quantity_name(quantity: str, structure: str, organ: str | None) -> str:
    """ "load" as "infection load", "affected_left" as "lungs affected, left", "organ" as "lungs volume"."""
    what, _, side = quantity.partition("_")
    if what == "load":
        return f"{structure} load"
    return f"{organ} {'affected' if what == 'affected' else 'volume'}" + (f", {side}" if side else "")


def _stratum(row: dict[str, Any]) -> list[str]:
    true = [str(row["truth"]), str(row["detected"]), _rate(row["sensitivity"]), _spread(row["dice"])]
    return [row["stratum"], *true, str(row["pred"]), str(row["false"]), _rate(row["precision"])]


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _spread(entry: dict[str, Any]) -> str:
    if entry["mean"] is None:
        return "–"
    return f"{entry['mean']:.3f}" + (f" ± {entry['sd']:.3f}" if entry["sd"] is not None else "")
