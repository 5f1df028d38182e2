"""Grids are run, resumed and mended; with a script that stands in for MONAI's commands."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.experiment import run_grid
from pipeline.experiment.runner import bundle_command
from pipeline.experiment.state import State, card, epochs_done, state_of

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def calls(folder):
    path = folder / "calls.txt"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def run(grid, command, out, **options):
    return run_grid(grid, out, command=command, **options)


def test_each_run_is_trained_then_evaluated_once(toy, tmp_path):
    grid, command = toy("good", "good")
    outcomes = run(grid, command, tmp_path / "out")
    assert [outcome.state for outcome in outcomes] == [State.FINISHED] * 2
    again = run(grid, command, tmp_path / "out")
    assert [outcome.state for outcome in again] == [State.FINISHED] * 2
    for one in grid.runs:
        assert calls(tmp_path / "out" / one.name) == ["training", "evaluating"]
        assert card(tmp_path / "out" / one.name)["seconds"] >= 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failed_run_is_told_with_its_reason_and_the_others_are_done(toy, tmp_path, processes):
    grid, command = toy("good", "fails", "good")
    outcomes = run(grid, command, tmp_path / "out", processes=processes)
    assert [outcome.state for outcome in outcomes] == [State.FINISHED, State.FAILED, State.FINISHED]
    assert "volseg: the disk is full" in outcomes[1].error
    assert "3" in outcomes[1].error
    assert "a last line" not in outcomes[1].error


def test_a_folder_that_cannot_be_made_costs_its_run_only(toy, tmp_path):
    grid, command = toy("good", "good")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / grid.runs[0].name).write_text("a file")
    outcomes = run(grid, command, tmp_path / "out")
    assert [outcome.state for outcome in outcomes] == [State.FAILED, State.FINISHED]
    assert grid.runs[0].name in outcomes[0].error


def test_data_that_is_not_there_is_told_before_anything_is_run(toy, tmp_path):
    grid, command = toy("good", "good", "good")
    homes = [tmp_path / "no", tmp_path / "neither", tmp_path]
    runs = [replace(one, settings={"dataset_dir": str(home)}) for one, home in zip(grid.runs, homes, strict=True)]
    with pytest.raises(DataError) as raised:
        run(replace(grid, runs=tuple(runs)), command, tmp_path / "out")
    assert [problem.file for problem in raised.value.problems] == [str(home) for home in homes[:2]]
    assert not (tmp_path / "out").exists()


def test_the_bundle_s_own_data_folder_is_looked_for_too(toy, tmp_path):
    grid, command = toy("good")
    without = replace(grid, runs=(replace(grid.runs[0], settings={}, bundle=_bundle(tmp_path)),))
    with pytest.raises(DataError, match="nowhere: expected a folder of data"):
        run(without, command, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _bundle(home):
    for name in ("train", "evaluate"):
        (home / f"{name}.json").write_text(json.dumps({"dataset_dir": "nowhere", "output_dir": "", "resume": 0}))
    return str(home)


def test_settings_that_are_no_keys_are_told_once_each_before_anything_is_run(toy, tmp_path):
    grid, command = toy("good", "good")
    wrong = [replace(r, settings=r.settings | {"epohcs": 3}, evaluate={"overlpa": 0.5}) for r in grid.runs]
    with pytest.raises(DataError) as raised:
        run(replace(grid, runs=tuple(wrong)), command, tmp_path / "out")
    assert [problem.file for problem in raised.value.problems] == ["epohcs", "overlpa"]
    assert [problem.remedy for problem in raised.value.problems] == [
        "Perhaps epochs is meant",
        "Perhaps overlap is meant",
    ]
    assert not (tmp_path / "out").exists()


def test_values_that_cannot_be_meant_are_told_before_anything_is_run(toy, tmp_path):
    grid, command = toy("good")
    (one,) = grid.runs
    wrong = replace(one, settings=one.settings | {"epochs": 0}, evaluate={"overlap": 1.5})
    with pytest.raises(DataError, match=r"epochs: expected a whole number(.|\n)*overlap: expected shares"):
        run(replace(grid, runs=(wrong,)), command, tmp_path / "out")


def test_an_evaluation_that_fails_after_its_scores_is_done_again(toy, tmp_path):
    grid, command = toy("late")
    folder = tmp_path / "out" / grid.runs[0].name
    for times in (1, 2):
        (outcome,) = run(grid, command, tmp_path / "out")
        assert (outcome.state, state_of(folder)) == (State.FAILED, State.FAILED)
        assert "no room for the report" in outcome.error
        assert calls(folder) == ["training", *["evaluating"] * times]

    def mended(one, what, where):
        return [*command(one, what, where)[:-1], "good"]

    (outcome,) = run(grid, mended, tmp_path / "out")
    assert (outcome.state, outcome.error) == (State.FINISHED, "")


def test_scores_of_a_failed_evaluation_are_not_taken_for_those_of_the_next(toy, tmp_path):
    grid, command = toy("late")
    folder = tmp_path / "out" / grid.runs[0].name
    run(grid, command, tmp_path / "out")
    run(grid, lambda *_: [sys.executable, "-c", ""], tmp_path / "out")
    assert "no scores" in card(folder)["error"]


def test_the_seconds_are_those_of_all_epochs_in_the_log_though_their_process_was_killed(toy, tmp_path):
    grid, command = toy("timed")
    folder = tmp_path / "out" / grid.runs[0].name
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"epoch": 1, "seconds": 1000.0, "val_seconds": 400.0}\n')
    run(grid, command, tmp_path / "out")
    assert 1000 + 200 + 300 <= card(folder)["seconds"] < 1560, "an epoch's seconds hold those of its validation"


def test_a_failed_run_goes_on_once_its_cause_is_gone(toy, tmp_path):
    grid, command = toy("fails")
    run(grid, command, tmp_path / "out")
    folder = tmp_path / "out" / grid.runs[0].name
    assert epochs_done(folder) == 1

    def mended(one, what, where):
        return [*command(one, what, where)[:-1], "good"]

    (outcome,) = run(grid, mended, tmp_path / "out")
    assert (outcome.state, outcome.error) == (State.FINISHED, "")
    assert epochs_done(folder) == 3
    assert [json.loads(line)["epoch"] for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()] == [
        1,
        2,
        3,
    ]


def test_what_is_trained_is_only_evaluated(toy, tmp_path):
    grid, command = toy("good")
    run(grid, command, tmp_path / "out")
    folder = tmp_path / "out" / grid.runs[0].name
    (folder / "evaluation" / "scores.json").unlink()
    assert state_of(folder) is State.TRAINED
    run(grid, command, tmp_path / "out")
    assert calls(folder) == ["training", "evaluating", "evaluating"]


def test_other_settings_in_the_same_folder_are_refused_before_anything_is_run(toy, tmp_path):
    grid, command = toy("good", "good")
    run(grid, command, tmp_path / "out")
    changed = replace(grid, runs=tuple(replace(one, settings=one.settings | {"epochs": 9}) for one in grid.runs))
    with pytest.raises(DataError) as raised:
        run(changed, command, tmp_path / "out")
    assert len(raised.value.problems) == 2
    assert "epochs 3 instead of 9" in str(raised.value)
    assert calls(tmp_path / "out" / grid.runs[0].name) == ["training", "evaluating"]


def test_sigterm_ends_the_commands_and_leaves_no_failure(toy, tmp_path):
    """The grid in a process of its own, stopped in the middle of a training, goes on afterwards."""
    grid, command = toy("slow")
    out = tmp_path / "out"
    folder = out / grid.runs[0].name
    (tmp_path / "go.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom pipeline.experiment.grid import Grid\n"
        "from pipeline.experiment.runner import run_grid\n"
        "grid = Grid.from_json(sys.argv[1])\n"
        f"words = {command(grid.runs[0], 'training', folder)!r}\n"
        "run_grid(grid, sys.argv[2], command=lambda run, what, folder: words)\n"
    )
    (tmp_path / "grid.json").write_text(grid.to_json())
    process = subprocess.Popen([sys.executable, str(tmp_path / "go.py"), str(tmp_path / "grid.json"), str(out)])
    _until(lambda: epochs_done(folder) == 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert state_of(folder) is State.STARTED
    assert not _locked_by_a_child(folder)

    def mended(one, what, where):
        return [*command(one, what, where)[:-1], "good"]

    (outcome,) = run(grid, mended, out)
    assert outcome.state is State.FINISHED
    assert epochs_done(folder) == 3


@pytest.mark.skipif(os.name != "posix", reason="locks are inherited on POSIX systems only")
def test_a_second_experiment_waits_for_the_run_of_the_first(toy, tmp_path):
    grid, command = toy("good")
    folder = tmp_path / "out" / grid.runs[0].name
    folder.mkdir(parents=True)
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    hold += "; print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", hold, str(folder / ".lock")], stdout=subprocess.PIPE)
    holder.stdout.readline()
    worker = threading.Thread(target=run, args=(grid, command, tmp_path / "out"))
    worker.start()
    time.sleep(1.5)
    assert calls(folder) == []
    holder.kill()
    holder.wait()
    worker.join(timeout=30)
    assert calls(folder) == ["training", "evaluating"]


def test_the_commands_are_monais_own(toy, tmp_path):
    grid, _ = toy("good")
    one = replace(
        grid.runs[0],
        overlays=("bundles/acdc/paper.json",),
        settings={"alpha": 0.5, "patch_size": [64, 64, 1], "train_limit": None, "loss": "%a.json::b"},
        evaluate={"mirror_axes": [0]},
    )
    training, evaluating = (bundle_command(one, what, tmp_path) for what in ("training", "evaluating"))
    assert training[1:5] == ["-m", "monai.bundle", "run", "training"]
    assert training[6] == "['bundles/acdc/train.json', 'bundles/acdc/paper.json']"
    options = dict(zip(training[7::2], training[8::2], strict=True))
    assert options == {
        "--alpha": "0.5",
        "--patch_size": "[64, 64, 1]",
        "--train_limit": "None",
        "--loss": "%a.json::b",
        "--output_dir": str(tmp_path),
        "--resume": "true",
    }
    options = dict(zip(evaluating[7::2], evaluating[8::2], strict=True))
    assert (options["--mirror_axes"], options["--overwrite"]) == ("[0]", "true")
    assert "bundles/acdc/evaluate.json" in evaluating[6]


def test_processes_must_be_positive(toy, tmp_path):
    grid, command = toy("good")
    with pytest.raises(DataError, match="processes"):
        run(grid, command, tmp_path, processes=0)


def _until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def _locked_by_a_child(folder):
    import fcntl

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
