"""One HTML file that holds the whole report: no other file, no network, no script needed."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.report.figures import Picture
from pipeline.report.load import MEAN, ScoreFiles
from pipeline.report.markdown import policy_sentences
from pipeline.report.overlays import Choice
from pipeline.report.style import PRED, TRUTH, colours
from pipeline.report.tables import METRICS, case_head, case_rows, level_rows, overall_rows, slice_rows


@dataclass
class Pictures:
    """All figures of a page.

    Args:
        boxes, curves, clinical: in the order shown.
        cases: the chosen cases with their overlay, or with the reason (a str) why it could not be drawn.
    """

    boxes: list[Picture] = field(default_factory=list)
    curves: list[Picture] = field(default_factory=list)
    clinical: list[Picture] = field(default_factory=list)
    cases: list[tuple[Choice, Picture | str]] = field(default_factory=list)

    def all(self) -> list[Picture]:
        """Every picture that could be drawn."""
        drawn = [picture for _, picture in self.cases if isinstance(picture, Picture)]
        return [*self.boxes, *self.curves, *self.clinical, *drawn]


def render_page(scores: ScoreFiles, pictures: Pictures, *, title: str) -> str:
    """The report as HTML. Names from the score files are escaped; pictures become data URIs."""
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    rows = {row.case: row for row in case_rows(scores)}
    return environment.get_template("report.html.j2").render(
        title=title,
        mean=MEAN,
        metrics=METRICS,
        counts=_counts(scores),
        unit=scores.info.get("unit", "volume"),
        structures=scores.structures,
        colours=colours(scores.structures),
        outline={"truth": TRUTH, "prediction": PRED},
        overall=overall_rows(scores),
        levels={key: level_rows(scores, key) for key in ("phase", "group")},
        by_slice={row.structure: row for row in slice_rows(scores)},
        definitions=scores.info.get("definitions") or {},
        policy=policy_sentences(scores),
        provenance=scores.info.get("provenance") or {},
        missing=scores.missing,
        agreement=(scores.info.get("clinical") or {}).get("agreement") or [],
        pictures=pictures,
        case_head=case_head(scores),
        case_rows=rows,
    )


def _counts(scores: ScoreFiles) -> dict[str, int]:
    return {"cases": scores.cases["case"].nunique(), "patients": len(scores.values("patient"))}


def _data_uri(picture: Picture) -> Markup:
    return Markup("data:image/png;base64,") + b64encode(picture.png).decode("ascii")


def number(value: Any, decimals: int = 1) -> str:
    """A number in words; a dash for None and NaN."""
    return "–" if value is None or value != value else f"{value:.{decimals}f}"
