"""Trainings of two processes: as good as one, and none waits for another that has failed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import training_process
from faults import Row, plain, row
from training_process import start, train, words_of

FILES = ("train", "multi_gpu_train")
TORCHRUN = "torchrun --nproc_per_node 2 -m monai.bundle run training ..."
MINUTE = 60.0


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def both(phantoms: Path, run: Path, **settings) -> list[tuple[int, str]]:
    """Two processes without torchrun, each with its exit code and output."""
    common = {"dataset_dir": str(phantoms), "output_dir": str(run), "port": free_port(), **settings}
    ranks = [start(*FILES, rank=rank, **common) for rank in range(2)]
    return [one.end() for one in ranks]


def log(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def test_two_processes_validate_as_one(phantom_acdc, tmp_path):
    """Three cases on two processes: none is left out and none counts twice. The weights do not move (rate 0)."""
    settings = {"epochs": 1, "learning_rate": 0.0, "val_limit": 3, "precision": "fp32"}
    code, output = train(dataset_dir=str(phantom_acdc), output_dir=str(tmp_path / "one"), **settings)
    assert code == 0, output
    ended = both(phantom_acdc, tmp_path / "two", **settings)
    assert [code for code, _ in ended] == [0, 0], ended
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    scores = {key: value for key, value in one[0].items() if key.startswith("val_dice")}
    assert len(scores) == 4
    assert {key: two[0][key] for key in scores} == pytest.approx(scores, abs=1e-6)
    assert len(two) == 1, "one process writes"
    assert "training:" in ended[0][1]
    assert "training:" not in ended[1][1], "one process shows"


def test_two_processes_resume_to_the_weights_of_undisturbed_ones(phantom_acdc, tmp_path):
    for name, fault in (("whole", ()), ("killed", ("signal in epoch", signal.SIGTERM, 2, 0))):
        port = free_port()
        settings = {"dataset_dir": str(phantom_acdc), "output_dir": str(tmp_path / name), "port": port, "batch_size": 2}
        ranks = [start(*FILES, rank=rank, fault=fault if rank == 0 else (), **settings) for rank in range(2)]
        ended = [ranks[0].end()]
        if fault:
            os.kill(ranks[1].process.pid, signal.SIGTERM)  # as torchrun does
        ended.append(ranks[1].end())
        assert ended[0][0] == (143 if fault else 0), ended
        assert (ended[1][0] == 0) == (not fault), ended
    ended = both(phantom_acdc, tmp_path / "killed", batch_size=2, resume="true")
    assert [code for code, _ in ended] == [0, 0], ended
    assert "resuming after epoch 1 of 3" in ended[0][1]
    one, other = (
        torch.load(tmp_path / name / "models" / "model_final.pt", weights_only=True) for name in ("whole", "killed")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def torchrun(phantom_acdc, tmp_path):
    """Train under torchrun with a fault; its exit code, and what its processes printed. All end within a minute."""

    def run(*fault, **settings) -> tuple[int, str]:
        words = words_of("training", FILES, dataset_dir=str(phantom_acdc), output_dir=str(tmp_path / "run"), **settings)
        logs = tmp_path / "logs"
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--redirects", "3"]
        command += ["--log-dir", str(logs), "--master-port", str(free_port())]
        command += [training_process.__file__, json.dumps(fault), *words]
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command, cwd=training_process.REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
        )
        ended = time.time()
        told = {path: path.read_text(encoding="utf-8", errors="replace") for path in sorted(logs.rglob("std*.log"))}
        assert told, done.stderr
        first = min(path.stat().st_mtime for path in logs.rglob("stderr.log"))  # the last word of the one that failed
        assert ended - first < MINUTE
        return done.returncode, "\n".join(told.values())

    return run


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        row(
            "rank-fails",
            "one of two processes meets a loss that is not finite",
            TORCHRUN,
            "all end within a minute; the one that failed says why",
            "volseg: the loss is nan at epoch 2, iteration 3, for the cases patient",
            ("error in epoch", 2, 1, 0),
            exit_code=1,
            kind="interruption",
        ),
        row(
            "rank-killed",
            "SIGKILL of one of two processes",
            TORCHRUN + " --resume true",
            "all had ended within a minute; goes on after the last whole epoch",
            "resuming after epoch 1 of 3",
            ("signal in epoch", signal.SIGKILL, 2, 1, 0),
            exit_code=0,
            kind="interruption",
        ),
    ],
)
def test_a_process_that_fails_ends_all(row: Row, fault, torchrun, phantom_acdc, tmp_path):
    code, output = torchrun(*fault, batch_size=2)
    if row.exit_code == 0:
        assert code == 1, output
        assert "volseg: " in output, "the other one says that it was stopped, or why it stops"
        ended = both(phantom_acdc, tmp_path / "run", batch_size=2, resume="true")
        assert ended[1][0] == 0, ended
        code, output = ended[0]
    row.check(code, output)
    assert (tmp_path / "run" / "models" / "last.pt").is_file()


@pytest.mark.parametrize(
    "row",
    [
        row(
            "ranks-bad-input",
            "two processes are given a damaged image",
            TORCHRUN,
            "refused once, in one table",
            "patient002_frame01.nii.gz: expected an image, found an empty file.",
            exit_code=2,
        )
    ],
)
def test_two_processes_refuse_once(row: Row, phantom_acdc, tmp_path):
    data = shutil.copytree(phantom_acdc, tmp_path / "acdc")
    (data / "training" / "patient002" / "patient002_frame01.nii.gz").write_bytes(b"")
    port = free_port()
    settings = {"dataset_dir": str(data), "output_dir": str(tmp_path / "run"), "port": port, "epochs": 1}
    first, second = (start(*FILES, rank=rank, **settings) for rank in range(2))
    code, output = first.end()
    row.check(code, plain(output))
    second.process.terminate()  # as torchrun does
    code, output = second.end(MINUTE)
    assert code != 0
    assert "volseg" not in output
