"""The Slurm script with two torchrun agents on one machine: each case once, the masks of one process, one manifest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from image_files import acdc_like
from threshold_bundle import VALUES, write_bundle
from torch.distributed.run import get_args_parser

from pipeline.segmentation import segment

REPOSITORY = Path(__file__).resolve().parents[2]
CASES = 7


def cluster(folder: Path) -> dict[str, str]:
    """Variables of a Slurm job of two nodes, with a srun that starts both on this machine."""
    folder.mkdir()
    scripts = {
        "scontrol": '[ "$*" = "show hostnames node[1-2]" ] && echo 127.0.0.1 && echo node2',
        "srun": 'echo "$@" > "$0.log"; "$@" & one=$!; "$@" & wait $one; one=$?; wait $!; exit $((10 * one + $?))',
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    slurm = {"JOB_ID": "4711", "JOB_NODELIST": "node[1-2]", "JOB_NUM_NODES": "2", "CPUS_PER_TASK": "1"}
    path = os.pathsep.join([str(folder), os.path.dirname(sys.executable), os.environ["PATH"]])
    return {"PATH": path, "PORT": str(port), **{f"SLURM_{name}": value for name, value in slurm.items()}}


def test_the_kubernetes_job_is_one_that_torchrun_understands() -> None:
    service, job = yaml.safe_load_all((REPOSITORY / "docker" / "cluster" / "job.yaml").read_text())
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (line,) = container["args"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert service["metadata"]["name"] == spec["subdomain"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert variables["ENDPOINT"].startswith(f"{job['metadata']['name']}-0.{spec['subdomain']}:")
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in spec["volumes"]}
    for index, is_host in (("0", "true"), ("1", "false")):
        said = subprocess.run(
            [*container["command"], line.replace("exec torchrun", "printf '%s\\n'")],
            env={**os.environ, **variables, "JOB_COMPLETION_INDEX": index},
            capture_output=True,
            text=True,
            check=True,
        )
        arguments = get_args_parser().parse_args(said.stdout.splitlines())
        assert int(arguments.nnodes) == job["spec"]["completions"] == job["spec"]["parallelism"]
        assert arguments.rdzv_conf == f"read_timeout=600,is_host={is_host}"
        assert arguments.rdzv_endpoint == variables["ENDPOINT"]
        assert (arguments.training_script, arguments.training_script_args[0]) == ("pipeline", "segment")


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
    stubs = cluster(tmp_path / "bin")
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": "", **stubs}
    work = ["pipeline", "segment", images, together, "--bundle", bundle, "--statistics"]
    launch = subprocess.Popen(
        ["bash", REPOSITORY / "docker" / "cluster" / "slurm.sh", *work],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        said = launch.communicate(timeout=100)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(launch.pid, signal.SIGKILL)
    assert launch.returncode == 11  # 1 of each node, for the broken case, wherever it was
    assert "--unset SLURM_JOB_ID" in (tmp_path / "bin" / "srun.log").read_text()  # what a training needs, too
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
