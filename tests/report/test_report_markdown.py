"""The Markdown table: shape, numbers by hand, and names that could break it."""

from __future__ import annotations

import re

from score_folder import score_row, write_scores

from pipeline.metrics.scores import read_scores
from pipeline.report import markdown_table
from pipeline.report.markdown import markdown_report
from pipeline.report.page import Pictures, render_page


def parsed(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]


def test_table_by_phase_holds_the_means(tmp_path):
    dice = {"p1_ED": 0.9, "p2_ED": 0.8, "p1_ES": 0.7, "p2_ES": 0.5}
    rows = [score_row(case, name, value) for case, value in dice.items() for name in ("RV", "mean")]
    head, ruler, rv, mean = parsed(markdown_table(read_scores(write_scores(tmp_path, rows))))
    metrics = ["Dice", "IoU", "Pixel error (%)", "HD (mm)", "HD95 (mm)"]
    assert head == ["Structure", "Dice ED", "Dice ES", *metrics]
    assert ruler == ["---", *["---:"] * 7]
    # Dice .9 .8 .7 .5: mean .725, sample SD sqrt(.0875 / 3) = .171; distances 40 * (1 - Dice): mean 11, SD 6.8
    assert rv[:4] == ["RV", "0.850 ± 0.071", "0.600 ± 0.141", "0.725 ± 0.171"]
    assert rv[6] == "11.0 ± 6.8"
    assert mean == ["mean", *rv[1:]]


def test_without_phase_or_case(tmp_path):
    rows = [score_row("a", "RV", 0.5, phase="")]
    head, _, row = parsed(markdown_table(read_scores(write_scores(tmp_path / "one", rows))))
    assert head[:2] == ["Structure", "Dice"]
    assert row[1] == "0.500"  # one value has no SD
    assert len(parsed(markdown_table(read_scores(write_scores(tmp_path / "none", []))))) == 2


def test_no_patients_are_counted_where_none_is_known(tmp_path):
    def counted(name, *patients):
        rows = [score_row(f"{i}", "RV", 0.5, patient=patient) for i, patient in enumerate(patients)]
        scores = read_scores(write_scores(tmp_path / name, rows))
        page = re.search(r'<p class="lead">(.*?), averaged', render_page(scores, Pictures(), title="")).group(1)
        assert f"<dd>{page}, 0 without a prediction" in render_page(scores, Pictures(), title="")
        assert markdown_report(scores, title="").splitlines()[2].startswith(f"{page}; mean ± SD")
        return page

    assert counted("none", "", "") == "2 cases"
    assert counted("one", "p") == "1 case of 1 patient"
    assert counted("some", "p", "p", "") == "3 cases of 2 patients"


def test_names_do_not_break_out(tmp_path):
    rows = [score_row("a", "RV", 0.5, group="<b>|x")]
    report = markdown_report(read_scores(write_scores(tmp_path, rows, missing=["<img>"])), title="A\n# <script>")
    assert "<" not in report
    assert "&lt;b&gt;\\|x" in report
    assert report.startswith("# A # &lt;script&gt;\n")
    assert "- &lt;img&gt;" in report
