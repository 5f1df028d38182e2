"""Runs that take no time: a script in place of the bundle's commands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.experiment.grid import Grid, Run

SCRIPT = """
import json, sys, time
from pathlib import Path
what, folder, epochs, mode = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
with (folder / "calls.txt").open("a") as calls:
    calls.write(what + "\\n")
if what == "training":
    log = folder / "log.jsonl"
    done = len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0
    for epoch in range(done + 1, epochs + 1):
        if mode == "fails" and epoch == 2:
            print("some warning"); print("volseg: the disk is full"); print("a last line"); sys.exit(3)
        seconds = {"seconds": 100.0 * epoch, "val_seconds": 30.0} if mode == "timed" else {}
        with log.open("a") as file:
            file.write(json.dumps({"epoch": epoch, "loss": 1 / epoch, **seconds}) + "\\n")
        if mode == "slow":
            time.sleep(60)
    (folder / "models").mkdir(exist_ok=True)
    (folder / "models" / "model_final.pt").write_text("weights")
else:
    (folder / "evaluation").mkdir(exist_ok=True)
    (folder / "evaluation" / "scores.json").write_text("{}")
    if mode == "late":
        print("volseg: no room for the report"); sys.exit(1)
"""


@pytest.fixture
def toy(tmp_path: Path):
    """toy("good", "fails", ...): a grid of runs that behave so, and the command that plays them."""
    script = tmp_path / "toy.py"
    script.write_text(SCRIPT)

    def make(*modes: str, epochs: int = 3):
        settings = {"epochs": epochs, "dataset_dir": str(tmp_path)}
        runs = [
            Run(f"run{i}_{mode}", {"mode": mode, "seed": str(i)}, "bundles/acdc", (), settings)
            for i, mode in enumerate(modes)
        ]

        def command(run: Run, what: str, folder: Path) -> list[str]:
            return [sys.executable, str(script), what, str(folder), str(epochs), run.levels["mode"]]

        return Grid("toy", "Toy", tuple(runs)), command

    return make
