"""`volseg segment` as a process of its own, to be killed; and the state that it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults import REPOSITORY

from pipeline.volumes import read_mask

# kills itself at a random moment, several times over, without starting Python anew: each child is forked from a parent
# that has loaded everything and computed nothing
KILLS = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
import monai.bundle, monai.transforms, nibabel, PIL.Image, SimpleITK  # noqa
from pipeline import segmentation
from pipeline.segmentation import runner  # noqa
times, arguments = int(sys.argv[1]), eval(sys.argv[2])
def child(**more):
    pid = os.fork()
    if not pid:
        os.close(1)
        segmentation.segment(*arguments[0], **arguments[1], **more, progress=False, echo=lambda line: None)
        os._exit(0)
    return pid
chance = random.Random(0)
start = time.time()
os.waitpid(child(overwrite=True), 0)
whole = time.time() - start
for turn in range(times):
    pid = child(overwrite=turn % 2 == 0)
    time.sleep(chance.uniform(0.02, 0.9) * whole)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    print(turn, flush=True)
    sys.stdin.readline()
"""


def start(*arguments: Any, launcher: tuple[str, ...] = (), **options: Any) -> subprocess.Popen[str]:
    """Start `python -m pipeline segment ARGUMENTS`, or by another launcher than python."""
    command = [*(launcher or (sys.executable,)), "-m", "pipeline", "segment", *map(str, arguments)]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=options.pop("before", lambda: signal.signal(signal.SIGINT, signal.default_int_handler)),
        **options,
    )


def environment() -> dict[str, str]:
    """One thread each, no GPU, this repository."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(REPOSITORY)}


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 120) -> None:
    """Wait for a condition while a process runs; fails where it ends before."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended with {process.returncode} before it could be disturbed"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def ended(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str]:
    """Exit code and all that it printed."""
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


def masks(folder: Path) -> dict[str, bytes]:
    """Every mask of a folder by its name, as its voxels; fails for one that is not whole."""
    files = [path for path in folder.iterdir() if path.suffix != ".json" and not path.name.startswith(".")]
    return {path.name: read_mask(path).tobytes() for path in files}


def hidden(folder: Path) -> list[str]:
    """Names that should not be left."""
    return [name for name in os.listdir(folder) if name.startswith(".")]


def runs(folder: Path) -> list[dict[str, Any]]:
    """The runs of the manifest."""
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["runs"]
