"""The command, its JSON, the list without broken cases, and processes that die."""

from __future__ import annotations

import json
import os
import re
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer
from preflight_set import checked, good_set, image_of, save
from typer.testing import CliRunner

from pipeline.cli.check import check as command
from pipeline.datalists import load_datalist
from pipeline.errors import DataError
from pipeline.preflight import check, quarantine
from pipeline.preflight.scan import Job, scan
from pipeline.preflight.workers import scan_all
from pipeline.volumes import nifti


@pytest.fixture
def spoilt(tmp_path: Path) -> Path:
    """A set whose cases b (image) and e (label) are broken; the folder."""
    datalist = good_set(tmp_path)
    (tmp_path / "images" / "b.nii.gz").write_bytes(b"")
    save(tmp_path / "labels" / "e.nii.gz", image_of("e")[..., :4])
    (tmp_path / "datalist.json").write_text(json.dumps(datalist))
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [str(one) for one in arguments])
    if isinstance(done.exception, DataError):  # what `python -m pipeline` turns into lines and code 2
        return 2, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_the_command_prints_all_problems_and_exits_with_2(spoilt: Path) -> None:
    code, told = run(spoilt, "--processes", 1, "--json", spoilt / "out" / "check.json")
    assert code == 2
    for text in ("images/b.nii.gz", "an empty file", "Copy or download the file again", "12 x 11 x 4", "more than 256"):
        assert text in told
    assert "6 cases, 12 files checked (full)" in told
    assert "3 problems in 2 cases, 0 warnings" in told
    content = json.loads((spoilt / "out" / "check.json").read_text(encoding="utf-8"))
    assert content["broken"] == ["b", "e"]
    assert [one["check"] for one in content["problems"]] == ["readable", "grid", "labels"]
    assert set(content["problems"][0]) == {"check", "file", "expected", "found", "remedy", "cases"}
    assert content["problems"][0]["file"] == str(spoilt / "images" / "b.nii.gz")


def test_a_good_set_exits_with_0(tmp_path: Path) -> None:
    checked(tmp_path, good_set(tmp_path))
    code, told = run(tmp_path, "--level", "fast")
    assert code == 0
    assert "no problems, 0 warnings" in told
    assert run(tmp_path, "--labels", "1=RV,2=MYO", "--processes", 1)[0] == 2


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "[red]a[b].nii.gz").write_bytes(b"")
    (tmp_path / os.fsdecode(b"odd\xff.nii.gz")).write_bytes(b"")
    code, told = run(tmp_path)
    assert code == 2
    assert "[red]a[b].nii.gz" in told
    assert "2 problems" in told


def test_the_quarantined_list_holds_the_good_cases_and_why_the_others_are_gone(spoilt: Path) -> None:
    before = (spoilt / "datalist.json").read_text(encoding="utf-8")
    code, told = run(spoilt, "--quarantine", spoilt / "good.json", "--processes", 1)
    assert code == 2, "the problems are still there"
    assert "without 2 of 6 cases" in told
    good = load_datalist(spoilt / "good.json")
    assert [item["case"] for item in good["training"]] == ["a", "c", "d", "f"]
    assert set(good["provenance"]["quarantined"]) == {"b", "e"}
    assert "an empty file" in good["provenance"]["quarantined"]["b"][0]
    assert (good["numTraining"], good["labels"]) == (4, json.loads(before)["labels"])
    assert (spoilt / "datalist.json").read_text(encoding="utf-8") == before
    assert check(spoilt / "good.json", progress=False).problems == []
    code, told = run(spoilt, "--quarantine", spoilt / "good.json")
    assert code == 2
    assert "--overwrite" in told
    assert run(spoilt, "--json", spoilt / "good.json")[1] == told
    assert "without 2" in run(spoilt, "--quarantine", spoilt / "good.json", "--overwrite", "--processes", 1)[1]


def test_a_folder_in_quarantine_is_input_of_segment(tmp_path: Path) -> None:
    from pipeline.segmentation.intake import find_cases

    for case in "abc":
        save(tmp_path / "scans" / f"{case}.nii.gz", image_of(case))
    (tmp_path / "scans" / "b.nii.gz").write_bytes(b"")
    result = check(tmp_path / "scans", progress=False)
    path = quarantine(result, tmp_path / "lists" / "good.json")
    found = find_cases(path)
    assert [case["case"] for case in found] == ["a", "c"]
    assert [os.path.samefile(one["image"], tmp_path / "scans" / f"{one['case']}.nii.gz") for one in found] == [True] * 2


