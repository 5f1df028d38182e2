"""Segmentations that are killed, stopped, starved of room or hang: what is there is whole, the same command goes on."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from broken_images import good
from faults import Row, row, volseg
from segment_process import KILLS, ended, environment, hidden, masks, runs, start, wait_until

SEGMENT = "volseg segment FOLDER OUT"
AGAIN = "every mask that is there is whole; the same command does what is missing"
COUNT = 12


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(COUNT):
        good(folder / f"case_{number:02d}{('.nii.gz', '.mha', '.nrrd')[number % 3]}", number)
    return folder


@pytest.fixture(scope="module")
def undisturbed(images: Path, small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The masks of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert volseg("segment", images, out, "--bundle", small_bundle)[0] == 0
    return masks(out)


def goes_on(images: Path, out: Path, bundle: Path, undisturbed: dict[str, bytes]) -> str:
    """Run the same command again; what it says, once all is as it should be."""
    code, output = volseg("segment", images, out, "--bundle", bundle)
    assert code == 0, output
    assert masks(out) == undisturbed
    assert hidden(out) == []
    return output


@pytest.mark.parametrize(
    "row",
    [
        row("segment-sigkill", "SIGKILL at eight random moments, with and without --overwrite", SEGMENT, AGAIN,
            "exists, skipped", exit_code=0, kind="interruption"),
    ],
)  # fmt: skip
def test_sigkill(row: Row, images: Path, small_bundle: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = repr(((str(images), str(out)), {"bundle": str(small_bundle)}))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLS, "8", call],
        env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for turn in range(8):
        assert process.stdout.readline() == f"{turn}\n", process.stderr.read()
        assert masks(out) == undisturbed if turn == 0 else masks(out).items() <= undisturbed.items()
        if turn % 2:  # something has to be left to do
            for name in sorted(undisturbed)[: turn + 1]:
                (out / name).unlink(missing_ok=True)
        process.stdin.write("\n")
        process.stdin.flush()
    assert process.wait(60) == 0
    (out / sorted(undisturbed)[0]).unlink(missing_ok=True)
    row.check(0, goes_on(images, out, small_bundle, undisturbed))
    ends = [run["ended"] for run in runs(out)]
    assert ends[0] == ends[-1] == "completed"
    assert ends.count("killed") >= 4  # with little left to do one may be done before its moment
    assert set(ends) == {"completed", "killed"}


@pytest.mark.parametrize(
    ("row", "number"),
    [
        row("segment-sigterm", "SIGTERM, as schedulers send it", SEGMENT, f"the manifest is written; {AGAIN}",
            "stopped: terminated; the same command does what is missing", signal.SIGTERM, exit_code=143,
            kind="interruption"),
        row("segment-ctrl-c", "Ctrl-C", SEGMENT, f"the manifest is written; {AGAIN}",
            "stopped: interrupted; the same command does what is missing", signal.SIGINT, exit_code=130,
            kind="interruption"),
    ],
)  # fmt: skip
def test_a_signal(
    row: Row, number: int, images: Path, small_bundle: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(images, out, "--bundle", small_bundle)
    wait_until(lambda: out.is_dir() and any(out.glob("case_0*")), process)
    process.send_signal(number)
    row.check(*ended(process))
    (run,) = runs(out)
    assert run["ended"] == ("terminated" if number == signal.SIGTERM else "interrupted")
    assert {Path(case["mask"]).name for case in run["cases"]} == set(masks(out))
    assert hidden(out) == []
    goes_on(images, out, small_bundle, undisturbed)


@pytest.mark.parametrize(
    "row",
    [
        row("segment-disk-full", "a disk that is full after some masks", SEGMENT,
            f"the run stops with one line; {AGAIN}", "stopped: disk full; the same command does what is missing",
            exit_code=1, kind="interruption"),
    ],
)  # fmt: skip
def test_a_full_disk(row: Row, images: Path, small_bundle: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """As the system says it by a limit on the length of files, which the journal reaches after a few cases."""
    out = tmp_path / "out"
    limit = 2500
    process = start(
        images, out, "--bundle", small_bundle,
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )  # fmt: skip
    row.check(*ended(process))
    assert masks(out).items() <= undisturbed.items()
    assert hidden(out) == []
    goes_on(images, out, small_bundle, undisturbed)


@pytest.mark.parametrize(
    "row",
    [
        row("segment-damaged-mask", "masks cut short by a crash of the machine", SEGMENT,
            "each is named and done again", "done in", exit_code=0, kind="interruption"),
    ],
)  # fmt: skip
def test_damaged_masks(
    row: Row, images: Path, small_bundle: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    goes_on(images, out, small_bundle, undisturbed)
    for name in ("case_00.nii.gz", "case_01.mha", "case_02.nrrd"):
        (out / name).write_bytes((out / name).read_bytes()[:-40])
    output = goes_on(images, out, small_bundle, undisturbed)
    row.check(0, output)
    assert output.count("the mask that was there was damaged") == 3
    assert output.count("exists, skipped") == COUNT - 3


@pytest.mark.parametrize(
    "row",
    [
        row("segment-timeout", "a case whose computation does not end", "volseg segment FOLDER OUT --timeout 1",
            "named; the other cases are done", "TIMED OUT, computing it took longer than 1 s", exit_code=1,
            kind="interruption"),
    ],
)  # fmt: skip
def test_a_computation_without_end(
    row: Row, images: Path, small_bundle: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    config = json.loads((small_bundle / "inference.json").read_text(encoding="utf-8"))
    once = tmp_path / "once"
    config["inferer"] = {
        "_target_": "test_segment_interruptions.Stuck",
        "once": str(once),
        "inferer": config["inferer"],
    }
    slow = tmp_path / "bundle.json"
    slow.write_text(json.dumps(config | {"bundle_root": str(small_bundle)}), encoding="utf-8")
    weights = small_bundle / "models" / "model.pt"
    row.check(*volseg("segment", images, out, "--bundle", slow, "--weights", weights, "--timeout", "1", "--trust"))
    assert len(masks(out)) == COUNT - 1
    goes_on(images, out, small_bundle, undisturbed)


class Stuck:
    """An inferer that never ends the first time that it is called."""

    def __init__(self, inferer: object, once: str) -> None:
        self.inferer = inferer
        self.once = Path(once)

    def __call__(self, *arguments: object) -> object:
        while not self.once.exists():
            self.once.touch()
            signal.pause()
        return self.inferer(*arguments)


@pytest.mark.parametrize(
    ("row", "victim"),
    [
        row("segment-torchrun-sigkill", "SIGKILL of one of two processes under torchrun",
            "torchrun --nproc_per_node 2 -m pipeline segment FOLDER OUT", f"torchrun ends the other; {AGAIN}",
            "exists, skipped", "worker", exit_code=0, kind="interruption"),
        row("segment-torchrun-sigterm", "SIGTERM to torchrun",
            "torchrun --nproc_per_node 2 -m pipeline segment FOLDER OUT", f"one manifest of both processes; {AGAIN}",
            "exists, skipped", "agent", exit_code=0, kind="interruption"),
    ],
)  # fmt: skip
def test_torchrun(
    row: Row, victim: str, images: Path, small_bundle: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    process = start(images, out, "--bundle", small_bundle, launcher=torchrun)
    wait_until(lambda: out.is_dir() and len(list(out.glob("case_*"))) > 1, process)
    if victim == "agent":
        process.terminate()
    else:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        rank = {pid: rank_of(pid) for pid in children}
        os.kill(int(next(pid for pid, number in rank.items() if number == "1")), signal.SIGKILL)
    code, _ = ended(process)
    assert code != 0
    (run,) = runs(out)
    assert run["ended"] == "terminated"
    if victim == "agent":
        assert {Path(case["mask"]).name for case in run["cases"]} == set(masks(out))
    row.check(0, goes_on(images, out, small_bundle, undisturbed))


def rank_of(pid: str) -> str:
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return next((value.split("=")[1] for value in variables if value.startswith("RANK=")), "")
