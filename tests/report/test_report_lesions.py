"""The page of lesion scores, of pictures and of overlapping structures, from files scored by hand."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from PIL import Image
from test_report_page import Page

from pipeline.metrics import read_scores, score_cases
from pipeline.metrics.lesion_summary import Lesions
from pipeline.report import markdown_table, write_report
from pipeline.report.lesions import detection_rows, lesion_agreement, quantity_name, strata_tables
from pipeline.report.overlays import Choice, holders, overlay
from pipeline.report.style import PRED, TRUTH

BOTH = {"lungs": [1, 2], "infection": [2]}


def chest(*infected: tuple[int, int]) -> np.ndarray:
    """Two lungs of 16 x 16 x 8 voxels (20 mm3 each), infected in these ranges of x, its end excluded."""
    labels = np.zeros((44, 20, 10), np.uint8)
    labels[2:18, 2:18, 1:9], labels[24:40, 2:18, 1:9] = 1, 1
    for first, end in infected:
        labels[first:end, 4:8, 4:6] *= 2
    return labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients: of three lesions one is found by half and two are missed; two more are false."""
    folder = tmp_path_factory.mktemp("lesions")
    masks = {"a": (chest((4, 8), (26, 28)), chest((6, 8), (36, 38))), "b": (chest((10, 12)), chest((14, 16)))}
    cases = []
    for name, (truth, pred) in masks.items():
        case = {"case": name, "patient": name}
        for key, array in (("image", truth * 50), ("label", truth), ("pred", pred)):
            path = folder / f"{name}_{key}.nii.gz"
            nib.save(nib.Nifti1Image(array, np.diag([-2.0, -2, 5, 1])), path)
            case[key] = str(path)
        cases.append(case)
    scores = score_cases(cases, BOTH, lesions={"infection": "lungs"}, progress=False)
    write_report(scores.write(folder / "out"))
    return folder / "out"


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def table_of(page: Page, *head: str) -> list[list[str]]:
    return next(table for table in page.tables if table[0][: len(head)] == list(head))


def test_detection_is_told_by_hand(page: Page) -> None:
    _, row = table_of(page, "Structure", "True")
    assert row[:6] == ["infection|2 cases", "3", "1", "2", "3", "2"]
    # by case: sensitivity 1/2 and 0, precision 1/2 and 0
    assert row[6:] == ["0.333|by case 0.250 ± 0.354"] * 2 + ["0.333|by case 0.250 ± 0.354"]
    assert "1 of 3" in page.text


def test_strata_are_told_by_hand(page: Page) -> None:
    rows = {row[0]: row[1:] for row in table_of(page, "Size")[1:]}
    # 32 voxels of 20 mm3 are 0.64 ml, 16 are 0.32 ml; the first is found by half: Dice 2 * 16 / (32 + 16),
    # the false ones lie nearest to missed ones
    assert rows["0.1 to 1 ml"] == ["3", "1", "0.333", "0.222 ± 0.385", "3", "2", "0.333"]
    assert rows["< 0.1 ml"] == ["0", "0", "–", "–", "0", "0", "–"]


def test_load_and_shares_are_told_by_hand(page: Page) -> None:
    rows = {row[0]: row[1:] for row in table_of(page, "Quantity")[1:]}
    # loads: truth 0.96 and 0.32 ml, prediction 0.64 and 0.32 ml
    assert rows["infection load (ml)"][:3] == ["2", "−0.2", "0.2"]
    assert rows["lungs volume (ml)"][1] == "0.0"
    # x runs to the patient's left: the lung at the smaller x is the right one, of 2048 voxels
    # right: truth 32 and 16, prediction 16 and 16 voxels; left: 16 and 0 in both
    assert rows["lungs affected, right (%)"][1] == f"{-100 * 16 / 2048 / 2:.1f}".replace("-", "−")
    assert rows["lungs affected, left (%)"][1] == "0.0"


def test_pictures_of_load_and_shares(folder: Path, page: Page) -> None:
    names = {path.stem for path in (folder / "figures").glob("lesions_*.png")}
    quantities = {"load", "affected", "affected_left", "affected_right"}
    assert names == {f"lesions_infection_{quantity}" for quantity in quantities}
    assert any("infection load (ml), prediction against truth" in image["alt"] for image in page.named("img"))
    pixels = imread(folder / "figures" / "lesions_infection_load.png")[..., :3]
    assert (pixels[..., 0] - pixels[..., 2] > 0.4).sum() > 50  # infection's vermilion beside the lungs' blue


