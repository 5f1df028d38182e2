"""The scores as Markdown: one table that fits a README, and the whole summary."""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.metrics.scores import Scores
from pipeline.report.clinical import AGREEMENT, AGREEMENT_HEAD, agreement_rows
from pipeline.report.document import Table, plain, table_in_markdown
from pipeline.report.lesions import lesion_tables
from pipeline.report.tables import METRICS, Row, cases_in_words, level_rows, metrics_of, overall_rows, unit_of


def markdown_table(scores: Scores) -> str:
    """Rows = structures; columns = Dice by phase, then all metrics over all cases, as mean ± SD.

    Args:
        scores: as `pipeline.metrics.scores.read_scores` gives them. Without phases the columns by phase are left
            out; without any case the table has its head only.

    Returns:
        A GitHub-flavoured table, no newline at its end.
    """
    by_phase = level_rows(scores, "phase")
    phases = list(dict.fromkeys(row.level for row in by_phase))
    dice = {(row.level, row.structure): row.cells.get("dice") for row in by_phase}
    head = ["Structure", *(f"Dice {phase}" for phase in phases), *(m.name for m in metrics_of(scores).values())]
    lines = [
        [row.structure, *(dice.get((phase, row.structure)) for phase in phases), *_cells(row)]
        for row in overall_rows(scores)
    ]
    return _table(head, lines)


def markdown_report(scores: Scores, *, title: str) -> str:
    """The whole summary: headline table, by phase, by group, definitions, policy, missing cases, provenance."""
    parts = [f"# {plain(title)}", _counts(scores), markdown_table(scores)]
    for key in ("phase", "group"):
        rows = level_rows(scores, key)
        if rows:
            head = [key.capitalize(), "Structure", "n", *(m.name for m in metrics_of(scores).values())]
            table = _table(head, [[row.level, row.structure, row.n, *_cells(row)] for row in rows])
            parts += [f"## By {key}", table]
    parts += _lesions(scores)
    if scores.clinical is not None:
        parts += ["## Clinical numbers", AGREEMENT, _table(AGREEMENT_HEAD, agreement_rows(scores.clinical))]
    if scores.missing:
        parts += ["## Cases without a prediction", _list(scores.missing)]
    parts += ["## Definitions", _list(f"{k}: {v}" for k, v in scores.definitions.items())]
    parts += ["## Policy", _list(policy_sentences(scores))]
    parts += ["## Provenance", _list(f"{k}: {v}" for k, v in provenance_in_words(scores).items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def policy_sentences(scores: Scores) -> list[str]:
    """What empty masks and missing predictions count for, as full sentences where scores.json has them."""
    return [str(value) for key, value in scores.policy.items() if key.endswith("_text")]


def provenance_in_words(scores: Scores) -> dict[str, str]:
    """Where the scores come from; lists are joined, nothing is "none"."""
    words = {
        key: "; ".join(map(str, value)) if isinstance(value, list) else value
        for key, value in scores.provenance.items()
    }
    return {key: "none" if value in (None, "") else str(value) for key, value in words.items()}


def _counts(scores: Scores) -> str:
    return f"{cases_in_words(scores)}; mean ± SD over {unit_of(scores)}s. Research use only."


def _lesions(scores: Scores) -> list[str]:
    told = lesion_tables(scores.lesions)
    if not told:
        return []
    detection = [[word + (f" ({small})" if small else "") for word, small in row] for row in told["detection"]]
    parts = ["## Lesions", _table(told["detection_head"], detection)]
    for structure, rows in told["strata"].items():
        parts += [f"### By size: {plain(structure)}", _table(told["strata_head"], rows)]
    return [*parts, "### Load", _table(AGREEMENT_HEAD, told["agreement"]), _list(told["definitions"].values())]


def _cells(row: Row) -> list[object]:
    return [row.cells.get(metric) for metric in METRICS]


def _list(entries: Iterable[object]) -> str:
    return "\n".join(f"- {plain(str(entry))}" for entry in entries)


def _table(head: list[str], rows: list[list[object]]) -> str:
    return table_in_markdown(Table("", head, [["–" if cell is None else str(cell) for cell in row] for row in rows]))
