"""A cohort of 200 cases, 20 of them broken, in several formats: segmented whole, and after two kills in the middle."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from broken_images import BROKEN, Broken, good
from faults import Row, row, volseg
from segment_process import ended, hidden, masks, runs, start, wait_until

GOOD, KINDS = 180, (".nii.gz", ".nii.gz", ".nii.gz", ".mha", ".nrrd", "")
LEFT_OUT = ("hangs.mhd", "pixels.png", "thin.nii.gz", "five.nii.gz", "complex.nii.gz", "archive.nii.gz")
CHOSEN = [broken for broken in BROKEN if broken.file not in LEFT_OUT][:20]
COMMAND = "volseg segment FOLDER OUT"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """180 good images in NIfTI, MetaImage, NRRD and DICOM, and 20 broken ones among them."""
    folder = tmp_path_factory.mktemp("cohort")
    for number in range(GOOD):
        good(folder / f"p{number:03d}{KINDS[number % len(KINDS)]}", number)
    for broken in CHOSEN:
        broken.write(folder / broken.file)
    return folder


@pytest.fixture(scope="module")
def undisturbed(cohort: Path, small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """Exit code, output and masks of one run."""
    out = tmp_path_factory.mktemp("masks") / "out"
    return *volseg("segment", cohort, out, "--bundle", small_bundle), out


def check(output: str, out: Path) -> None:
    """180 masks, 20 named reasons, nothing else."""
    assert len(CHOSEN) == 20
    assert len(masks(out)) == GOOD
    failed = dict(line.split(": FAILED, ", 1) for line in output.splitlines() if ": FAILED, " in line)
    assert set(failed) == {case(broken) for broken in CHOSEN}
    for broken in CHOSEN:
        assert broken.message in failed[case(broken)]
    entries = {entry["case"]: entry for entry in runs(out)[-1]["cases"]}
    assert len(entries) == GOOD + len(CHOSEN)
    assert {name for name, entry in entries.items() if entry["outcome"] == "failed"} == set(failed)
    assert all(failed[name] == "{reason}. {remedy}".format(**entries[name]) for name in failed)
    assert hidden(out) == []


def case(broken: Broken) -> str:
    return broken.file.split(".")[0]


@pytest.mark.parametrize(
    "row",
    [
        row("segment-cohort", "20 broken images among 200", COMMAND, "180 masks, 20 named reasons",
            "180 done, 20 FAILED", exit_code=1),
    ],
)  # fmt: skip
def test_the_cohort(row: Row, undisturbed: tuple[int, str, Path]) -> None:
    code, output, out = undisturbed
    row.check(code, output)
    check(output, out)


@pytest.mark.parametrize(
    "row",
    [
        row("segment-cohort-killed-twice", "200 cases, 20 of them broken, and SIGKILL twice in the middle", COMMAND,
            "the same 180 masks and 20 reasons in the end", "existed already, 20 FAILED", exit_code=1,
            kind="interruption"),
    ],
)  # fmt: skip
def test_the_cohort_killed_twice(
    row: Row, cohort: Path, small_bundle: Path, undisturbed: tuple[int, str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for enough in (50, 110):
        process = start(cohort, out, "--bundle", small_bundle)
        wait_until(lambda enough=enough: out.is_dir() and len(list(out.glob("p*"))) >= enough, process)
        process.send_signal(signal.SIGKILL)
        assert ended(process)[0] == -signal.SIGKILL
        assert enough <= len(masks(out)) < GOOD
    code, output = volseg("segment", cohort, out, "--bundle", small_bundle)
    row.check(code, output)
    check(output, out)
    assert masks(out) == masks(undisturbed[2])
    told = runs(out)
    assert [run["ended"] for run in told] == ["killed", "killed", "completed"]
    done = [entry["case"] for run in told for entry in run["cases"] if entry["outcome"] == "done"]
    assert GOOD - 4 <= len(set(done)) == len(done)  # none twice; a kill may come between a mask and its note