def test_duplicates_and_leaks_are_mended_by_leaving_the_later_ones_out(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    save(tmp_path / "images" / "c.nii.gz", image_of("a"))
    datalist["training"][3]["patient"] = "pe"
    path = quarantine(checked(tmp_path, datalist), tmp_path / "good.json")
    kept = [item["case"] for item in load_datalist(path)["training"]]
    assert kept == ["a", "b", "d", "f"]
    assert check(path, progress=False).problems == []


def test_what_is_wrong_with_the_list_itself_no_quarantine_mends(tmp_path: Path) -> None:
    datalist = good_set(tmp_path) | {"labels": {"background": 0, "a": 1, "b": 1}}
    result = checked(tmp_path, datalist)
    assert [one.check for one in result.problems if not one.cases]
    with pytest.raises(DataError, match="a number of its own"):
        quarantine(result, tmp_path / "good.json")
    assert not (tmp_path / "good.json").exists()


def test_absolute_paths_of_a_list_stay(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    new = save(tmp_path / "new" / "n.nii.gz", image_of("c")[::-1])
    datalist["testing"] = [{"image": str(new), "case": "n", "patient": "pn"}]
    (tmp_path / "images" / "b.nii.gz").write_bytes(b"")
    path = quarantine(checked(tmp_path, datalist), tmp_path / "lists" / "good.json")
    assert load_datalist(path)["testing"][0]["image"] == str(new)


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    for case in "abcdef":
        (tmp_path / "images" / f"{case}.nii.gz").write_bytes(b"")
    with pytest.raises(DataError, match="none of 6"):
        quarantine(checked(tmp_path, datalist), tmp_path / "good.json")
    assert not (tmp_path / "good.json").exists()
    with pytest.raises(DataError, match="no such path"):
        quarantine(check(tmp_path / "nothing", progress=False), tmp_path / "good.json")


def test_an_unknown_level_is_an_error_of_the_program(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="quick"):
        check(tmp_path, level="quick")


class Bomb(Job):
    """Ends the process that receives it."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (1,)


@pytest.mark.slow
def test_a_process_that_dies_costs_one_file(tmp_path: Path) -> None:
    good_set(tmp_path)
    jobs = [Job(str(tmp_path / "images" / f"{case}.nii.gz")) for case in "abcdef"]
    jobs[2] = Bomb(jobs[2].file)
    scans = scan_all(jobs, processes=2, progress=False)
    assert list(scans) == [job.file for job in jobs]
    assert [bool(scans[job.file].problems) for job in jobs] == [False, False, True, False, False, False]
    assert "ended the process" in scans[jobs[2].file].problems[0].found
    one = scan(jobs[0])
    assert scans[one.file].pieces == one.pieces


def test_memory_of_a_big_compressed_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "PART", 2**19)
    voxels = np.zeros((256, 256, 400), np.int16)
    voxels[::7, ::5] = 900
    voxels[3, 3] = np.arange(400)
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    image.to_filename(tmp_path / "big.nii.gz")
    tracemalloc.start()
    found = scan(Job(str(tmp_path / "big.nii.gz")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.pieces[None].low, found.pieces[None].high) == (-10.0, 440.0)
    assert peak < 40 * nifti.PART < voxels.nbytes / 2


def test_the_page_tells_of_every_check() -> None:
    root = Path(__file__).resolve().parents[2]
    sources = "".join(
        path.read_text(encoding="utf-8") for path in sorted((root / "pipeline" / "preflight").glob("*.py"))
    )
    names = set(re.findall(r'(?:Finding\(|yield )"(\w+)"', sources))
    assert {"readable", "axes", "grid", "labels", "duplicate", "extra"} < names
    page = (root / "docs" / "checks.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_a_section_without_cases_is_no_clean_one(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    result = checked(tmp_path, datalist, section="testing", level="fast")
    assert [finding.problem.expected for finding in result.problems] == ["cases in testing"]
    assert not checked(tmp_path, datalist, level="fast").problems
