"""Table 1 in the paper's own form, with our runs beside its numbers or by themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.experiment import paper
from pipeline.report.document import Cell, Table
from pipeline.report.experiment_numbers import LOWER_IS_BETTER, MEASURES, four, summarise
from pipeline.report.paper_tables import DataResults, loss_name

ARROWS = {"dice": "↑", "iou": "↑", "pixel_error": "↓"}
HEADINGS = {"covid19": "COVID19", "acdc": "ACDC"}
UNKNOWN = (math.nan,) * len(MEASURES)


@dataclass(frozen=True)
class Column:
    """One data set of the table: its name in the paper's rows where it is there, and our runs where there are any."""

    heading: str
    part: DataResults | None
    published: str = ""

    @property
    def title(self) -> str:
        """With a warning where our rows are about something else than the paper's."""
        known = paper.dataset_of(self.part.level) if self.part else None
        remarked = self.heading == HEADINGS["covid19"] and known and known.remark
        return f"{self.heading} (ours: infection, not comparable)" if remarked else self.heading

    def paper_means(self, alpha: str) -> Sequence[float]:
        """The paper's measures; NaN where it has none."""
        return paper.PUBLISHED.get((self.published, alpha), UNKNOWN)

    def own_means(self, alpha: str) -> Sequence[float]:
        """Ours; NaN without such a run."""
        if self.part is None or alpha not in self.part.by_alpha:
            return UNKNOWN
        tables = self.part.slices(alpha)
        return [summarise(tables, measure).mean for measure in MEASURES]


def table_one(data: Sequence[DataResults], *, caption: str, beside_paper: bool) -> Table:
    """Table 1 in the paper's form: a row for each loss; the better one bold, with an arrow where CE + DL is better.

    Args:
        data: what our rows show.
        caption: under the table.
        beside_paper: with the paper's rows, and its columns where we have none.
    """
    columns = [Column(HEADINGS.get(d.level, d.name), d) for d in data]
    if beside_paper:
        ours = {d.level: d for d in data}
        columns = [Column(heading, ours.get(level), level) for level, heading in HEADINGS.items()]
        columns += [Column(d.name, d) for d in data if d.level not in HEADINGS]
    published = ["0", "1"] if beside_paper else []
    rows: list[list[Cell | str]] = []
    for alpha in dict.fromkeys([*published, *(a for d in data for a in d.by_alpha)]):
        name = loss_name(alpha)
        if alpha in published:
            rows.append([f"{name}, paper"])
            for column in columns:
                rows[-1] += _cells(column.paper_means(alpha), column.paper_means("0"))
        rows.append([f"{name}, ours" if beside_paper else name])
        for column in columns:
            first = next(iter(column.part.by_alpha)) if column.part else ""
            rows[-1] += _cells(column.own_means(alpha), column.own_means(first))
    head = ["Loss", *(name for _ in columns for name in MEASURES.values())]
    return Table(caption, head, rows, [("", 1), *((column.title, len(MEASURES)) for column in columns)])


def _cells(values: Sequence[float], baseline: Sequence[float]) -> list[Cell]:
    """The values; bold and with an arrow where they are better than the baseline."""
    cells = []
    for measure, value, first in zip(MEASURES, values, baseline, strict=True):
        better = value < first if measure in LOWER_IS_BETTER else value > first
        cells.append(Cell(four(value) + (ARROWS[measure] if better else ""), bold=better))
    return cells
