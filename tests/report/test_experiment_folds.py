"""The summary table of cross-validation and ensemble, from scores whose means are reckoned by hand."""

import json
from pathlib import Path

import pandas as pd
import pytest
from score_folder import LABELS, score_row

from pipeline.experiment.collection import collect
from pipeline.experiment.grid import Grid, Run
from pipeline.experiment.runner import GRID
from pipeline.metrics.scores import read_scores
from pipeline.report.document import Text
from pipeline.report.experiment import write_experiment_report
from pipeline.report.experiment_folds import folds_section


def scored(folder, cases, **facts):
    """A finished run: case -> Dice."""
    home = folder / "evaluation"
    home.mkdir(parents=True)
    rows = [score_row(case, structure, dice) for case, dice in cases.items() for structure in ("LV", "mean")]
    pd.DataFrame(rows).to_csv(home / "scores.csv", index=False)
    pd.DataFrame([{**row, "slice": 0} for row in rows]).to_csv(home / "slices.csv", index=False)
    (home / "cases.json").write_text("[]")
    content = {"version": 1, "labels": LABELS, "definitions": {}, "policy": {}, "provenance": {}, "missing": []}
    (home / "scores.json").write_text(json.dumps(content))
    (folder / "log.jsonl").write_text('{"epoch": 1, "loss": 1.0, "val_dice": 0.5}\n')
    (folder / "run.json").write_text(json.dumps({"resolved": {}, **facts}))


# fold 0 holds a patient with two volumes and one with one, fold 1 a single patient
FOLDS = [{"a_ED": 0.9, "a_ES": 0.7, "b_ED": 0.6}, {"c_ED": 0.8}]


REPORTED = "All held-out patients, by phase, with clinical numbers and the worst cases: "


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """grid(test_cases=..., tested=...): the folder of two folds, with an ensemble that was asked for or not."""
    monkeypatch.chdir(Path(__file__).resolve().parents[2])

    def make(*, test_cases, ensemble=True, seeds=("0",), axes=({},), shift=0.0):
        runs = []
        for axis in axes:
            for seed in seeds:
                for fold, cases in enumerate(FOLDS):
                    levels = {**axis, "seed": seed, "fold": str(fold)}
                    run = Run("_".join(levels.values()), levels, "bundles/acdc")
                    moved = {case: dice + shift * int(seed) for case, dice in cases.items()}
                    scored(tmp_path / run.name, moved, test_cases=test_cases)
                    runs.append(run)
                    if test_cases:
                        scored(tmp_path / f"test_{run.name}", {"x_ED": 0.5 + 0.1 * fold, "y_ED": 0.7 + 0.1 * fold})
                        if fold == 0:
                            scored(tmp_path / f"ensemble_{run.name}", {"x_ED": 0.8, "y_ED": 0.9})
        grid = Grid("folds", "Folds", tuple(runs), ensemble=ensemble)
        (tmp_path / GRID).write_text(grid.to_json())
        return tmp_path

    return make


def table_of(folder):
    (section,) = folds_section(collect(folder))
    table = section.blocks[0]
    column = table.head.index("Dice")
    return section, {tuple(map(str, row[:column])): (str(row[column]).strip("*"), *row[-2:]) for row in table.rows}


def test_folds_their_mean_all_patients_and_the_ensemble_stand_in_one_table(grid):
    """Fold means 0.7333 and 0.8; patients' means 0.8, 0.6 and 0.8; on the test list 0.6 and 0.7, together 0.85."""
    section, rows = table_of(grid(test_cases=2))
    held, tested = "held-out patients", "test list"
    assert rows == {
        ("fold 0", held): ("0.733 ± 0.153", "3", "2"),
        ("fold 1", held): ("0.800", "1", "1"),
        ("mean of 2 folds", held): ("0.767 ± 0.047", "", ""),
        ("all patients", held): ("0.733 ± 0.115", "4", "3"),
        ("fold 0", tested): ("0.600 ± 0.141", "2", "2"),
        ("fold 1", tested): ("0.700 ± 0.141", "2", "2"),
        ("mean of 2 folds", tested): ("0.650 ± 0.071", "", ""),
        ("ensemble of 2", tested): ("0.850 ± 0.071", "2", "2"),
    }
    assert [block.text for block in section.blocks[1:]] == [REPORTED + "held_out/report.html"]


