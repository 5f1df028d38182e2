"""The page: complete, self-contained, accessible, escaped, and with the numbers of the score files."""

from __future__ import annotations

import base64
import re
import statistics
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.image import imread
from score_folder import score_row, write_scores, write_volumes

from pipeline.errors import DataError
from pipeline.report import write_report

EVIL = "<script>alert('x')</script>"
DICE = {"p1_ED": 0.91, "p1_ES": 0.62, "p2_ED": 0.83, "p2_ES": 0.77, EVIL: 0.4}
SHIFT = {"RV": -0.05, "MYO": 0.0, "LV": 0.05, "mean": 0.0}


class Page(HTMLParser):
    """Every tag with its attributes, and the text of each row of each table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self._in_cell = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True
        elif tag == "small" and self._in_cell:
            self.tables[-1][-1][-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell:
            self.tables[-1][-1][-1] += data.strip()

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every such tag."""
        return [attributes for name, attributes in self.tags if name == tag]


def case_rows() -> list[dict]:
    rows = []
    for case, dice in DICE.items():
        own = {"phase": case[-2:]} if case != EVIL else {"phase": "ED", "patient": "p3", "group": "<b>"}
        rows += [score_row(case, name, dice + shift, **own) for name, shift in SHIFT.items()]
    rows[4] |= {"dice": 0.0, "iou": 0.0, "hd_mm": None, "hd95_mm": None, "pred_voxels": 0, "empty": "pred"}
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five cases (one with an evil name and without files, one structure missed), a missing one, and a run."""
    folder = tmp_path_factory.mktemp("scores")
    slices = [
        {**score_row("p1_ED", "RV", dice), "slice": place, "hd_mm": None, "hd95_mm": None}
        for place, dice in enumerate([0.5, 0.8, None])
    ]
    write_scores(folder, case_rows(), slices=slices, missing=["p9_ED & co"])
    write_volumes(folder, [case for case in DICE if case != EVIL])
    run = folder / "run"
    run.mkdir()
    (run / "log.jsonl").write_text('{"epoch": 1, "loss": 0.5, "val_dice": 0.4}\n', encoding="utf-8")
    write_report(folder, run_dir=run, title="Fold 0 & more")
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_every_section_is_there_and_every_link_leads_to_one(page):
    ids = {attributes["id"] for attributes in page.named("section")}
    wanted = "scores by-phase by-group spread examples clinical curves cases missing definitions provenance"
    assert ids == set(wanted.split())
    assert {attributes["href"] for attributes in page.named("a")} <= {f"#{name}" for name in ids}
    for words in ("Fold 0 & more", "5 cases of 3 patients", "not a medical device", "of the whole volume"):
        assert words in page.text
    assert "The larger of the two directed 95th percentiles." in page.text  # the definition of HD95
    assert "Absent from both: undefined, left out." in page.text
    assert "volseg score PRED TRUTH -o OUT" in page.text
    assert page.text.count("Without a prediction: scored as empty.") == 2  # beside the list, and in the policy
    assert "[]" not in page.text.split("document.")[0]


def test_nothing_is_loaded_from_elsewhere(folder, page):
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|//[a-z]|@import|url\(", re.sub(r"base64,[\w+/=]+", "", html))
    assert not page.named("link")
    for attributes in page.named("script"):
        assert "src" not in attributes


def test_pictures_are_whole_and_described(folder, page):
    pictures = page.named("img")
    assert len(pictures) == 3 + 3 + 2 + 7  # boxes, drawable cases of the four chosen, curves, clinical
    for attributes in pictures:
        assert len(attributes["alt"]) > 20
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/png;base64"
        assert imread(BytesIO(base64.b64decode(data, validate=True))).size > 10_000
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"box_dice_by_phase", "box_hd95_mm_by_phase", "box_dice_by_group", "case_best", "curve_dice"} <= names
    assert len(names) == len(pictures)


def test_tables_are_accessible(page):
    assert len(page.named("caption")) == len(page.named("table"))
    assert all(attributes.get("scope") for attributes in page.named("th"))
    assert page.named("html")[0]["lang"] == "en"
    assert all(attributes.get("tabindex") for attributes in page.named("div") if attributes["class"] == "scroll")


def test_names_are_escaped(folder, page):
    assert len(page.named("script")) == 1  # the sorting
    assert "alert" not in (folder / "report.html").read_text(encoding="utf-8").split("<script>")[1]
    assert any(row[0] == EVIL for row in page.tables[-1])
    assert "p9_ED & co" in page.text
    assert not page.named("b")


def test_headline_numbers_are_those_of_the_table_of_cases(folder, page):
    cases = pd.read_csv(folder / "scores.csv")
    table = page.tables[0]
    assert [row[0] for row in table[1:]] == ["RV", "MYO", "LV", "mean"]
    columns = {"dice": (1, 3), "iou": (1, 3), "pixel_error": (100, 2), "hd_mm": (1, 1), "hd95_mm": (1, 1)}
    for row in table[1:]:
        for place, (metric, (scale, digits)) in enumerate(columns.items(), start=2):
            values = [scale * v for v in cases[cases["structure"] == row[0]][metric] if v == v]
            mean, sd, median = (f(values) for f in (statistics.mean, statistics.stdev, statistics.median))
            undefined = f", {5 - len(values)} undefined" if len(values) < 5 else ""
            assert row[place] == f"{mean:.{digits}f} ± {sd:.{digits}f}|median {median:.{digits}f}{undefined}"
    assert [row[1] for row in table[1:]] == ["5|1 missed", "5", "5", "5"]


def test_slices_stand_beside_volumes(page):
    rv = page.tables[1][2]
    # Dice of the slices .5 and .8, the third undefined
    assert rv[0] == "RV"
    assert rv[2] == "0.650 ± 0.212|n 2, 1 undefined"


def test_levels(page):
    by_phase, by_group = page.tables[2], page.tables[3]
    assert [row[0] for row in by_phase[1::4]] == ["ED", "ES"]
    assert [row[0] for row in by_group[1::4]] == ["<b>", "NOR"]
    # MYO at ED: .91, .83, .4
    assert by_phase[2][:3] == ["MYO", "3", "0.713 ± 0.274|median 0.830"]


def test_cases_are_listed_with_numbers_to_sort_by(page):
    table = page.tables[-1]
    assert [row[0] for row in table[1:]] == list(DICE)
    assert table[0][4:] == ["Dice", "Dice RV", "Dice MYO", "Dice LV", "Pixel error (%)", "HD (mm)", "HD95 (mm)", "Note"]
    missed = next(row for row in table if row[0] == "p1_ES")
    assert missed[4:8] == ["0.620", "0.000", "0.620", "0.670"]
    assert missed[-1] == "RV missed"
    values = [attributes["data-value"] for attributes in page.named("td") if "data-value" in attributes]
    assert float(values[0]) == 0.91
    assert len(values) == 5 * 7


def test_a_case_without_files_keeps_its_place(page):
    assert "No picture: no file for image, label, pred" in page.text


def test_markdown_lies_beside(folder):
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# Fold 0 &amp; more\n")
    assert "- p9_ED &amp; co" in text
    assert "| Quantity | n | Bias | SD | Limits of agreement | Mean absolute error | r |" in text
    assert "| RV EDV (ml) | " in text


def test_nothing_is_overwritten_unasked(folder):
    before = (folder / "report.html").read_bytes()
    with pytest.raises(DataError, match=r"report\.html(.|\n)*report\.md"):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before


def test_a_folder_without_scores_is_named(tmp_path):
    with pytest.raises(DataError, match=r"scores\.json"):
        write_report(tmp_path)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [score_row("a", "RV", 0.5, phase="", group="", patient="")],
        [score_row("a_ED", name, None) for name in ("RV", "MYO", "LV", "mean")],
        [score_row("a_ED", "lungs", 1.0), score_row("a_ED", "mean", 1.0)],
    ],
    ids=["no_case", "one_case", "undefined_only", "unknown_structure"],
)
def test_poor_scores_still_give_a_page(tmp_path, rows):
    labels = {"labels": {"lungs": 1}} if rows and rows[0]["structure"] == "lungs" else {}
    out = write_report(write_scores(tmp_path, rows, **labels), tmp_path / "new" / "page.html")
    page = Page(out.read_text(encoding="utf-8"))
    assert {"scores", "cases", "provenance"} <= {attributes["id"] for attributes in page.named("section")}
    cells = [cell for table in page.tables for row in table for cell in row]
    assert not [cell for cell in cells if "nan" in cell.lower() or "None" in cell]
    again = write_report(tmp_path, out, overwrite=True)
    assert again.read_bytes() == out.read_bytes()
