"""Two torchrun agents on one machine that act as two nodes: each case once, the masks of one process, one manifest."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import acdc_like
from threshold_bundle import VALUES, write_bundle

from pipeline.segmentation import segment

REPOSITORY = Path(__file__).resolve().parents[2]
CASES = 7


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.slow
def test_two_nodes_give_the_masks_of_one_process(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "threshold_bundle")
    images = tmp_path / "in"
    images.mkdir()
    for number in range(CASES):
        acdc_like(images / f"c{number}.nii.gz", np.roll(VALUES, number))
    (images / "broken.nii.gz").write_text("<html>")
    alone, together = tmp_path / "alone", tmp_path / "together"
    segment(images, alone, bundle=bundle, progress=False, echo=lambda line: None, statistics=True)
    launch = ["--nnodes", "2", "--nproc_per_node", "1", "--rdzv_backend", "c10d", "--rdzv_id", "test"]
    launch += ["--rdzv_endpoint", f"127.0.0.1:{free_port()}"]
    work = ["-m", "pipeline", "segment", images, together, "--bundle", bundle, "--statistics"]
    command = [sys.executable, "-m", "torch.distributed.run", *launch, *map(str, work)]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True, "env": variables}
    nodes = [subprocess.Popen(command, **options) for _ in range(2)]
    try:
        outputs = [node.communicate(timeout=100)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [1, 1]  # for the broken case, wherever it was
    (said,) = [output for output in outputs if output]
    assert said.startswith(f"{CASES + 1} cases in 2 processes by threshold_bundle")
    assert f"{CASES} done, 1 FAILED" in said
    assert sorted(os.listdir(together)) == sorted(os.listdir(alone))
    for path in alone.glob("*.nii.gz"):
        assert (together / path.name).read_bytes()[10:] == path.read_bytes()[10:]  # gzip's header tells the time
    ours, theirs = (json.loads((folder / "statistics.json").read_text()) for folder in (together, alone))
    volumes = [{case: found["structures"] for case, found in one["cases"].items()} for one in (ours, theirs)]
    assert volumes[0] == volumes[1]
    (run,) = json.loads((together / "manifest.json").read_text())["runs"]
    outcomes = {case["case"]: case["outcome"] for case in run["cases"]}
    assert (run["complete"], len(run["cases"])) == (True, CASES + 1)
    assert outcomes == {**{f"c{number}": "done" for number in range(CASES)}, "broken": "failed"}
