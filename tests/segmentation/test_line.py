"""Cases on their way: side by side or one after the other, stuck, out of room, killed in between."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import acdc_like
from test_looker import image_that_hangs
from threshold_bundle import CONFIG, EXPECTED, SHAPE, VALUES, write_bundle

from pipeline.errors import DataError
from pipeline.segmentation import segment, steps
from pipeline.segmentation.background import Background
from pipeline.segmentation.line import Line
from pipeline.segmentation.looker import TimedOutError
from pipeline.segmentation.results import Summary
from pipeline.segmentation.signals import Terminated, exit_code, time_limit
from pipeline.segmentation.statistics import read_statistics, save_statistics
from pipeline.segmentation.workplace import Workplace, left_behind, workplace
from pipeline.volumes import masks as mask_files
from pipeline.volumes import read_mask

CASES = "abcdef"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "threshold_bundle")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Six volumes, each with its own mask: a..f begin with 0..5 voxels of the second structure."""
    folder = tmp_path / "in"
    folder.mkdir()
    for count, case in enumerate(CASES):
        acdc_like(folder / f"{case}.nii.gz", values(count))
    return folder


def values(count: int) -> np.ndarray:
    voxels = np.full(SHAPE, 2, np.int16)
    voxels.reshape(-1)[-1] = 15
    voxels.reshape(-1)[:count] = 25
    return voxels


def run(inputs: Any, output: Path, bundle: Path, **options: Any) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    return segment(inputs, output, bundle=bundle, progress=False, echo=lines.append, **options), lines


def runs(output: Path) -> list[dict[str, Any]]:
    return json.loads((output / "manifest.json").read_text(encoding="utf-8"))["runs"]


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("ahead", [True, False])
def test_side_by_side_or_one_after_the_other(tmp_path: Path, images: Path, bundle: Path, ahead: bool) -> None:
    summary, lines = run(images, tmp_path / "out", bundle, ahead=ahead, statistics=True)
    assert [case.case for case in summary.cases] == list(CASES)
    assert [line.split(":")[0] for line in lines[1:-1]] == list(CASES)
    for count, case in enumerate(CASES):
        mask = read_mask(tmp_path / "out" / f"{case}.nii.gz")
        assert np.array_equal(mask, np.select([values(count) == 15, values(count) == 25], [1, 2]))
    assert names(tmp_path / "out") == [*(f"{case}.nii.gz" for case in CASES), "manifest.json", "statistics.json"]


def test_no_more_than_two_cases_are_in_memory(tmp_path: Path, images: Path, bundle: Path) -> None:
    """Counted where a case's data is made and given up, whatever thread does it."""
    from pipeline.segmentation.runner import BundleRunner

    alive, most = set(), []
    read, write = BundleRunner.read, BundleRunner.write

    def counted_read(self: Any, item: Any) -> Any:
        alive.add(item["case"])
        most.append(len(alive))
        return read(self, item)

    def counted_write(self: Any, work: Any) -> Any:
        found = write(self, work)
        alive.discard(work.item["case"])
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BundleRunner, "read", counted_read)
        patch.setattr(BundleRunner, "write", counted_write)
        run(images, tmp_path / "one", bundle, ahead=False)
        assert max(most) == 1
        most.clear()
        run(images, tmp_path / "two", bundle)
        assert max(most) <= 2


@pytest.mark.parametrize("ahead", [True, False])
def test_a_case_that_hangs_while_it_is_read(tmp_path: Path, images: Path, bundle: Path, ahead: bool) -> None:
    image_that_hangs(images / "bb.mhd")
    summary, lines = run(images, tmp_path / "out", bundle, ahead=ahead, timeout=0.7)
    assert {case.case: case.outcome for case in summary.cases} == {**dict.fromkeys(CASES, "done"), "bb": "timed out"}
    assert summary.exit_code == 1
    assert "bb: TIMED OUT, reading it took longer than 0.7 s" in lines
    assert "6 done, 1 TIMED OUT" in lines[-1]
    (entry,) = runs(tmp_path / "out")
    assert [case["outcome"] for case in entry["cases"] if case["case"] == "bb"] == ["timed out"]


@pytest.mark.parametrize("ahead", [True, False])
def test_a_case_that_hangs_while_it_is_computed(tmp_path: Path, images: Path, bundle: Path, ahead: bool) -> None:
    slow = "$lambda image, network: (__import__('time').sleep(60 * float((image == 25).sum() == 2)), network(image))[1]"
    (bundle / "inference.json").write_text(json.dumps({**CONFIG, "inferer": slow}))
    summary, lines = run(images, tmp_path / "out", bundle, ahead=ahead, timeout=0.5)
    assert [case.outcome for case in summary.cases] == ["done", "done", "timed out", "done", "done", "done"]
    assert "c: TIMED OUT, computing it took longer than 0.5 s" in lines
    assert "c.nii.gz" not in names(tmp_path / "out")


