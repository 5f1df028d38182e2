"""The reports of experiments, from score files made by hand: their numbers, their words, their pages."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from score_folder import LABELS, score_row

from pipeline.experiment.grid import Grid, Run
from pipeline.experiment.runner import GRID
from pipeline.experiment.statistics import Comparison, least_p
from pipeline.report.document import (
    Cell,
    Document,
    Section,
    Table,
    Text,
    plain,
    render_html,
    render_markdown,
    table_in_markdown,
)
from pipeline.report.experiment import write_experiment_report
from pipeline.report.experiment_numbers import contrast, paired, power, sentence, summarise
from pipeline.report.experiment_sections import words
from pipeline.report.paper_claims import size_cuts
from pipeline.report.paper_samples import _box

PATIENTS = 8
FULL = {"patch_size": [256, 256, 1], "in_channels": 1, "width": 64, "epochs": 100, "learning_rate": 0.01}


def scored_run(folder, levels, dice, *, resolved):
    """A finished run: `dice` of each patient, in three slices each; no masks, so figures of masks cannot be drawn."""
    evaluation = folder / "evaluation"
    evaluation.mkdir(parents=True)
    cases, slices = [], []
    for patient, value in enumerate(dice):
        case = f"patient{patient}_ED"
        for structure in ("RV", "MYO", "LV", "mean"):
            cases.append(score_row(case, structure, value))
            for index in range(3):
                row = score_row(case, structure, value, truth_voxels=100 * (index + 1))
                slices.append({**row, "slice": index})
    pd.DataFrame(cases).to_csv(evaluation / "scores.csv", index=False)
    pd.DataFrame(slices).to_csv(evaluation / "slices.csv", index=False)
    (evaluation / "cases.json").write_text("[]")
    content = {"version": 1, "labels": LABELS, "definitions": {}, "policy": {}, "provenance": {}, "missing": []}
    (evaluation / "scores.json").write_text(json.dumps(content))
    names = [f"patient{i}" for i in range(len(dice))]
    bands = [
        {"case": f"{name}_ED", "patient": name, "band": band, "wrong": round(100 * (1 - value)), "all": 100}
        for name, value in zip(names, dice, strict=True)
        for band in ("near", "middle", "far")
    ]
    pd.DataFrame(bands).to_csv(evaluation / "bands.csv", index=False)
    back = [
        {"case": f"{n}_ED", "patient": n, "unit": unit, "slice": i, "structure": "background", "dice": 1.0, "iou": 1.0}
        for n in names
        for unit, places in (("volumes", [-1]), ("slices", range(3)))
        for i in places
    ]
    pd.DataFrame(back).to_csv(evaluation / "background.csv", index=False)
    log = [{"epoch": e, "loss": 1 / e, "val_dice": 0.5, "val_slice_dice": 0.5 + e / 10} for e in (1, 2)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, log)))
    (folder / "run.json").write_text(json.dumps({"resolved": resolved, "seconds": 90.0, "levels": levels}))


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """experiment({("acdc", "0", "0"): dice of the patients, ...}, kind=...): the folder of a finished experiment."""
    from pathlib import Path

    monkeypatch.chdir(Path(__file__).resolve().parents[2])

    def make(dice, *, kind="paper", resolved=FULL, extra=()):
        runs = []
        for (dataset, alpha, seed), values in dice.items():
            levels = {"dataset": dataset, "alpha": alpha, "seed": seed, "fold": "0"}
            run = Run(f"{dataset}_{alpha}_{seed}".replace(" ", "-"), levels, "bundles/acdc")
            scored_run(tmp_path / run.name, levels, values, resolved=resolved)
            runs.append(run)
        grid = Grid("test", "A title", (*runs, *extra), {"alpha": "0"}, kind=kind)
        (tmp_path / GRID).write_text(grid.to_json())
        return tmp_path

    return make


BASE = np.linspace(0.80, 0.87, PATIENTS)
BETTER = {
    ("acdc", "0", "0"): BASE,
    ("acdc", "1", "0"): BASE + np.linspace(0.01, 0.03, PATIENTS),
    ("acdc", "0", "1"): BASE,
    ("acdc", "1", "1"): BASE + 0.02,
}


def lines(folder):
    return (folder / "report.md").read_text(encoding="utf-8").splitlines()


def test_full_runs_stand_beside_the_paper(experiment):
    folder = experiment(BETTER)
    write_experiment_report(folder)
    ours = next(line for line in lines(folder) if line.startswith("| CE, ours"))
    assert f"{BASE.mean():.4f}" in ours
    mine = next(line for line in lines(folder) if line.startswith("| CE + DL, ours"))
    assert f"**{BASE.mean() + 0.02:.4f}↑**" in mine
    theirs = next(line for line in lines(folder) if line.startswith("| CE + DL, paper"))
    assert [cell.strip("*↑↓ ") for cell in theirs.split("|")[2:8]] == [
        "0.9527",
        "0.9169",
        "0.0163",
        "0.9213",
        "0.8608",
        "0.0060",
    ]
    text = "\n".join(lines(folder))
    assert "the claim that adding Dice (CE + DL against CE) improves all three measures holds here" in text
    assert "One seed only" not in text
    few = "Only 8 patients are compared, so the test has little power. The smallest p-value that it can reach is 2/2^8"
    assert sum(few in line for line in lines(folder)) == 2, "in short, and beside the tests"
    assert "about 0.0078 (0.023 after correction for 3 measures)" in text


@pytest.mark.parametrize(
    ("resolved", "level", "told"),
    [
        (FULL | {"width": 16}, "acdc", "width 16 instead of 64"),
        (FULL | {"epochs": 5}, "acdc", "epochs 5 instead of 100"),
        (FULL, "acdc (phantoms)", "phantoms instead of patients"),
    ],
)
def test_reduced_runs_never_stand_in_the_papers_table(experiment, resolved, level, told):
    folder = experiment({(level, *key[1:]): value for key, value in BETTER.items()}, resolved=resolved)
    write_experiment_report(folder)
    ours = next(line for line in lines(folder) if line.startswith("| CE, ours"))
    assert set(ours.split("|")[2:8]) == {" – "}
    text = "\n".join(lines(folder))
    assert "No run of the paper's full protocol" in text
    assert told in text
    assert f"{BASE.mean():.4f}" in text


def test_infections_are_marked_as_not_comparable(experiment):
    folder = experiment({("covid19", *key[1:]): value for key, value in BETTER.items()})
    write_experiment_report(folder)
    text = "\n".join(lines(folder))
    assert "COVID19 (ours: infection, not comparable)" in text
    assert "most likely about lungs" in text


def test_unequal_seeds_are_not_called_an_improvement(experiment):
    """Every patient gains in the mean of the seeds, but one seed loses."""
    dice = {**BETTER, ("acdc", "1", "0"): BASE + 0.05, ("acdc", "1", "1"): BASE - np.linspace(0.005, 0.01, PATIENTS)}
    folder = experiment(dice)
    write_experiment_report(folder)
    text = "\n".join(lines(folder))
    assert "the seeds disagree in sign" in text
    assert "holds here" not in text


def test_what_is_not_finished_is_said_and_the_rest_is_reported(experiment):
    lost = Run("lost", {"dataset": "acdc", "alpha": "2", "seed": "0", "fold": "0"}, "bundles/acdc")
    folder = experiment(BETTER, extra=[lost])
    (folder / "lost").mkdir()
    (folder / "lost" / "run.json").write_text(json.dumps({"error": "the disk is <full>"}))
    page = write_experiment_report(folder).read_text(encoding="utf-8")
    assert "1 run is not finished and not in this report: lost (failed: the disk is &lt;full&gt;)" in page
    assert f"{BASE.mean():.4f}" in page


def test_figures_without_their_files_leave_the_reason(experiment):
    folder = experiment(BETTER)
    page = write_experiment_report(folder).read_text(encoding="utf-8")
    assert "Figures 2 and 3, ACDC could not be drawn: the runs have no case in common" in page
    assert (folder / "figures" / "figure_5_acdc.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_how_much_the_last_epoch_decides_is_told(experiment):
    """Ten epochs whose last two have Dice 0.6 and 0.8 in one run, 0.7 and 0.7 in the other; the others do not count."""
    folder = experiment(BETTER)
    for seed, late in (("0", (0.6, 0.8)), ("1", (0.7, 0.7))):
        log = [{"epoch": e, "val_slice_dice": v} for e, v in enumerate((*[0.1] * 8, *late), start=1)]
        (folder / f"acdc_0_{seed}" / "log.jsonl").write_text("\n".join(map(json.dumps, log)))
    (folder / "acdc_1_0" / "log.jsonl").unlink()
    (folder / "acdc_1_1" / "log.jsonl").unlink()
    write_experiment_report(folder)
    told = [line for line in lines(folder) if line.startswith("| ACDC | CE | 4 |")]
    # mean 0.7; SD of 0.6, 0.8, 0.7, 0.7 is sqrt(0.02 / 3)
    assert told == ["| ACDC | CE | 4 | 0.7000 ± 0.0816 (0.6000 to 0.8000) | – ± – (– to –) | – ± – (– to –) |"]
    assert not [line for line in lines(folder) if line.startswith("| ACDC | CE + DL | 4")]


class Pictures(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.links, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids.append(attributes.get("id"))
        if tag == "img":
            assert attributes["alt"]
            self.sources.append(attributes["src"])
        if tag in ("script", "link", "iframe"):
            raise AssertionError(f"the page needs {tag}")
        if tag == "a":
            self.links.append(attributes["href"])


@pytest.mark.parametrize("kind", ["paper", ""])
def test_the_page_stands_alone(experiment, kind):
    page = write_experiment_report(experiment(BETTER, kind=kind)).read_text(encoding="utf-8")
    found = Pictures()
    found.feed(page)
    assert found.sources
    assert all(source.startswith("data:image/png;base64,") for source in found.sources)
    assert all(link.removeprefix("#") in found.ids for link in found.links)


def test_a_general_grid_compares_with_its_baseline(experiment):
    folder = experiment(BETTER, kind="")
    write_experiment_report(folder)
    text = "\n".join(lines(folder))
    row = next(line for line in lines(folder) if line.startswith("| acdc, alpha 1 | acdc, alpha 0 | Dice"))
    assert re.search(rf"\| {PATIENTS} \| {BASE.mean():.3f} \| \*\*{BASE.mean() + 0.02:.3f}\*\*", row)
    assert "Cross-validation" not in text
    assert sum("about 0.0078 (0.031 after correction for 4 measures)" in line for line in lines(folder)) == 1


def distances(**values):
    """The table of one seed: {"a_ED": distance of patient a's volume, ...}."""
    rows = [{"case": case, "patient": case.split("_")[0], "hd95_mm": value} for case, value in values.items()]
    return {"0": pd.DataFrame(rows)}


def test_a_volume_that_one_setting_missed_is_left_out_of_both():
    """Patient a: 2 to 3 on the volume of both; b: 4 to 5 and 6 to 9. Its own mean of 3 against 6 would say better."""
    first = distances(a_ED=2.0, a_ES=10.0, b_ED=4.0, b_ES=6.0)
    second = distances(b_ES=9.0, b_ED=5.0, a_ED=3.0, a_ES=np.nan)
    found = contrast(first, second, "hd95_mm")
    assert (found.n, found.first, found.second) == (2, (2 + 5) / 2, (3 + 7) / 2)
    assert found.by_seed == {"0": 1.5}
    assert (len(paired(first, second, "hd95_mm")), summarise(second, "hd95_mm").share) == (4, "3 of 4 defined")
    assert summarise(first, "hd95_mm").share == ""
    assert contrast(first, {"1": second["0"]}, "hd95_mm").n == 0, "no seed in common"


def test_slices_are_paired_by_case_slice_and_structure():
    names = {"case": ["x", "x", "y"], "slice": [0, 1, 0], "structure": "LV", "patient": ""}
    first, second = ({"0": pd.DataFrame({**names, "dice": values})} for values in ([0.5, 0.7, np.nan], [0.6, 0.6, 0.9]))
    found = contrast(first, {"0": second["0"][::-1]}, "dice")
    assert (found.n, found.first) == (1, pytest.approx(0.6))
    assert found.difference == pytest.approx(0)


def test_what_was_found_where_nothing_is_counts_though_the_other_has_no_dice_there():
    """Patient a: 0.8 and 0.8 on one slice, 0 and undefined on an empty one."""
    names = {"case": ["a1", "a2"], "slice": [0, 0], "structure": "LV", "patient": "a"}
    first, second = ({"0": pd.DataFrame({**names, "dice": values})} for values in ([0.8, 0.0], [0.8, np.nan]))
    found = contrast(first, second, "dice")
    assert (found.n, found.first, found.second) == (1, pytest.approx(0.4), pytest.approx(0.8))


def test_a_setting_that_misses_volumes_has_no_best_distance(experiment):
    """The second misses two patients of eight and comes 0.4 mm nearer in the others."""
    dice = {("acdc", "0", "0"): BASE, ("acdc", "1", "0"): [0.0, 0.0, *(BASE[2:] + 0.02)]}
    folder = experiment(dice, kind="")
    write_experiment_report(folder)
    rows = [line.split("|") for line in lines(folder) if line.startswith("| acdc, alpha ")]
    near = 20 * (1 - BASE[2:]).mean()
    assert "**" in rows[0][2], "the Dice of all eight"
    assert rows[0][5].strip() == f"{20 * (1 - BASE).mean():.1f} ± {20 * BASE.std(ddof=1):.1f}"
    assert rows[1][5].strip() == f"{near - 0.4:.1f} ± {20 * BASE[2:].std(ddof=1):.1f} (6 of 8 defined)"
    test = next(row for row in rows if row[3].strip() == "HD95 (mm)")
    assert [cell.strip(" *") for cell in test[4:7]] == ["6 (6 of 8 volumes)", f"{near:.1f}", f"{near - 0.4:.1f}"]


def test_settings_in_pixels_and_in_millimetres_are_told_apart(experiment):
    """Other patients, another structure and another unit in the second: each row says its own, none is best."""
    folder = experiment({("acdc", "0", "0"): BASE, ("lungs", "0", "0"): BASE}, kind="")
    home = folder / "lungs_0_0" / "evaluation"
    for name in ("scores", "slices"):
        table = pd.read_csv(home / f"{name}.csv").rename(columns={"hd_mm": "hd_px", "hd95_mm": "hd95_px"})
        table = table[table["structure"].isin(["LV", "mean"])].replace({"structure": {"LV": "lungs"}})
        table["case"], table["patient"] = "x" + table["case"], "x" + table["patient"]
        table.to_csv(home / f"{name}.csv", index=False)
    content = json.loads((home / "scores.json").read_text())
    (home / "scores.json").write_text(json.dumps({**content, "labels": {"lungs": 1}, "length_unit": "px"}))
    grid = json.loads((folder / GRID).read_text())
    (folder / GRID).write_text(json.dumps({**grid, "baseline": {"dataset": "acdc"}}))
    write_experiment_report(folder)
    told = lines(folder)
    assert any(line.startswith("|  | Dice | IoU | Pixel error (%) | HD95 | volumes |") for line in told)
    distance = f"{20 * (1 - BASE).mean():.1f}"
    for name, unit in (("acdc", "mm"), ("lungs", "px")):
        row = next(line for line in told if line.startswith(f"| {name}, alpha 0 | "))
        assert row.split("|")[5].strip().startswith(f"{distance} {unit} ± ")
    dice = f"{BASE.mean():.4f} ± {BASE.std(ddof=1):.4f}"
    assert "|  | RV | MYO | LV | lungs |" in told
    assert f"| lungs, alpha 0 | – | – | – | {dice} |" in told
    assert "- lungs, alpha 0 against acdc, alpha 0: no patient in common, so nothing is compared." in told
    assert "nan" not in "\n".join(told)


def test_iou_that_contradicts_dice_is_found(experiment):
    folder = experiment(BETTER)
    path = folder / "acdc_0_0" / "evaluation" / "slices.csv"
    table = pd.read_csv(path)
    table.loc[0, "iou"] += 0.01
    table.to_csv(path, index=False)
    write_experiment_report(folder)
    told = next(line for line in lines(folder) if "IoU = Dice / (2 - Dice)" in line)
    assert told.startswith("> IoU = Dice / (2 - Dice) FAILS in 1 of "), "set apart as a warning"


@pytest.mark.parametrize("kind", ["paper", ""])
def test_iou_that_follows_from_dice_is_said_to(experiment, kind):
    """Four runs of eight patients, three structures each, in three slices and one volume."""
    folder = experiment(BETTER, kind=kind)
    write_experiment_report(folder)
    assert f"holds in all {4 * PATIENTS * 3 * (3 + 1)} values" in "\n".join(lines(folder))


def test_an_alpha_that_one_data_set_lacks_leaves_dashes_in_its_own_columns(experiment):
    folder = experiment({**BETTER, ("lungs", "1", "0"): BASE})
    write_experiment_report(folder)
    row = next(line for line in lines(folder) if line.startswith("| COVID19 lungs | by slice, structures; empty left"))
    cells = [cell.strip() for cell in row.split("|")[3:9]]
    assert cells[:3] == ["–", "–", "–"]
    assert cells[3] == f"{BASE.mean():.4f}"


def test_errors_at_edges_and_small_targets(experiment):
    """Errors are 100 (1 - Dice) of 100 pixels in each band; targets of 100, 200 and 300 pixels are the thirds."""
    folder = experiment(
        {("acdc", "0", "0"): np.full(8, 0.8), ("acdc", "1", "0"): 0.8 + np.array([1, 2, 3, 4, 4, 5, 6, 7]) / 100}
    )
    write_experiment_report(folder)
    assert any("One seed only, which is no proof" in line for line in lines(folder))
    row = next(line for line in lines(folder) if "| up to 3 mm |" in line)
    assert [cell.strip() for cell in row.split("|")[4:9]] == ["33%", "20.00 %", "**16.00 %**", "-20%", "0.008"]
    assert row.split("|")[9].strip() == "0.023", "2 / 2**8, times the three bands"
    assert sum("an improvement beyond chance (p = 0.023" in line for line in lines(folder)) == 9, (
        "three in each section"
    )
    rows = [line.split("|") for line in lines(folder) if line.startswith("| ACDC | CE + DL | small |")]
    assert [cell.strip() for cell in rows[0][4:8]] == ["24", "0.8000", "**0.8400**", "0.008"]
    text = "\n".join(lines(folder))
    assert "gain of small targets +0.0400, of large ones +0.0400 on 8 patients that have both: no difference" in text


def test_the_thirds_are_those_of_all_folds():
    """Seven targets of 10 to 70 pixels in two folds: thirds end at the third and the fifth, with one seed or two."""

    def result(fold, sizes):
        names = {"case": [f"{fold}{size}" for size in sizes], "slice": 0, "structure": "LV"}
        return SimpleNamespace(structures=lambda unit: pd.DataFrame({**names, "truth_voxels": sizes}))

    folds = [result("a", [10, 30, 20, 0]), result("b", [40, 50, 60, 70])]
    assert size_cuts(folds) == {"LV": (pytest.approx(30), pytest.approx(50))}
    assert size_cuts([*folds, folds[0]]) == size_cuts(folds)


def test_gains_that_no_patient_shows_both_of_are_not_compared(experiment):
    """Every patient's targets are of one size, so none has small and large ones."""
    folder = experiment(BETTER)
    for path in folder.glob("*/evaluation/slices.csv"):
        table = pd.read_csv(path)
        table["truth_voxels"] = 100 * (1 + table["patient"].str.removeprefix("patient").astype(int))
        table.to_csv(path, index=False)
    write_experiment_report(folder)
    text = "\n".join(lines(folder))
    assert "no patient has both small and large targets" in text
    assert "nan" not in text


@pytest.mark.parametrize(("shape", "box"), [((100, 300), (50, 50)), ((400, 400), (200, 200)), ((10, 300), (10, 26))])
def test_samples_are_cut_out_as_squares(shape, box):
    """A label of 20 columns and 5 rows asks for 26 pixels, or for half the shorter side."""
    labels = np.zeros(shape, int)
    labels[3:8, 100:120] = 1
    assert labels[_box([labels])].shape == box
    assert labels[_box([labels])].sum() == 100


@pytest.mark.parametrize(
    ("levels", "told"),
    [
        ((("largest_component", "True"), ("norm", "False")), "largest_component true, norm false"),
        ((("norm", "None"), ("clip", "null")), "norm null, clip null"),
        ((("loss", "CE"), ("alpha", "0.5")), "CE, alpha 0.5"),
        ((), "all runs"),
    ],
)
def test_what_says_nothing_alone_is_named_with_its_axis(levels, told):
    assert words(levels) == told


def test_cases_of_no_known_patient_count_as_one_each(experiment):
    folder = experiment(BETTER)
    for path in folder.glob("*/evaluation/*.csv"):
        table = pd.read_csv(path)
        table["patient"] = table["case"] if path.name == "bands.csv" else ""
        table.to_csv(path, index=False)
    write_experiment_report(folder)
    rows = [line for line in lines(folder) if line.startswith("| ACDC | CE | 0.8")]
    assert rows[0].split("|")[8].strip() == f"{PATIENTS} patients"


def test_markdown_shows_the_words_of_a_name_and_acts_on_none():
    told = plain("[x](http://e) *b* `c` ~~d~~ _e_ __f__ a_b \\ g|h\n<i> &")
    shown = r"\[x\](http://e) \*b\* \`c\` \~\~d\~\~ \_e\_ \_\_f\_\_ a_b \\ g\|h &lt;i&gt; &amp;"
    assert told == shown
    table = Table("", ["*a*"], [[Cell("*x*", "y*", bold=True)], ["**z**"]])
    assert table_in_markdown(table).splitlines()[2:] == [r"| **\*x\*** (y\*) |", r"| \*\*z\*\* |"]


def test_words_are_escaped():
    table = Table("a < b", ["x|y", "n"], [["<script>", Cell("1", "small", bold=True)]])
    document = Document("T & U", "lead", [Section("key", "Title", [Text("a < b", kind="warn"), table])])
    page = render_html(document)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<strong>1</strong><small>small</small>" in page
    told = render_markdown(document)
    assert "| &lt;script&gt; | **1** (small) |" in told
    assert "x\\|y" in told


@pytest.mark.parametrize(
    ("comparison", "measure", "words"),
    [
        (Comparison(9, 0.8, 0.9, 0, 0, 0.01, 0.9, 0.02, {"0": 0.1, "1": 0.1}), "dice", "an improvement beyond chance"),
        (Comparison(9, 0.8, 0.9, 0, 0, 0.01, 0.9, 0.02, {"0": 0.1}), "pixel_error", "a deterioration beyond chance"),
        (Comparison(9, 0.8, 0.9, 0, 0, 0.01, 0.9, 0.02, {"0": 0.1}), "dice", "Only one seed"),
        (Comparison(9, 0.8, 0.9, 0, 0, 0.2, 0.9, 0.4, {}), "dice", "no difference shown (p = 0.400"),
        (Comparison(9, 0.8, 0.9, 0, 0, 0.001, 0.9, 0.0004, {}), "dice", "p < 0.001"),
        (Comparison(4, 0.8, 0.9, 0, 0, float("nan"), 0.9), "dice", "too few to test"),
        (Comparison(0, *[float("nan")] * 6), "dice", "undefined"),
    ],
)
def test_sentences(comparison, measure, words):
    assert words in sentence("Dice", measure, comparison)


def pairs(n, p=0.2):
    return Comparison(n, 0.8, 0.9, 0, 0, p, 0.9)


def test_few_patients_are_said_to_show_little():
    assert power([pairs(13)] * 3) == power([pairs(5, float("nan"))] * 3) == ""
    told = power([pairs(10), pairs(10), pairs(0, float("nan"))], who="images")
    assert told.startswith("Only 10 images are compared")
    assert "2/2^10, about 0.002 (0.0039 after correction for 2 measures), and only where all 10 change" in told
    assert "that none is shown does not mean that there is none" in told
    assert power([pairs(6)] * 3).endswith("So nothing can be shown on these alone."), "3 x 2/64 is above 0.05"


@pytest.mark.parametrize("n", [6, 8, 10, 12])
def test_the_smallest_p_value_is_that_of_the_exact_test(n):
    assert least_p(n) == pytest.approx(wilcoxon(np.arange(1, n + 1), method="exact").pvalue, rel=1e-12)
