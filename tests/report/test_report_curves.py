"""Learning curves: what a log means after kills and resumes, and that every log gives a picture."""

from __future__ import annotations

import pytest
from matplotlib.image import imread

from pipeline.errors import DataError
from pipeline.report import learning_curves, run_folder
from pipeline.report.curves import best_epoch, read_log


def epoch(number: int, loss: float, dice: float | None = None, **other: object) -> dict:
    """One line of a log."""
    scores = {} if dice is None else {"val_dice": dice, "val_dice_RV": dice - 0.1, "val_dice_LV": dice + 0.05}
    return {"epoch": number, "iteration": 40 * number, "loss": loss, "lr": 0.002, "seconds": 1.0, **scores, **other}


def test_a_later_line_wins_and_the_abandoned_attempt_is_dropped(write_log):
    log = write_log(epoch(1, 0.9), epoch(2, 0.8), epoch(3, 0.7), epoch(4, 0.6, 0.5), epoch(2, 0.55), epoch(3, 0.45))
    assert [(entry["epoch"], entry["loss"]) for entry in read_log(log)] == [(1, 0.9), (2, 0.55), (3, 0.45)]


def test_a_line_cut_by_a_kill_is_skipped(write_log):
    log = write_log(epoch(1, 0.9), '{"epoch": 2, "lo', epoch(2, 0.8), "[]", '{"loss": 1}', "")
    assert [entry["epoch"] for entry in read_log(log)] == [1, 2]


def test_best_epoch_is_the_last_marked_one(write_log):
    log = write_log(epoch(1, 1, 0.4, best=True), epoch(2, 1, 0.6, best=True), epoch(3, 1, 0.7, best=False))
    assert best_epoch(read_log(log))["epoch"] == 2


def test_best_epoch_without_marks_is_the_highest_defined_dice(write_log):
    log = write_log(epoch(1, 1, 0.4), epoch(2, 1, 0.6), epoch(3, 1, float("nan")), epoch(4, 1))
    assert best_epoch(read_log(log))["epoch"] == 2
    assert best_epoch([]) is None


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [epoch(1, 0.9)],
        [epoch(1, 0.9, 0.5, best=True)],
        [epoch(1, 0.9), epoch(2, 0.8), epoch(3, 0.7)],
        [epoch(1, float("nan"), float("nan")), {"epoch": 2, "loss": None}],
        [epoch(n, 1 / n, 0.9 - 0.5 / n) for n in (1, 2, 3, 4, 2, 3, 4, 5)],
    ],
    ids=["empty", "one_epoch", "one_validated", "no_validation", "undefined", "resumed"],
)
def test_every_log_gives_a_picture(write_log, tmp_path, lines):
    picture = learning_curves(write_log(*lines), tmp_path / "new" / "curves.png")
    pixels = imread(picture)
    assert pixels.shape[1] > 2 * pixels.shape[0]  # loss left, Dice right
    assert pixels[..., :3].min() < 0.5  # something is drawn


def test_no_log_is_named(tmp_path):
    with pytest.raises(DataError, match=r"log\.jsonl"):
        learning_curves(tmp_path / "log.jsonl", tmp_path / "curves.png")


def test_a_folder_without_a_training_has_no_curves(tmp_path):
    assert run_folder(tmp_path) is None
    (tmp_path / "log.jsonl").touch()
    assert run_folder(tmp_path) == str(tmp_path)
