"""The test list of a grid: scored where the datalist has one, said to be absent where it has none."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.experiment import run_grid
from pipeline.experiment.ensemble import note_test_cases, runs_on_test_list
from pipeline.experiment.state import State, card


@pytest.fixture
def folds(toy, tmp_path, monkeypatch):
    """folds(cases of the test list with masks): a grid of two folds that asks for an ensemble, and its command."""
    monkeypatch.chdir(Path(__file__).resolve().parents[2])

    def make(cases):
        item = {"image": "a.nii.gz", "label": "a.nii.gz", "case": "a", "patient": "a", "fold": 0}
        testing = [{"image": f"{i}.nii.gz", "label": f"{i}.nii.gz", "case": f"{i}"} for i in range(cases)]
        testing.append({"image": "unlabelled.nii.gz", "case": "unlabelled"})
        data = tmp_path / "data"
        data.mkdir()
        listed = {"name": "toy", "labels": {"background": 0, "LV": 1}, "training": [item], "testing": testing}
        (data / "datalist.json").write_text(json.dumps(listed), encoding="utf-8")
        grid, command = toy("good", "good", epochs=1)
        runs = [
            replace(run, levels={"mode": "good", "fold": str(i)}, settings={"epochs": 1, "dataset_dir": str(data)})
            for i, run in enumerate(grid.runs)
        ]
        return replace(grid, runs=tuple(runs), ensemble=True), command

    return make


def test_where_there_is_no_test_list_with_masks_nothing_is_scored_on_it_and_nothing_fails(folds, tmp_path):
    grid, command = folds(0)
    outcomes = run_grid(grid, tmp_path / "out", command=command)
    assert [outcome.state for outcome in outcomes] == [State.FINISHED] * 2
    assert [card(tmp_path / "out" / run.name)["test_cases"] for run in grid.runs] == [0, 0]
    assert runs_on_test_list(grid, tmp_path / "out") == ()


def test_each_fold_and_the_ensemble_are_scored_on_the_test_list(folds, tmp_path):
    grid, command = folds(2)
    outcomes = run_grid(grid, tmp_path / "out", command=command)
    assert [outcome.run.levels["fold"] for outcome in outcomes[2:]] == [
        "0 on the test list",
        "1 on the test list",
        "ensemble",
    ]
    assert {outcome.state for outcome in outcomes} == {State.FINISHED}
    assert card(tmp_path / "out" / grid.runs[0].name)["test_cases"] == 2


def test_a_list_that_cannot_be_read_leaves_it_open(folds, tmp_path):
    grid, _ = folds(0)
    (tmp_path / "data" / "datalist.json").write_text("no list", encoding="utf-8")
    note_test_cases(grid.runs[0], tmp_path / "run")
    assert "test_cases" not in card(tmp_path / "run")
    assert len(runs_on_test_list(grid, tmp_path)) == 3
