"""Trainings that are killed, stopped or starved: one line, and later the weights of an uninterrupted one."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from faults import Row, row
from training_process import train

TRAIN = "python -m monai.bundle run training ..."
RESUME = TRAIN + " --resume true"
SAME = "goes on; the weights become those of an uninterrupted run"
LOST = "one epoch at most is trained again; " + SAME


@pytest.fixture(scope="session")
def whole(phantom_acdc, tmp_path_factory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    code, output = train(dataset_dir=str(phantom_acdc), output_dir=str(run))
    assert code == 0, output
    return run


@pytest.fixture
def attempt(phantom_acdc, tmp_path):
    """Train into the run folder of this test."""

    def start(*files, **settings):
        return train(*files, dataset_dir=str(phantom_acdc), output_dir=str(tmp_path / "run"), **settings)

    return start


def assert_same(run: Path, whole: Path) -> None:
    """The same weights bit by bit, a log with each epoch once, the same scores, and no file but those of a run."""
    for name in ("model_final.pt", "model.pt"):
        one, other = (torch.load(folder / "models" / name, weights_only=True) for folder in (run, whole))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one), name
    logs = [[json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()] for folder in (run, whole)]
    scores = [[(line["epoch"], line["loss"], line.get("val_dice")) for line in lines] for lines in logs]
    assert scores[0] == scores[1]
    names = [{path.name for path in (folder / "models").iterdir()} for folder in (run, whole)]
    assert names[0] - {"model_prev.pt", ".last.pt.tmp"} == names[1]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        row(
            "sigkill-in-epoch",
            "SIGKILL in the middle of an epoch",
            RESUME,
            LOST,
            "resuming after epoch 1 of 3",
            ("signal in epoch", signal.SIGKILL, 2),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "sigkill-in-first-epoch",
            "SIGKILL before the first epoch's end",
            RESUME,
            "starts from the beginning",
            "nothing to resume in",
            ("signal in epoch", signal.SIGKILL, 1),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "sigkill-in-validation",
            "SIGKILL during the validation",
            RESUME,
            LOST,
            "resuming after epoch 1 of 3",
            ("signal in validation", signal.SIGKILL),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "sigkill-while-saving",
            "SIGKILL while the state is written",
            RESUME,
            LOST,
            "resuming after epoch 1 of 3",
            ("kill at write", "last.pt", 2, "fsync"),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "sigkill-between-renames",
            "SIGKILL after last.pt became last_prev.pt, before the new one took its place",
            RESUME,
            LOST,
            "resuming after epoch 1 of 3",
            ("kill at write", "last.pt", 2, "replace"),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "sigkill-after-best",
            "SIGKILL after the best weights were written, before what they are worth was",
            RESUME,
            LOST,
            "resuming after epoch 1 of 3",
            ("kill at write", "model.json", 1, "replace"),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "sigkill-before-final",
            "SIGKILL after the last epoch, before the final weights were written",
            RESUME,
            "the final weights are written; nothing is trained again",
            "this run is finished: 3 of 3 epochs",
            ("kill at write", "model_final.pt", 1, "replace"),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "sigkill-in-log",
            "SIGKILL in the middle of a line of log.jsonl",
            RESUME,
            LOST + ", and the log has each epoch once",
            "resuming after epoch 1 of 3",
            ("torn log", 2),
            exit_code=0,
            kind="interruption",
        ),
    ],
)
def test_sigkill(row: Row, fault, attempt, whole, tmp_path):
    code, output = attempt(fault=fault)
    assert code == -signal.SIGKILL, output
    row.check(*attempt(resume="true"))
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("row", "fault", "epoch"),
    [
        row(
            "sigterm-in-epoch",
            "SIGTERM (what schedulers send) in the middle of an epoch",
            TRAIN,
            "stops at once; the state after the last whole epoch is on disk; " + SAME,
            "volseg: stopped by SIGTERM. Every finished epoch is saved in ",
            ("signal in epoch", signal.SIGTERM, 3),
            2,
            exit_code=143,
            kind="interruption",
        ),
        row(
            "sigint-in-epoch",
            "Ctrl-C in the middle of an epoch",
            TRAIN,
            "stops at once; " + SAME,
            "volseg: stopped by SIGINT. Every finished epoch is saved in ",
            ("signal in epoch", signal.SIGINT, 2),
            1,
            exit_code=130,
            kind="interruption",
        ),
        row(
            "sigterm-in-validation",
            "SIGTERM during the validation",
            TRAIN,
            "stops at once; " + SAME,
            "give the same command with --resume true to go on",
            ("signal in validation", signal.SIGTERM),
            1,
            exit_code=143,
            kind="interruption",
        ),
        row(
            "sigterm-while-loading",
            "SIGTERM while the images are read, before anything was trained",
            TRAIN,
            "stops at once; --resume true starts from the beginning",
            "volseg: stopped by SIGTERM.",
            ("signal while loading", signal.SIGTERM),
            0,
            exit_code=143,
            kind="interruption",
        ),
        row(
            "disk-full",
            "no room for the state on the disk",
            TRAIN,
            "stops; the states of earlier epochs stay whole; " + SAME,
            "last.pt: cannot be written (File too large). Make room on the disk.",
            ("limit", "FSIZE", 60_000),
            0,
            exit_code=1,
            kind="interruption",
        ),
        row(
            "out-of-memory-cpu",
            "no memory for a batch (a limit of address space)",
            TRAIN + " --patch_size [640,640,1]",
            "stops and names the keys to lower with their values; goes on with lower ones",
            "Lower batch_size (now 4), crops_per_case (now 2), patch_size (now [640, 640, 1]), sw_batch_size (now 16)",
            ("limit", "AS", 1_200_000_000),
            0,
            exit_code=1,
            kind="interruption",
        ),
    ],
)
def test_stopped_in_one_line(row: Row, fault, epoch, attempt, whole, tmp_path):
    settings = {"patch_size": [640, 640, 1]} if row.id == "out-of-memory-cpu" else {}
    code, output = attempt(fault=fault, **settings)
    row.check(code, output)
    assert output.count("volseg: ") == 1
    models = tmp_path / "run" / "models"
    left = sorted(path.name for path in models.iterdir()) if models.is_dir() else []
    assert not [name for name in left if name.startswith(".")]
    code, output = attempt(resume="true")
    assert code == 0, output
    told = f"resuming after epoch {epoch} of 3" if epoch else "nothing to resume in"
    assert told in output
    assert_same(tmp_path / "run", whole)


@pytest.mark.parametrize(
    "row",
    [
        row(
            "loader-killed",
            "SIGKILL of a process that loads data, as the kernel does when memory is short",
            TRAIN + " --num_workers 2",
            "stops and names the keys to lower; goes on after the last whole epoch",
            "a process that loads data was ended from outside, most likely for lack of memory. Lower batch_size",
            exit_code=1,
            kind="interruption",
        ),
    ],
)
def test_a_killed_loader(row: Row, attempt, tmp_path):
    settings = {"batch_size": 1, "epochs": 2}
    row.check(*attempt(fault=("kill worker", 2), num_workers=2, **settings))
    code, output = attempt(resume="true", **settings)
    assert code == 0, output
    assert "resuming after epoch 1 of 2" in output


def cut(path: Path) -> None:
    """What an unplugged disk leaves."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """One bit of a weight."""
    content = bytearray(path.read_bytes())
    weight = next(iter(torch.load(path, weights_only=True)["model"].values()))
    content[content.index(weight.numpy().tobytes())] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("row", "spoil"),
    [
        row(
            "state-cut-off",
            "last.pt is cut off",
            RESUME,
            "says so and takes last_prev.pt; " + SAME,
            "last.pt is damaged (a file that was cut off): going on from last_prev.pt",
            lambda models: cut(models / "last.pt"),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "state-bit-flipped",
            "one wrong bit in last.pt, which PyTorch does not notice",
            RESUME,
            "says so and takes last_prev.pt; " + SAME,
            "last.pt is damaged (a wrong checksum in ",
            lambda models: flip(models / "last.pt"),
            exit_code=0,
            kind="interruption",
        ),
        row(
            "both-states-damaged",
            "last.pt and last_prev.pt are damaged",
            RESUME,
            "refused, with both files named",
            "last_prev.pt: expected a PyTorch file of weights, found an empty file.",
            lambda models: (cut(models / "last.pt"), (models / "last_prev.pt").write_bytes(b"")),
            kind="interruption",
        ),
    ],
)
def test_damaged_states(row: Row, spoil, attempt, whole, tmp_path):
    code, output = attempt(fault=("signal in epoch", signal.SIGTERM, 3))
    assert code == 143, output
    spoil(tmp_path / "run" / "models")
    code, output = attempt(resume="true")
    row.check(code, output)
    if code == 0:
        assert "resuming after epoch 1 of 3" in output
        assert_same(tmp_path / "run", whole)
    else:
        assert "last.pt: expected a PyTorch file of weights, found a file that was cut off." in output


@pytest.mark.parametrize(
    "row",
    [
        row(
            "sigterm-while-scoring",
            "SIGTERM while the held-out cases are segmented for their scores",
            "python -m monai.bundle run evaluating ...",
            "stops at once; masks that are there are whole; --overwrite true scores all",
            "volseg: stopped by SIGTERM. Give the same command with --overwrite true to score again",
            exit_code=143,
            kind="interruption",
        )
    ],
)
def test_a_stopped_evaluation(row: Row, phantom_acdc, whole, tmp_path):
    settings = {
        "dataset_dir": str(phantom_acdc),
        "output_dir": str(tmp_path / "run"),
        "weights": str(whole / "models" / "model.pt"),
        "processes": 1,
    }
    row.check(*train("train", "evaluate", run="evaluating", fault=("signal in validation", signal.SIGTERM), **settings))
    code, output = train("train", "evaluate", run="evaluating", overwrite="true", **settings)
    assert code == 0, output
    assert (tmp_path / "run" / "evaluation" / "scores.csv").is_file()
