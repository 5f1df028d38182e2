"""One HTML file that holds the whole report: no other file, no network, no script needed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from pipeline.metrics.labels import MEAN
from pipeline.metrics.scores import Scores
from pipeline.metrics.summary import VOLUME
from pipeline.report.clinical import AGREEMENT, AGREEMENT_HEAD, agreement_rows
from pipeline.report.document import environment
from pipeline.report.figures import Picture
from pipeline.report.lesions import lesion_tables
from pipeline.report.markdown import policy_sentences, provenance_in_words
from pipeline.report.overlays import Choice, holders
from pipeline.report.style import PRED, TRUTH, colours
from pipeline.report.tables import (
    CaseRow,
    case_columns,
    case_rows,
    cases_in_words,
    level_rows,
    levels_of,
    metrics_of,
    overall_rows,
    slice_rows,
    structures_of,
    unit_of,
)


@dataclass
class Pictures:
    """All figures of a page.

    Args:
        boxes, curves, clinical, lesions: in the order shown.
        cases: the chosen cases with their overlay, or with the reason (a str) why it could not be drawn.
    """

    boxes: list[Picture] = field(default_factory=list)
    curves: list[Picture] = field(default_factory=list)
    clinical: list[Picture] = field(default_factory=list)
    lesions: list[Picture] = field(default_factory=list)
    cases: list[tuple[Choice, Picture | str]] = field(default_factory=list)

    def all(self) -> list[Picture]:
        """Every picture that could be drawn."""
        drawn = [picture for _, picture in self.cases if isinstance(picture, Picture)]
        return [*self.boxes, *self.curves, *self.clinical, *self.lesions, *drawn]


def render_page(scores: Scores, pictures: Pictures, *, title: str) -> str:
    """The report as HTML. Names from the score files are escaped; pictures become data URIs."""
    rows = {row.case: row for row in case_rows(scores)}
    template = environment().get_template("report.html.j2")
    return template.render(
        title=title,
        mean=MEAN,
        metrics=metrics_of(scores),
        cases_in_words=cases_in_words(scores),
        unit=unit_of(scores),
        length_unit=scores.length_unit,
        structures=structures_of(scores),
        colours=colours(structures_of(scores)),
        outline={"truth": TRUTH, "prediction": PRED},
        dashed=holders(scores.labels),
        overall=overall_rows(scores),
        levels={key: level_rows(scores, key) for key in ("phase", "group") if len(levels_of(scores, key)) > 1},
        by_slice={row.structure: row for row in slice_rows(scores)} if unit_of(scores) == VOLUME else {},
        definitions=scores.definitions,
        policy=defaultdict(str, scores.policy),
        sentences=policy_sentences(scores),
        provenance=provenance_in_words(scores),
        missing=scores.missing,
        agreement_caption=AGREEMENT,
        agreement_head=AGREEMENT_HEAD,
        agreement=agreement_rows(scores.clinical),
        lesions=lesion_tables(scores.lesions),
        pictures=pictures,
        case_head=[heading for heading, _, _ in case_columns(scores)],
        case_rows=rows,
        case_facts=[key for key in ("patient", "phase", "group") if _tells(list(rows.values()), key)],
    )


def _tells(rows: list[CaseRow], key: str) -> bool:
    """Whether a column says more than the case's name, and not the same of all."""
    values = {getattr(row, key) for row in rows}
    return any(getattr(row, key) not in ("", row.case) for row in rows) and (len(values) > 1 or len(rows) == 1)
