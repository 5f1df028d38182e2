"""The summary rows of scores.json arranged as tables of ready-made words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from pipeline.metrics.labels import MEAN, numbers_of
from pipeline.metrics.scores import Scores


@dataclass(frozen=True)
class Metric:
    """How one column of the score files is named and written.

    Args:
        name: heading, with the unit where there is one.
        decimals: digits after the point.
        scale: what the stored number is multiplied by before it is written.
        unit: stands behind each number where the heading does not name it.
    """

    name: str
    decimals: int
    scale: float = 1.0
    unit: str = ""

    def write(self, value: float | None) -> str:
        """The number in words; a dash where it is undefined."""
        if value is None or not math.isfinite(value):
            return "–"
        return f"{value * self.scale:.{self.decimals}f} {self.unit}".rstrip()


MM = " (mm)"
METRICS = {
    "dice": Metric("Dice", 3),
    "iou": Metric("IoU", 3),
    "pixel_error": Metric("Pixel error (%)", 2, scale=100),
    "hd_mm": Metric("HD (mm)", 1),
    "hd95_mm": Metric("HD95 (mm)", 1),
}


def metrics_of(scores: Scores, *, unit_in_cells: bool = False) -> dict[str, Metric]:
    """METRICS, with pixels in place of mm where no millimetres are known.

    Args:
        scores: what they are of.
        unit_in_cells: whether the unit of lengths stands behind each number, not in the heading.
    """
    if unit_in_cells:
        units = {key: scores.length_unit if m.name.endswith(MM) else "" for key, m in METRICS.items()}
        return {key: replace(m, name=m.name.removesuffix(MM), unit=units[key]) for key, m in METRICS.items()}
    if scores.length_unit == "mm":
        return METRICS
    return {key: replace(m, name=m.name.replace("(mm)", f"({scores.length_unit})")) for key, m in METRICS.items()}


def unit_of(scores: Scores) -> str:
    """What is averaged over: "volume", or "slice" where every case is a single one."""
    counts = scores.slices.groupby("case")["slice"].nunique() if len(scores.slices) else pd.Series(dtype=int)
    return "slice" if len(counts) and (counts == 1).all() else "volume"


@dataclass(frozen=True)
class Cell:
    """One summarised metric: all words, with a dash for what is undefined."""

    mean: str
    sd: str
    median: str
    n: int
    undefined: int

    def __str__(self) -> str:
        return self.mean if self.sd == "–" else f"{self.mean} ± {self.sd}"


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Args:
        level: the phase or group it is about; "" for all cases.
        structure: or "mean".
        cells: by metric.
        note: how often the structure was missed or falsely found ("2 missed, 1 false"); "" if never.
    """

    level: str
    structure: str
    cells: dict[str, Cell]
    note: str = ""

    @property
    def n(self) -> int:
        """How many values there are, the undefined ones included."""
        return max((cell.n + cell.undefined for cell in self.cells.values()), default=0)


def structures_of(scores: Scores) -> list[str]:
    """Names of the structures in the order of their labels, without background and without the mean."""
    own = {name: numbers[0] for name, numbers in numbers_of(scores.labels).items()}
    return [name for name in sorted(own, key=own.__getitem__) if own[name]]


def levels_of(scores: Scores, key: str) -> list[str]:
    """The sorted levels of "phase" or "group", the entries of "patient"; empty where the cases have none."""
    return sorted(set(scores.cases[key]) - {""}) if key in scores.cases else []


def patients_of(table: pd.DataFrame) -> pd.Series:
    """The patient of each row, or its case where no patient is known."""
    return table["patient"].where(table["patient"].astype(bool), table["case"])


def cases_in_words(scores: Scores) -> str:
    """3 cases of 2 patients; 3 cases where no patient is known."""
    told = [(scores.cases["case"].nunique(), "case")]
    if levels_of(scores, "patient"):
        told.append((patients_of(scores.cases).nunique(), "patient"))
    return " of ".join(f"{number} {what}{'' if number == 1 else 's'}" for number, what in told)


