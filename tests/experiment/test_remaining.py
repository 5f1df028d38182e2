"""The remaining time of a grid, from logs written by hand."""

import json
import re
from pathlib import Path

import pytest

from pipeline.experiment import run_grid
from pipeline.experiment.grid import Run
from pipeline.experiment.remaining import Estimate, Remaining, estimate, seconds_per_epoch
from pipeline.experiment.state import State


def a_run(name, dataset, *, alpha="0", seed="0"):
    levels = {"dataset": dataset, "alpha": alpha, "seed": seed}
    return Run(name, levels, "bundles/acdc", settings={"dataset_dir": dataset})


def log(folder, *seconds):
    folder.mkdir()
    rows = [{"epoch": epoch, "seconds": value} for epoch, value in enumerate(seconds, start=1)]
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def test_each_data_set_has_its_own_pace(tmp_path):
    """10 s and 1000 s: 3 epochs of the one and 2 of the other are 2030 s, not 5 x 505 s."""
    runs = [a_run("a", "small"), a_run("b", "large")]
    log(tmp_path / "a", 10)
    log(tmp_path / "b", 1000)
    assert estimate(runs, tmp_path, {"a": 3, "b": 2}) == Estimate(2030)


def test_a_run_that_has_not_begun_takes_the_pace_of_the_run_most_like_it(tmp_path):
    runs = [
        a_run("ce", "small"),
        a_run("both", "small", alpha="1"),
        a_run("ce, another seed", "small", seed="1"),
        a_run("a third alpha", "small", alpha="2"),
    ]
    log(tmp_path / "ce", 10)
    log(tmp_path / "both", 30)
    assert estimate(runs, tmp_path, {"ce, another seed": 2}) == Estimate(20)
    assert estimate(runs, tmp_path, {"a third alpha": 2}) == Estimate(40), "the mean of both losses on the same data"


def test_a_data_set_that_nobody_measured_is_a_guess_and_said_to_be(tmp_path):
    runs = [a_run("a", "small"), a_run("b", "large")]
    log(tmp_path / "a", 10)
    assert estimate(runs, tmp_path, {"a": 1, "b": 7}) == Estimate(80, guessed=1)
    told = Remaining(runs, tmp_path)({"a": 1, "b": 7})
    assert told in ("about 01:20 left, guessed by other data", "about 01:19 left, guessed by other data")


def test_runs_at_the_same_time_share_the_work(tmp_path):
    """Two processes: 50 s; 20 s, and then 20 s more: 50 s in all."""
    runs = [a_run(name, "small", seed=name) for name in "abc"]
    log(tmp_path / "a", 10)
    assert estimate(runs, tmp_path, {"a": 5, "b": 2, "c": 2}, processes=2) == Estimate(50)
    assert estimate(runs, tmp_path, {"a": 5, "b": 2, "c": 2}, processes=1) == Estimate(90)


def test_the_pace_is_the_median_of_the_latest_epochs(tmp_path):
    """The first epochs were slow; one of the latest was held up."""
    run = a_run("a", "small")
    log(tmp_path / "a", *[500] * 20, *[10] * 9, 999)
    assert seconds_per_epoch(run, tmp_path / "a") == 10


@pytest.mark.parametrize("text", ["", '{"epoch": 1}\n', '{"epoch": 1, "sec'])
def test_nothing_is_said_while_nothing_is_measured(tmp_path, text):
    runs = [a_run("a", "small")]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log.jsonl").write_text(text, encoding="utf-8")
    assert estimate(runs, tmp_path, {"a": 3}) is None
    assert Remaining(runs, tmp_path)({"a": 3}) == ""


def test_the_words_count_down_until_an_epoch_ends(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("pipeline.experiment.remaining.time.monotonic", lambda: now[0])
    log(tmp_path / "a", 60)
    remaining = Remaining([a_run("a", "small")], tmp_path)
    assert remaining({"a": 3}) == "about 03:00 left"
    now[0] += 50
    assert remaining({"a": 3}) == "about 02:10 left"
    assert remaining({"a": 2}) == "about 02:00 left"
    now[0] += 500
    assert remaining({"a": 2}) == "about 00:00 left"
    assert remaining({"a": 0}) == ""


def test_the_bar_shows_it(toy, tmp_path, capfd, monkeypatch):
    """One run is done, at 40 s an epoch; of the other, at most three epochs and an evaluation are left: 160 s."""
    monkeypatch.chdir(Path(__file__).resolve().parents[2])
    monkeypatch.setattr("pipeline.experiment.progress.POLL", 0.01)
    grid, command = toy("good", "good")
    log(tmp_path / grid.runs[0].name, 40, 40, 40)
    (tmp_path / grid.runs[0].name / "evaluation").mkdir()
    (tmp_path / grid.runs[0].name / "evaluation" / "scores.json").write_text("{}", encoding="utf-8")
    outcomes = run_grid(grid, tmp_path, command=command)
    assert [outcome.state for outcome in outcomes] == [State.FINISHED] * 2
    shown = capfd.readouterr().err
    assert "| 4/8 epochs [" in shown
    assert re.search(r"about 0[0-2]:[0-5]\d left", shown)
    assert "8/8 epochs" in shown