def test_a_writer_that_wakes_up_late_leaves_its_neighbours_alone(
    tmp_path: Path, images: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of b hangs until the files of c have been written and have not got their names yet."""
    from pipeline.segmentation.runner import BundleRunner

    write, wake_up, late = BundleRunner.write, threading.Event(), []

    def write_late(self: Any, work: Any) -> Any:
        if (case := work.item["case"]) == "b":
            late.append(threading.current_thread())
            wake_up.wait(60)
        found = write(self, work)
        companion = self.output_dir / f"{case}_more.nii.gz"
        companion.write_bytes(b"")
        if case == "c":
            wake_up.set()
            late[0].join(60)
        found.others.append(companion)
        return found

    monkeypatch.setattr(BundleRunner, "write", write_late)
    monkeypatch.setattr(Line, "_limit", property(lambda _: 3.0))
    summary, lines = run(images, tmp_path / "out", bundle, timeout=600.0)
    assert {case.case: case.outcome for case in summary.cases} == {**dict.fromkeys(CASES, "done"), "b": "timed out"}
    assert "b: TIMED OUT, writing it took longer than 3 s" in lines
    done = [case for case in CASES if case != "b"]
    assert names(tmp_path / "out") == sorted(
        ["manifest.json", *(f"{case}{end}" for case in done for end in (".nii.gz", "_more.nii.gz"))]
    )


def test_a_job_that_hangs_is_left_to_its_thread() -> None:
    background, stuck = Background(), threading.Event()
    first = background.submit(stuck.wait)
    second = background.submit(lambda: 7)
    with pytest.raises(TimedOutError, match="waiting took longer"), time_limit(0.2, "waiting"):
        second.result()
    background.abandon()
    assert second.result(timeout=10) == 7
    stuck.set()
    assert first.result(timeout=10) is True
    assert background.submit(lambda: 8).result(timeout=10) == 8


def test_closing_waits_for_the_job_at_hand_and_takes_back_the_others() -> None:
    background, begun, go_on = Background(), threading.Event(), threading.Event()
    worker: list[threading.Thread] = []

    def job() -> int:
        worker.append(threading.current_thread())
        begun.set()
        go_on.wait(10)
        return 5

    first, second = background.submit(job), background.submit(lambda: 6)
    begun.wait(10)
    threading.Timer(0.2, go_on.set).start()
    background.close(10)
    assert first.done()
    assert first.result() == 5
    assert second.cancelled()
    assert not worker[0].is_alive()


def test_a_limit_ends_with_its_block() -> None:
    with time_limit(0.05, "it"):
        pass
    time.sleep(0.1)
    with pytest.raises(TimedOutError, match=r"it took longer than 0\.05 s"), time_limit(0.05, "it"):
        time.sleep(5)


def test_a_damaged_mask_is_done_again(tmp_path: Path, images: Path, bundle: Path) -> None:
    out = tmp_path / "out"
    run(images, out, bundle)
    whole = (out / "b.nii.gz").read_bytes()
    (out / "b.nii.gz").write_bytes(whole[:-30])
    (out / "c.nii.gz").write_bytes(b"")
    summary, lines = run(images, out, bundle)
    assert [case.outcome for case in summary.cases] == ["exists", "done", "done", "exists", "exists", "exists"]
    assert "the mask that was there was damaged (a truncated one)" in lines[2]
    assert np.array_equal(read_mask(out / "b.nii.gz"), np.select([values(1) == 15, values(1) == 25], [1, 2]))


def test_a_mask_of_another_shape_is_not_lost(tmp_path: Path, images: Path, bundle: Path) -> None:
    out = tmp_path / "out"
    run(images, out, bundle)
    before = (out / "a.nii.gz").read_bytes()
    acdc_like(images / "a.nii.gz", VALUES[:, :, :2])
    summary, lines = run(images, out, bundle)
    assert (summary.cases[0].outcome, summary.exit_code) == ("failed", 1)
    said = "a: FAILED, expected a mask of the image's shape 6 x 5 x 2, found one of 6 x 5 x 4. "
    assert any(line.startswith(said) and "--overwrite" in line for line in lines)
    assert (out / "a.nii.gz").read_bytes() == before
    again, _ = run(images, out, bundle, overwrite=True)
    assert again.exit_code == 0


@pytest.mark.parametrize("ahead", [True, False])
def test_a_full_disk_ends_the_run_in_one_line(
    tmp_path: Path, images: Path, bundle: Path, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = mask_files._write_nifti
    count = iter(range(100))

    def write(array: np.ndarray, like: Any, temporary: Path, index: int | None) -> None:
        whole(array, like, temporary, index)
        if next(count) == 2:
            temporary.write_bytes(temporary.read_bytes()[:50])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(mask_files, "_write_nifti", write)
    out = tmp_path / "out"
    summary, lines = run(images, out, bundle, ahead=ahead)
    assert summary.exit_code == 1
    assert lines[3] == f"c: FAILED, no room left on the disk of {out}"
    assert "2 done, 1 FAILED, 3 NOT TRIED" in lines[-1]
    assert "stopped: disk full" in lines[-1]
    assert names(out) == ["a.nii.gz", "b.nii.gz", "manifest.json"]
    (entry,) = runs(out)
    assert (entry["complete"], entry["ended"]) == (False, "disk full")
    again, _ = run(images, out, bundle, ahead=ahead)
    assert [case.outcome for case in again.cases] == ["exists", "exists", "done", "done", "done", "done"]


def test_no_room_for_the_first_note(
    tmp_path: Path, images: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Workplace, "note", note)
    with pytest.raises(DataError, match=r"found one that is not \(No space left on device\)"):
        run(images, tmp_path / "out", bundle)
    assert names(tmp_path / "out") == []


def test_sigterm_ends_with_the_manifest_written(tmp_path: Path, images: Path, bundle: Path) -> None:
    def terminate(line: str) -> None:
        if line.startswith("b:"):
            os.kill(os.getpid(), 15)

    with pytest.raises(Terminated) as caught:
        segment(images, tmp_path / "out", bundle=bundle, progress=False, echo=terminate)
    assert exit_code(caught.value) == 143
    assert exit_code(KeyboardInterrupt()) == 130
    (entry,) = runs(tmp_path / "out")
    assert (entry["complete"], entry["ended"], entry["asked"]) == (False, "terminated", 6)
    assert {case["case"] for case in entry["cases"]} >= {"a", "b"}
    assert not [name for name in names(tmp_path / "out") if name.startswith(".")]


def test_a_killed_run_is_told_by_the_next_one(tmp_path: Path, images: Path, bundle: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with workplace(out) as alive:
        pid = os.fork()
        if not pid:  # a run that is killed in the middle of its second case
            with workplace(out) as place:
                place.note({"program": {}, "weights": {"sha256": "0" * 64}, "asked": 6, "ended": "killed", "cases": []})
                for _ in range(2):  # once its mask is there and once it is measured
                    place.note({"case": "a", "image": str(images / "a.nii.gz"), "outcome": "done"})
                with (place.folder / "journal.jsonl").open("a") as stream:
                    stream.write('{"case": "b", "outc')
                (place.masks / ".1234.b.nii.gz").write_bytes(b"half")
                os.kill(os.getpid(), 9)
        os.waitpid(pid, 0)
        assert len(names(out)) == 2
        acdc_like(out / "a.nii.gz", EXPECTED)
        save_statistics(out / "statistics.json", {"a": {"of": "an earlier mask"}, "z": {}}, {"RV": 1})
        summary, lines = run(images, out, bundle)
        assert alive.folder.is_dir()
    assert "a: exists, skipped (made by other weights, 000000000000; --overwrite does it again)" in lines
    first, second = runs(out)
    assert (first["ended"], [case["case"] for case in first["cases"]]) == ("killed", ["a"])
    assert (second["ended"], second["complete"]) == ("completed", True)
    assert summary.exit_code == 0
    assert names(out) == [*(f"{case}.nii.gz" for case in CASES), "manifest.json", "statistics.json"]
    assert read_statistics(out / "statistics.json") == {"z": {}}


def test_a_mask_is_in_the_journal_before_it_is_measured(
    tmp_path: Path, images: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []

    def measure(mask: Path, *_: Any, **__: Any) -> dict[str, Any]:
        (journal,) = tmp_path.glob("out/.volseg-*/journal.jsonl")
        told.append((mask.name, json.loads(journal.read_text(encoding="utf-8").splitlines()[-1])["mask"]))
        return {}

    monkeypatch.setattr(steps, "measure", measure)
    run(images, tmp_path / "out", bundle, statistics=True)
    assert told == [(f"{case}.nii.gz", str(tmp_path / "out" / f"{case}.nii.gz")) for case in CASES]


def test_a_workplace_without_a_lock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".volseg-abc").mkdir()
    assert list(left_behind(tmp_path)) == []
    (tmp_path / ".volseg-abc" / "lock").touch()
    assert list(left_behind(tmp_path)) == [[]]
    assert names(tmp_path) == []