def overall_rows(scores: Scores) -> list[Row]:
    """One row for each structure, and one for their mean where there are several."""
    return _rows(scores, scores.summary["overall"])


def level_rows(scores: Scores, key: str) -> list[Row]:
    """Rows by level of `key` ("phase" or "group"), structure within level; empty where there are no levels."""
    rows = scores.summary[f"by_{key}"]
    levels = {level: [row for row in rows if row[key] == level] for level in levels_of(scores, key)}
    return [row for level, own in levels.items() for row in _rows(scores, own, level=level)]


def slice_rows(scores: Scores) -> list[Row]:
    """As `overall_rows`, averaged over slices in place of volumes; surface distances exist by volume only."""
    return _rows(scores, scores.summary["slices"])


def _rows(scores: Scores, rows: list[dict[str, Any]], *, level: str = "") -> list[Row]:
    cells: dict[str, dict[str, Cell]] = {}
    notes = {}
    for row in (row for row in rows if row["metric"] in METRICS):
        cells.setdefault(row["structure"], {})[row["metric"]] = _cell(row)
        counts = {"missed": row["missed"], "false": row["false_found"]}
        notes[row["structure"]] = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    structures = structures_of(scores)
    order = structures if len(structures) == 1 else [*structures, MEAN]
    return [Row(level, name, cells[name], notes[name]) for name in order if name in cells]


def _cell(row: dict[str, Any]) -> Cell:
    write = METRICS[row["metric"]].write
    words = {name: write(row[name]) for name in ("mean", "sd", "median")}
    return Cell(**words, n=row["n"], undefined=row["undefined"])


@dataclass(frozen=True)
class CaseRow:
    """One case in the list of all cases.

    Args:
        values: each number as (words, number to sort by or None), in the order of `case_columns`.
        note: structures that are absent from truth, prediction or both.
    """

    case: str
    patient: str
    phase: str
    group: str
    values: list[tuple[str, float | None]]
    note: str


def case_columns(scores: Scores) -> list[tuple[str, str, str]]:
    """(heading, metric, structure) of the numbers in the list of all cases."""
    metrics, structures = metrics_of(scores), structures_of(scores)
    by_structure = [(f"Dice {name}", "dice", name) for name in structures if len(structures) > 1]
    whole = [(metrics[metric].name, metric, MEAN) for metric in ("pixel_error", "hd_mm", "hd95_mm")]
    return [("Dice", "dice", MEAN), *by_structure, *whole]


def case_rows(scores: Scores) -> list[CaseRow]:
    """Every case in the order of scores.csv: mean Dice, Dice by structure, then the case's other means."""
    return [_case_row(scores, str(case), rows) for case, rows in scores.cases.groupby("case", sort=False)]


_ABSENT = {"truth": "{} only predicted", "pred": "{} missed", "both": "{} absent"}


def _case_row(scores: Scores, case: str, rows: pd.DataFrame) -> CaseRow:
    table = rows.drop_duplicates("structure").set_index("structure")
    values = [_value(table, metric, structure) for _, metric, structure in case_columns(scores)]
    pairs = zip(rows["structure"], rows.get("empty", []), strict=False)
    notes = [_ABSENT[e].format(name) for name, e in pairs if e in _ABSENT and name != MEAN]
    if case in scores.missing:
        notes = ["no prediction"]
    first = rows.iloc[0]
    return CaseRow(case, first["patient"], first["phase"], first["group"], values, ", ".join(notes))


def _value(table: pd.DataFrame, metric: str, structure: str) -> tuple[str, float | None]:
    present = metric in table and structure in table.index
    number = float(table.loc[structure, metric]) if present else math.nan
    return METRICS[metric].write(number), number if math.isfinite(number) else None