def test_folds_say_how_many_volumes_have_a_distance(grid, monkeypatch):
    """A missed volume has no distance: 2 and 8 mm are left of fold 0, 4 mm of fold 1."""
    monkeypatch.setitem(globals(), "FOLDS", [{"a_ED": 0.9, "a_ES": 0.0, "b_ED": 0.6}, {"c_ED": 0.8}])
    (section,) = folds_section(collect(grid(test_cases=None, ensemble=False)))
    column = section.blocks[0].head.index("HD95 (mm)")
    assert [str(row[column]) for row in section.blocks[0].rows] == [
        "5.0 ± 4.2 (2 of 3 defined)",
        "4.0",
        "4.5 ± 0.7",
        "**4.7 ± 3.1** (3 of 4 defined)",
    ]


def test_without_test_cases_the_page_says_so_and_complains_of_nothing(grid):
    folder = grid(test_cases=0)
    section, rows = table_of(folder)
    assert {where for _, where in rows} == {"held-out patients"}
    assert isinstance(section.blocks[1], Text)
    assert section.blocks[1].text.startswith(
        "The data list has no test cases with masks, so the ensemble is not scored"
    )
    write_experiment_report(folder)
    told = (folder / "report.md").read_text(encoding="utf-8")
    assert "## Cross-validation and ensemble" in told
    assert "not finished" not in told


def test_without_an_ensemble_there_is_only_the_cross_validation(grid):
    section, rows = table_of(grid(test_cases=None, ensemble=False))
    assert section.title == "Cross-validation"
    assert len(rows) == 4
    assert len(section.blocks) == 2


def test_settings_have_their_own_rows_and_seeds_are_averaged(grid):
    """The second seed is 0.1 better in every volume: means rise by 0.05."""
    folder = grid(test_cases=None, ensemble=False, seeds=("0", "1"), axes=({"loss": "CE"}, {"loss": "DL"}), shift=0.1)
    _, rows = table_of(folder)
    assert len(rows) == 8
    assert rows["CE", "fold 1", "held-out patients"] == ("0.850", "1", "1")
    assert rows["DL", "mean of 2 folds", "held-out patients"] == ("0.817 ± 0.047", "", "")
    assert rows["DL", "all patients", "held-out patients"] == ("0.783 ± 0.115", "4", "3")


def test_all_held_out_patients_lie_in_one_evaluation(grid):
    folder = grid(test_cases=None, ensemble=False)
    write_experiment_report(folder)
    scores = read_scores(folder / "held_out")
    assert sorted(scores.cases["case"].unique()) == ["a_ED", "a_ES", "b_ED", "c_ED"]
    assert scores.mean("dice") == pytest.approx((0.9 + 0.7 + 0.6 + 0.8) / 4)
    assert scores.provenance["runs"] == ["0_0", "0_1"]
    assert "Folds: held-out patients of folds 0, 1" in (folder / "held_out" / "report.md").read_text(encoding="utf-8")


def test_every_setting_and_seed_has_an_evaluation_of_its_own(grid):
    folder = grid(
        test_cases=None, ensemble=False, seeds=("0", "1"), axes=({"loss": "CE"}, {"loss": "CE + DL"}), shift=0.1
    )
    write_experiment_report(folder)
    found = {path.parent.name: read_scores(path.parent).mean("dice") for path in folder.glob("held_out/*/scores.json")}
    assert found == {
        "CE-seed-0": pytest.approx(0.75),
        "CE-seed-1": pytest.approx(0.85),
        "CE-+-DL-seed-0": pytest.approx(0.75),
        "CE-+-DL-seed-1": pytest.approx(0.85),
    }
    (section,) = folds_section(collect(folder))
    assert section.blocks[-1].text.count("report.html") == 4


def test_folds_that_were_scored_on_the_same_cases_are_not_joined(grid, monkeypatch):
    monkeypatch.setitem(globals(), "FOLDS", [FOLDS[0], FOLDS[0]])
    folder = grid(test_cases=None, ensemble=False)
    write_experiment_report(folder)
    assert (folder / "report.html").is_file()
    assert not (folder / "held_out").exists()
