"""Grid files become runs: combinations, names, refusals."""

import json
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.experiment import Grid, load_grid
from pipeline.experiment.state import check_same, write_card

REPOSITORY = Path(__file__).resolve().parents[2]
COMMON = {"bundle": "bundles/acdc", "epochs": 3}


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def write(tmp_path, **content):
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(content))
    return path


def test_every_combination_is_one_run_with_its_settings(tmp_path):
    axes = {"loss": {"CE": {"alpha": 0}, "both terms": {"alpha": 1, "epochs": 7}}, "seed": [4, 5]}
    grid = load_grid(write(tmp_path, axes=axes, common=COMMON))
    assert [run.name for run in grid.runs] == ["CE_seed4", "CE_seed5", "both-terms_seed4", "both-terms_seed5"]
    assert grid.runs[3].settings == {"alpha": 1, "epochs": 7, "seed": 5}
    assert grid.runs[0].settings == {"alpha": 0, "epochs": 3, "seed": 4}
    assert grid.runs[2].levels == {"loss": "both terms", "seed": "4"}


def test_settings_of_files_and_run_resolve_to_what_is_trained(tmp_path):
    axes = {"alpha": [0.5]}
    common = COMMON | {"overlays": ["bundles/acdc/paper.json"], "evaluate": {"processes": 1}}
    (run,) = load_grid(write(tmp_path, axes=axes, common=common)).runs
    resolved = run.resolved()
    assert (resolved["epochs"], resolved["learning_rate"], resolved["alpha"]) == (3, 0.01, 0.5)
    assert "processes" not in run.settings
    assert run.evaluate_files == [f"bundles/acdc/{name}.json" for name in ("train", "evaluate", "paper")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"axes": {}}, "axes"),
        ({"axes": {"alpha": [0]}}, "bundle"),
        ({"axes": {"alpha": 3}, "common": COMMON}, "a list or an object"),
        ({"axes": {"alpha": [0]}, "comon": COMMON}, "comon"),
        ({"axes": {"alpha": [0]}, "common": {"bundle": "bundles/none"}}, "bundles/none/train.json"),
        ({"axes": {"alpha": [1, 1]}, "common": COMMON}, "2 runs"),
        ({"axes": {"loss": {"CE": 1}}, "common": COMMON}, "axes: loss: expected an object of settings"),
        ({"axes": {"alpha": [0]}, "common": "acdc"}, "common: expected an object"),
        ({"axes": {"alpha": [0]}, "common": COMMON, "baseline": ["alpha"]}, "baseline: expected an object"),
        ({"axes": {"alpha": [0]}, "common": COMMON, "baseline": {"alpha": 1}}, "baseline: alpha: expected a level"),
        ({"axes": {"alpha": [0]}, "common": COMMON, "baseline": {"loss": "CE"}}, "baseline: loss: expected a level"),
        ({"axes": {"alpha": [0]}, "common": COMMON | {"evaluate": "x"}}, "common: evaluate: expected an object"),
        ({"axes": {"alpha": [0]}, "common": COMMON | {"evaluate": None}}, "common: evaluate: expected an object"),
        ({"axes": {"loss": {"CE": {"evaluate": [1]}}}, "common": COMMON}, "loss: CE: evaluate: expected an object"),
        ({"axes": {"alpha": [0]}, "common": COMMON | {"overlays": "a.json"}}, "overlays: expected a list .* 'a.json'"),
        ({"axes": {"alpha": [0]}, "common": {"bundle": ["bundles/acdc"]}}, "bundle: expected the folder"),
        ({"axes": {"alpha": [0]}, "common": COMMON, "name": 5}, "name: expected a text"),
        ({"axes": {"alpha": [0]}, "common": COMMON, "name": "../x"}, "name: expected a text"),
        ({"axes": {"alpha": [0]}, "common": COMMON, "title": 5}, "title: expected a text"),
        ({"axes": {"alpha": [0]}, "common": COMMON, "ensemble": "no"}, "ensemble: expected true or false"),
        ({"axes": {"alpha": [0]}, "common": COMMON | {"overlays": ["data_lists"]}}, "data_lists: expected a conf"),
        ({"axes": {"loss": {"→": {"alpha": 0}}}, "common": COMMON}, "levels that name a folder .* ''"),
        ({"axes": {"loss": {"..": {"alpha": 0}}}, "common": COMMON}, r"levels that name a folder .* '\.\.'"),
        ({"axes": {"loss": {"held_out": {"alpha": 0}}}, "common": COMMON}, "levels that name a folder .* 'held_out'"),
        (
            {"axes": {"loss": {"CE": {"alpha": 0}, "both": {"alpha": 1}}, "alpha": [0.5, 2]}, "common": COMMON},
            "alpha: expected one axis that sets it, found loss and alpha",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        load_grid(write(tmp_path, **content))


def test_an_overlay_that_is_no_configuration_is_told(tmp_path):
    overlay = tmp_path / "overlay.json"
    grid = write(tmp_path, axes={"alpha": [0]}, common=COMMON | {"overlays": [str(overlay)]})
    for content, words in (("[1]", "a configuration, which is an object, found list"), ("{", "a JSON file")):
        overlay.write_text(content)
        with pytest.raises(DataError, match=words):
            load_grid(grid)


def test_a_grid_survives_its_file(tmp_path):
    grid = load_grid(write(tmp_path, axes={"alpha": [0, 1]}, common=COMMON, baseline={"alpha": 1}, title="T"))
    (tmp_path / "out.json").write_text(grid.to_json())
    assert Grid.from_json(tmp_path / "out.json") == grid
    assert grid.baseline == {"alpha": "1"}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").glob("*.json")), ids=lambda path: path.stem)
def test_the_examples_name_keys_that_their_bundles_have(path):
    for run in load_grid(path).runs:
        known = {key for file in run.evaluate_files for key in json.loads(Path(file).read_text(encoding="utf-8"))}
        given = {key.split("#")[0] for key in {**run.settings, **run.evaluate}}
        assert given <= known, run.name


def test_a_folder_with_another_run_is_told_apart(tmp_path):
    first, second = load_grid(write(tmp_path, axes={"alpha": [0, 1]}, common=COMMON)).runs
    folder = tmp_path / "run"
    assert check_same(folder, first) == []
    write_card(folder, first)
    assert check_same(folder, first) == []
    (problem,) = check_same(folder, second)
    assert "alpha 0 instead of 1" in problem.found
