"""Table 1 in the paper's own form, with our runs beside its numbers or by themselves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pipeline.experiment import paper
from pipeline.report.experiment_document import Cell, Table
from pipeline.report.experiment_numbers import LOWER_IS_BETTER, MEASURES, four, summarise
from pipeline.report.paper_tables import DataResults, loss_name

ARROWS = {"dice": "↑", "iou": "↑", "pixel_error": "↓"}
HEADINGS = {"acdc": "ACDC", "covid19": "COVID19"}


def table_one(data: Sequence[DataResults], *, caption: str, beside_paper: bool) -> Table:
    """Table 1 in the paper's form: a row for each loss; the better one bold, with an arrow where CE + DL is better.

    Args:
        data: what our rows show.
        caption: under the table.
        beside_paper: with the paper's rows, and its columns where we have none.
    """
    columns: list[tuple[str, DataResults | None]] = [(HEADINGS.get(d.level, d.name), d) for d in data]
    if beside_paper:
        ours = {d.level: d for d in data}
        columns = [(heading, ours.get(level)) for level, heading in (("covid19", "COVID19"), ("acdc", "ACDC"))]
        columns += [(d.name, d) for d in data if d.level not in ("covid19", "acdc")]
    alphas = list(dict.fromkeys([*(["0", "1"] if beside_paper else []), *(a for d in data for a in d.by_alpha)]))
    rows: list[list[Cell | str]] = []
    for alpha in alphas:
        if beside_paper and alpha in ("0", "1"):
            rows.append([f"{loss_name(alpha)}, paper", *_cells(columns, lambda c, a=alpha: _paper_values(c, a))])
        label = f"{loss_name(alpha)}, ours" if beside_paper else loss_name(alpha)
        rows.append([label, *_cells(columns, lambda c, a=alpha: _own_values(c, a))])
    head = ["Loss", *(name for _ in columns for name in MEASURES.values())]
    spans = [(_heading(heading, part), len(MEASURES)) for heading, part in columns]
    return Table(caption, head, rows, [("", 1), *spans])


def _heading(heading: str, part: DataResults | None) -> str:
    """With a warning where our rows are about something else than the paper's."""
    known = paper.dataset_of(part.level) if part else None
    remarked = heading == "COVID19" and known and known.remark
    return f"{heading} (ours: infection, not comparable)" if remarked else heading


def _cells(
    columns: Sequence[tuple[str, DataResults | None]],
    read: Callable[[tuple[str, DataResults | None]], dict[str, tuple[float, float | None]]],
) -> list[Cell]:
    return [_cell(measure, *read(column).get(measure, (math.nan, None))) for column in columns for measure in MEASURES]


def _cell(measure: str, value: float, baseline: float | None) -> Cell:
    """The value; bold and with an arrow where it is better than the baseline."""
    if math.isnan(value):
        return Cell("–")
    if baseline is None or math.isnan(baseline):
        return Cell(four(value))
    gain = baseline - value if measure in LOWER_IS_BETTER else value - baseline
    return Cell(four(value) + (ARROWS[measure] if gain > 0 else ""), bold=gain > 0)


def _paper_values(column: tuple[str, DataResults | None], alpha: str) -> dict[str, tuple[float, float | None]]:
    key = {"COVID19": "covid19", "ACDC": "acdc"}.get(column[0], "")
    values = paper.PUBLISHED.get((key, alpha))
    if values is None:
        return {}
    first = paper.PUBLISHED[key, "0"] if alpha != "0" else (None,) * 3
    return dict(zip(MEASURES, zip(values, first, strict=True), strict=True))


def _own_values(column: tuple[str, DataResults | None], alpha: str) -> dict[str, tuple[float, float | None]]:
    part = column[1]
    if part is None or alpha not in part.by_alpha:
        return {}
    first = next(iter(part.by_alpha))
    own, base = (part.slices(a) for a in (alpha, first))
    return {
        measure: (summarise(own, measure).mean, None if alpha == first else summarise(base, measure).mean)
        for measure in MEASURES
    }
