"""`volseg experiment` as its users type it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli.experiment import ManyValues, experiment
from pipeline.errors import DataError
from pipeline.experiment.state import State

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def volseg(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("COLUMNS", "160")
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("experiment", cls=ManyValues)(experiment)

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, ["experiment", *map(str, arguments)])
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    return run


def test_several_words_after_one_option(volseg, tmp_path, phantom_acdc):
    told = volseg(
        *("paper", "--datasets", "acdc", "covid19", "--alphas", 0, 0.5, 1, "--seeds", 3, 4, "--folds", 1),
        *("--data", f"acdc={phantom_acdc}", "covid19=x", "--set", "width=16", "epochs=2", "-o", tmp_path, "--dry-run"),
    )
    names = [line.split(":")[0] for line in told.splitlines()[:-1]]
    assert len(names) == 2 * 3 * 2
    assert names[0] == "acdc-phantoms_alpha0_seed3_fold1"
    assert names[-1] == "covid19_alpha1_seed4_fold1"
    assert all(line.endswith(State.WAITING) for line in told.splitlines()[:-1])
    assert not list(tmp_path.iterdir()), "a dry run writes nothing"


def test_a_grid_file(volseg, tmp_path):
    told = volseg("experiments/alpha.json", "--dry-run", "-o", tmp_path)
    assert told.splitlines()[-1] == f"8 runs, to be written to {tmp_path}"


def test_a_dry_run_tells_settings_that_are_no_keys(tmp_path, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    common = {"bundle": "bundles/acdc", "evaluate": {"overlpa": 0.5}}
    (tmp_path / "grid.json").write_text(json.dumps({"axes": {"alhpa": [0, 1]}, "common": common}))
    with pytest.raises(DataError) as raised:
        experiment(str(tmp_path / "grid.json"), dry_run=True)
    assert [problem.file for problem in raised.value.problems] == ["alhpa", "overlpa"]


def test_a_setting_of_the_paper_s_runs_that_is_an_axis_is_refused(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(DataError, match=r"--set alpha.*Use --alphas(.|\n)*--set seed"):
        experiment("paper", option=["alpha=0.5", "seed=7"], dry_run=True)


def test_a_failed_run_is_exit_code_1_and_named(volseg, tmp_path, monkeypatch):
    from pipeline import experiment as experiments
    from pipeline.experiment.runner import Outcome

    def one_fails(grid, out, *, processes):
        return [
            Outcome(run, State.FAILED if i else State.FINISHED, "why" if i else "") for i, run in enumerate(grid.runs)
        ]

    monkeypatch.setattr(experiments, "run_grid", one_fails)
    monkeypatch.setattr("pipeline.report.experiment.write_experiment_report", lambda out: out / "report.html")
    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps({"axes": {"alpha": [0, 1]}, "common": {"bundle": "bundles/acdc"}}))
    told = volseg(grid, "-o", tmp_path / "out", code=1)
    assert "alpha1: failed: why" in told
    assert "alpha0" not in told
    assert "report.html" in told


def test_nothing_finished_is_exit_code_1_with_the_reason_and_without_a_report(volseg, tmp_path, monkeypatch):
    from pipeline import experiment as experiments
    from pipeline.experiment.runner import Outcome

    monkeypatch.setattr(
        experiments,
        "run_grid",
        lambda grid, out, *, processes: [Outcome(run, State.FAILED, "why") for run in grid.runs],
    )
    grid = tmp_path / "grid.json"
    grid.write_text(json.dumps({"axes": {"alpha": [0]}, "common": {"bundle": "bundles/acdc"}}))
    told = volseg(grid, "-o", tmp_path / "out", code=1)
    assert "alpha0: failed: why" in told
    assert "no report" in told


def test_a_quick_dry_run_writes_no_phantoms(volseg, tmp_path, monkeypatch):
    from pipeline.experiment import paper

    monkeypatch.setitem(paper.DATA, "acdc", replace(paper.DATA["acdc"], home=str(tmp_path / "nowhere")))
    told = volseg("paper", "--quick", "--datasets", "acdc", "-o", tmp_path / "out", "--dry-run")
    assert [line.split(":")[0] for line in told.splitlines()[:-1]] == [
        f"acdc-phantoms_alpha{alpha}_seed0_fold0" for alpha in (0, 1)
    ]
    assert not list(tmp_path.iterdir())


def test_quick_runs_train_on_the_phantoms_that_are_written_for_them(volseg, tmp_path, monkeypatch):
    from pipeline import experiment as experiments
    from pipeline.experiment import paper

    monkeypatch.setitem(
        paper.DATA, "acdc", replace(paper.DATA["acdc"], home="nowhere", phantoms={"patients": 2, "size": "small"})
    )
    seen = []
    monkeypatch.setattr(experiments, "run_grid", lambda grid, out, *, processes: seen.append(grid) or [])
    monkeypatch.setattr("pipeline.report.experiment.write_experiment_report", lambda out: out / "report.html")
    volseg("paper", "--quick", "--datasets", "acdc", "-o", tmp_path)
    home = tmp_path / "phantoms" / "acdc"
    assert paper.is_phantom(home)
    assert {run.settings["dataset_dir"] for run in seen[0].runs} == {str(home)}


def test_options_that_a_grid_file_would_ignore_are_refused(volseg, tmp_path):
    told = volseg("experiments/alpha.json", "--seeds", 5, "--quick", "--dry-run", "-o", tmp_path, code=2)
    assert "--seeds, --quick" in told


@pytest.mark.parametrize("options", [{"datasets": ["heart"], "quick": True}, {"data": ["heart=somewhere"]}])
def test_an_unknown_data_set_is_refused(options):
    with pytest.raises(DataError, match="heart: expected one of acdc, covid19, lungs"):
        experiment("paper", **options, dry_run=True)


def test_data_without_a_name_is_refused(volseg):
    volseg("paper", "--data", "somewhere", "--dry-run", code=2)