def test_markdown_tells_the_same(folder: Path) -> None:
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "| infection (2 cases) | 3 | 1 | 2 | 3 | 2 | 0.333 (by case 0.250 ± 0.354)" in text
    assert "| 0.1 to 1 ml | 3 | 1 | 0.333 | 0.222 ± 0.385 | 3 | 2 | 0.333 |" in text
    assert "26 neighbours" in text


def test_overlapping_structures_are_told_apart(folder: Path, page: Page) -> None:
    assert holders(BOTH) == ["lungs"]
    assert holders({"RV": 1, "LV": 2}) == []
    assert "Dashed outline: lungs, with what lies inside" in page.text
    scores = read_scores(folder)
    pixels = imread(BytesIO(overlay(scores, Choice("worst", "a")).png))[..., :3]
    bright = np.abs(pixels - to_rgb(TRUTH)).max(-1) < 0.12
    # lungs are outlined all around, infection too, also where it fills the lung's own number
    assert bright.sum() > 500
    assert (np.abs(pixels - to_rgb(PRED)).max(-1) < 0.12).sum() > 100


def test_no_lesion_at_all() -> None:
    columns = ["case", "structure", "source", "stratum", "detected", "dice"]
    cases = pd.DataFrame(
        [{"case": "a", "structure": "x", "truth": 0, **dict.fromkeys(("sensitivity", "precision", "f1"))}]
    )
    lesions = Lesions({"x": None}, pd.DataFrame(columns=columns), cases.astype({"truth": int}))
    ((name, *rest),) = detection_rows(lesions)
    assert name == ("x", "1 case, 1 without a true lesion")
    assert [word for word, _ in rest] == ["0"] * 5 + ["–"] * 3
    assert strata_tables(lesions) == {}
    assert lesion_agreement(lesions) == []


@pytest.mark.parametrize(
    ("quantity", "name"),
    [("load", "x load"), ("affected_left", "lungs affected, left"), ("organ", "lungs volume")],
)
def test_names_of_quantities(quantity: str, name: str) -> None:
    assert quantity_name(quantity, "x", "lungs") == name


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures with one structure: the truth is a bar with an arm at its upper right, the prediction lies 1 to 3
    pixels further to the right.
    """
    folder = tmp_path_factory.mktemp("pictures")
    cases = []
    for shift in range(1, 4):
        case = {"case": f"p{shift}", "patient": f"p{shift}", "group": "semiseg"}
        for key, place in (("image", 10), ("label", 10), ("pred", 10 + shift)):
            rows = np.zeros((60, 80), np.uint8)
            rows[5:25, place : place + 10] = rows[5:9, place : place + 20] = 200 if key == "image" else 1
            Image.fromarray(rows).save(folder / f"p{shift}_{key}.png")
            case[key] = str(folder / f"p{shift}_{key}.png")
        cases.append(case)
    write_report(score_cases(cases, {"infection": 1}, progress=False).write(folder / "out"))
    return folder / "out"


def test_pictures_are_told_in_pixels_and_without_idle_rows(pictures: Path) -> None:
    page = Page((pictures / "report.html").read_text(encoding="utf-8"))
    head, *rows = page.tables[0]
    assert head[5:] == ["HD (px)", "HD95 (px)"]
    assert [row[0] for row in rows] == ["infection"]  # no mean of one
    assert rows[0][5].startswith("2.0 ± 1.0")  # shifts 1, 2 and 3
    assert page.tables[-1][0] == ["Case", "Dice", "Pixel error (%)", "HD (px)", "HD95 (px)", "Note"]
    assert "averaged over slices" in page.text
    assert " mm" not in page.text.replace("in mm", "")
    ids = {attributes["id"] for attributes in page.named("section")}
    assert ids.isdisjoint({"by-group", "by-phase", "lesions", "clinical"})
    assert "By slice" not in page.text
    assert "HD95 (px)" in markdown_table(read_scores(pictures))


def test_a_picture_is_drawn_upright(pictures: Path) -> None:
    pixels = imread(pictures / "figures" / "case_worst.png")[..., :3]
    outline = np.argwhere(np.abs(pixels - to_rgb(TRUTH)).max(-1) < 0.12)
    (top, left), (bottom, right) = outline.min(0), outline.max(0)
    upper = outline[outline[:, 0] < top + 0.2 * (bottom - top), 1]
    lower = outline[outline[:, 0] > bottom - 0.2 * (bottom - top), 1]
    assert upper.max() > left + 0.9 * (right - left)  # the arm, at the top, reaches to the right
    assert lower.max() < left + 0.6 * (right - left)
    assert lower.min() < left + 0.1 * (right - left)
