"""The scores as Markdown: one table that fits a README, and the whole summary."""

from __future__ import annotations

from pipeline.report.load import ScoreFiles
from pipeline.report.tables import METRICS, Row, level_rows, overall_rows


def markdown_table(scores: ScoreFiles) -> str:
    """Rows = structures; columns = Dice by phase, then all metrics over all cases, as mean ± SD.

    Args:
        scores: as `load_scores` gives them. Without phases the columns by phase are left out; without any
            case the table has its head only.

    Returns:
        A GitHub-flavoured table, no newline at its end.
    """
    by_phase = level_rows(scores, "phase")
    phases = list(dict.fromkeys(row.level for row in by_phase))
    dice = {(row.level, row.structure): row.cells.get("dice") for row in by_phase}
    head = ["Structure", *(f"Dice {phase}" for phase in phases), *(m.name for m in METRICS.values())]
    lines = [
        [row.structure, *(dice.get((phase, row.structure)) for phase in phases), *_cells(row)]
        for row in overall_rows(scores)
    ]
    return _table(head, lines)


def markdown_report(scores: ScoreFiles, *, title: str) -> str:
    """The whole summary: headline table, by phase, by group, definitions, policy, missing cases, provenance."""
    info = scores.info
    parts = [f"# {_plain(title)}", _counts(scores), markdown_table(scores)]
    for key in ("phase", "group"):
        rows = level_rows(scores, key)
        if rows:
            head = [key.capitalize(), "Structure", "n", *(m.name for m in METRICS.values())]
            table = _table(head, [[row.level, row.structure, row.n, *_cells(row)] for row in rows])
            parts += [f"## By {key}", table]
    if scores.missing:
        parts += ["## Cases without a prediction", _list(scores.missing)]
    parts += ["## Definitions", _list(f"{k}: {v}" for k, v in (info.get("definitions") or {}).items())]
    parts += ["## Policy", _list(policy_sentences(scores))]
    parts += ["## Provenance", _list(f"{k}: {v}" for k, v in (info.get("provenance") or {}).items())]
    return "\n\n".join(part for part in parts if part) + "\n"


def policy_sentences(scores: ScoreFiles) -> list[str]:
    """What empty masks and missing predictions count for, as full sentences where scores.json has them."""
    policy = scores.info.get("policy") or {}
    sentences = [str(value) for key, value in policy.items() if key.endswith("_text")]
    return sentences or [f"{key}: {value}" for key, value in policy.items()]


def _counts(scores: ScoreFiles) -> str:
    cases, patients = scores.cases["case"].nunique(), len(scores.values("patient"))
    unit = scores.info.get("unit", "volume")
    return f"{cases} cases of {patients} patients; mean ± SD over {unit}s. Research use only."


def _cells(row: Row) -> list[object]:
    return [row.cells.get(metric) for metric in METRICS]


def _list(entries: object) -> str:
    return "\n".join(f"- {_plain(str(entry))}" for entry in entries)


def _table(head: list[str], rows: list[list[object]]) -> str:
    ruler = ["---" if i == 0 else "---:" for i in range(len(head))]
    lines = [head, ruler, *([_plain("–" if cell is None else str(cell)) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    """The text without what Markdown or HTML would act on."""
    text = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("|", "\\|")
