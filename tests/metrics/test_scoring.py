"""Folders of masks scored, written and read back, on files with hand-computed scores."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.metrics import read_scores, score_cases, score_folders
from pipeline.metrics.origin import origin

LABELS = {"RV": 1, "MYO": 2, "LV": 3}
CASES = ["patient001_ED", "patient001_ES", "patient002_ED", "patient002_ES"]
Save = Callable[..., Path]


@pytest.fixture
def preds(tmp_path: Path, save_mask: Save, heart: Callable[[int], np.ndarray]) -> Path:
    """Predictions moved by 0, 1, 2 and 3 voxels: Dice 1, .75, .5 and .25."""
    for shift, case in enumerate(CASES):
        save_mask(tmp_path / "preds" / f"{case}.nii.gz", heart(shift))
    return tmp_path / "preds"


def score(preds: Path, truth: Path, tmp_path: Path, **options: object):
    return score_folders(preds, truth, tmp_path / "out", labels=LABELS, progress=False, **options)


def test_a_mask_of_no_case_is_warned_of_and_noted(
    preds: Path, acdc_truth: Path, tmp_path: Path, save_mask: Save, heart, caplog: pytest.LogCaptureFixture
) -> None:
    save_mask(preds / "patient003_ED.nii.gz", heart(0))
    scores = score(preds, acdc_truth, tmp_path)
    told = "masks of no case, not scored: patient003_ED.nii.gz"
    assert scores.provenance["warnings"] == [told]
    assert told in caplog.text
    assert told in (tmp_path / "out" / "scores.json").read_text(encoding="utf-8")


def test_what_cannot_be_done_is_refused_before_anything_is_scored(
    preds: Path, acdc_truth: Path, tmp_path: Path
) -> None:
    from pipeline.cli.score import score as command

    out = tmp_path / "out"
    given = {"labels": {"lungs": 1, "infection": 2, "nodule": 3}}
    with pytest.raises(DataError, match="structures called RV, MYO and LV, found lungs, infection, nodule"):
        command(preds, acdc_truth, out, **given, acdc_csv=True)
    with pytest.raises(DataError, match="lesions: expected one of the structures lungs, infection, nodule, found lung"):
        command(preds, acdc_truth, out, **given, lesions="infection=lung")
    assert not out.exists()
    out.mkdir()
    (out / "acdc.csv").touch()
    with pytest.raises(DataError, match=r"acdc\.csv"):
        command(preds, acdc_truth, out, labels=LABELS, acdc_csv=True)
    assert [path.name for path in out.iterdir()] == ["acdc.csv"]


def test_the_form_of_acdc_lies_beside_the_scores(preds: Path, acdc_truth: Path, tmp_path: Path) -> None:
    score(preds, acdc_truth, tmp_path, acdc_csv=True)
    lines = (tmp_path / "out" / "acdc.csv").read_text(encoding="utf-8").splitlines()
    assert lines[2].startswith("patient001_ES,0.75,0.08,0,")


def test_a_second_visit_is_warned_of(preds: Path, tmp_path: Path) -> None:
    who = {"patient": "p", "phase": "ED"}
    cases = [{"case": name, **who, "label": preds / f"{name}.nii.gz"} for name in CASES]
    cases[1]["phase"] = "ES"
    scores = score_cases([{**case, "pred": case["label"]} for case in cases], LABELS, progress=False)
    told = "2 not among the clinical numbers, since an earlier case is of the same patient and phase: "
    assert scores.provenance["warnings"] == [told + ", ".join(CASES[2:])]
    assert len(scores.clinical) == 1


def test_files_by_hand(preds: Path, acdc_truth: Path, tmp_path: Path) -> None:
    score(preds, acdc_truth, tmp_path)
    out = tmp_path / "out"
    names = ["cases.json", "clinical.csv", "scores.csv", "scores.json", "slices.csv"]
    assert sorted(path.name for path in out.iterdir()) == names  # nothing temporary is left
    with (out / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4 * 4
    header = "case,patient,phase,group,structure,dice,iou,pixel_error,hd_mm,hd95_mm,"
    header += "truth_ml,pred_ml,truth_voxels,pred_voxels,empty"
    assert list(rows[4]) == header.split(",")
    # 3 of 4 voxels shared, 2 of 144 wrong; distances [0 0 0 2] mm each way, 95th percentile 0.85 of the way to 2
    found = "patient001_ES,patient001,ES,DCM,RV,0.75,0.6,0.01388889,2,1.7,0.08,0.08,4,4,"
    assert ",".join(rows[4].values()) == found
    assert (rows[7]["structure"], rows[7]["truth_ml"], rows[7]["truth_voxels"]) == ("mean", "", "")
    assert float(rows[7]["pixel_error"]) == pytest.approx(6 / 144)  # three bars, one voxel at each end
    with (out / "slices.csv").open() as stream:
        slices = list(csv.DictReader(stream))
    assert len(slices) == 4 * 2 * 4
    assert (slices[0]["slice"], slices[0]["structure"], slices[0]["dice"], slices[0]["empty"]) == (
        "0",
        "RV",
        "",
        "both",
    )


def test_summary_by_hand(preds: Path, acdc_truth: Path, tmp_path: Path) -> None:
    score(preds, acdc_truth, tmp_path)
    content = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    assert content["labels"] == LABELS
    assert content["unit"] == "volume"
    assert set(content["definitions"]) == {"dice", "iou", "pixel_error", "hd_mm", "hd95_mm"}
    assert "larger of the two directed" in content["definitions"]["hd95_mm"]
    summary = content["summary"]
    (dice,) = [e for e in summary["overall"] if (e["structure"], e["metric"]) == ("LV", "dice")]
    # 1, .75, .5, .25: squared deviations .140625 * 2 + .015625 * 2 = .3125, over 3
    expected = {"n": 4, "mean": 0.625, "sd": (0.3125 / 3) ** 0.5, "median": 0.625, "min": 0.25, "max": 1.0}
    assert {key: dice[key] for key in expected} == pytest.approx(expected)
    assert (dice["undefined"], dice["missed"], dice["false_found"], dice["unit"]) == (0, 0, 0, "volume")
    means = {(e["phase"], e["structure"]): e["mean"] for e in summary["by_phase"] if e["metric"] == "dice"}
    assert means["ED", "RV"] == pytest.approx(0.75)
    assert means["ES", "mean"] == pytest.approx(0.5)
    means = {(e["group"], e["structure"]): e["mean"] for e in summary["by_group"] if e["metric"] == "dice"}
    assert means["DCM", "MYO"] == pytest.approx(0.875)
    (by_slice,) = [e for e in summary["slices"] if (e["structure"], e["metric"]) == ("LV", "dice")]
    assert (by_slice["n"], by_slice["undefined"], by_slice["unit"]) == (4, 4, "slice")
    agreement = {entry["quantity"]: entry for entry in content["clinical"]["agreement"]}
    assert (agreement["LV_EDV"]["bias"], agreement["LV_EDV"]["n"]) == (0, 2)


def test_written_scores_are_read_back(preds: Path, acdc_truth: Path, tmp_path: Path) -> None:
    scores = score(preds, acdc_truth, tmp_path)
    back = read_scores(tmp_path / "out")
    pd.testing.assert_frame_equal(back.cases, scores.cases, check_dtype=False)
    pd.testing.assert_frame_equal(back.slices, scores.slices, check_dtype=False)
    assert back.mean("dice", "LV") == pytest.approx(0.625)
    assert back.mean("dice", phase="ED") == pytest.approx(0.75)
    assert back.mean("dice", "lungs") is None
    assert back.files == scores.files
    assert back.files[1]["pred"] == str(preds / "patient001_ES.nii.gz")
    assert back.files[1]["image"].endswith("patient001_frame07.nii.gz")


def test_nothing_is_overwritten_unasked(preds: Path, acdc_truth: Path, tmp_path: Path) -> None:
    score(preds, acdc_truth, tmp_path)
    before = (tmp_path / "out" / "scores.json").read_bytes()
    with pytest.raises(DataError, match="one that exists") as caught:
        score(preds, acdc_truth, tmp_path)
    assert len(caught.value.problems) == 5
    assert (tmp_path / "out" / "scores.json").read_bytes() == before
    score(preds, acdc_truth, tmp_path, overwrite=True)


def test_a_missing_prediction_counts_as_empty(preds: Path, acdc_truth: Path, tmp_path: Path, caplog) -> None:
    (preds / "patient001_ED.nii.gz").unlink()
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        scores = score(preds, acdc_truth, tmp_path)
    assert "patient001_ED" in caplog.text
    assert scores.missing == ["patient001_ED"]
    assert scores.mean() == pytest.approx((0 + 0.75 + 0.5 + 0.25) / 4)
    (rv,) = [e for e in scores.summary["overall"] if (e["structure"], e["metric"]) == ("RV", "hd_mm")]
    assert (rv["n"], rv["undefined"], rv["missed"]) == (3, 1, 1)
    assert "scored as an empty mask" in scores.policy["missing_prediction_text"]
    assert scores.files[0]["pred"] is None
    # no volume was measured, so none enters the clinical numbers
    patients = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))["clinical"]["patients"]
    assert (patients[0]["LV_EDV_pred_ml"], patients[0]["LV_EDV_truth_ml"]) == (None, pytest.approx(0.08))


def test_a_missing_prediction_may_be_left_out(preds: Path, acdc_truth: Path, tmp_path: Path) -> None:
    (preds / "patient001_ED.nii.gz").unlink()
    scores = score(preds, acdc_truth, tmp_path, missing="skip")
    assert scores.mean() == pytest.approx(0.5)
    assert scores.missing == ["patient001_ED"]
    assert set(scores.cases["case"]) == set(CASES[1:])


def test_structures_that_are_absent(preds: Path, acdc_truth: Path, tmp_path: Path, save_mask: Save, heart) -> None:
    without_lv = heart(0) * (heart(0) < 3)
    save_mask(preds / "patient001_ED.nii.gz", without_lv)  # LV missed
    save_mask(acdc_truth / "training/patient002/patient002_frame01_gt.nii.gz", without_lv)  # LV falsely found
    entries = score(preds, acdc_truth, tmp_path).summary["overall"]
    (dice,) = [e for e in entries if (e["structure"], e["metric"]) == ("LV", "dice")]
    assert (dice["n"], dice["missed"], dice["false_found"]) == (4, 1, 1)
    assert dice["mean"] == pytest.approx((0 + 0.75 + 0 + 0.25) / 4)
    (hd,) = [e for e in entries if (e["structure"], e["metric"]) == ("mean", "hd_mm")]
    assert (hd["n"], hd["undefined"]) == (2, 2)


def test_every_problem_is_named_at_once(preds: Path, acdc_truth: Path, tmp_path: Path, save_mask: Save, heart) -> None:
    save_mask(preds / "patient001_ED.nii.gz", heart(0)[:-1])
    save_mask(preds / "patient001_ES.nii.gz", np.where(heart(0) == 2, 7, heart(0)).astype(np.uint8))
    (preds / "patient002_ED.nii.gz").write_bytes((preds / "patient002_ED.nii.gz").read_bytes()[:40])
    save_mask(preds / "patient002_ES.nii.gz", heart(0), affine=np.diag([-2.0, 1, 10, 1]))
    with pytest.raises(DataError) as caught:
        score(preds, acdc_truth, tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert "shape 11 x 6 x 2" in lines[0]
    assert "labels 0 to 3, found 7" in lines[1]
    assert "patient002_ED.nii.gz" in lines[2]
    assert "44.0 mm away" in lines[3]  # 11 voxels of 2 mm, mirrored
    assert not (tmp_path / "out").exists()


def test_the_grid_check_can_be_switched_off(
    preds: Path, acdc_truth: Path, tmp_path: Path, save_mask: Save, heart
) -> None:
    save_mask(preds / "patient001_ED.nii.gz", heart(1), affine=np.eye(4))
    with pytest.raises(DataError, match="switch the grid check off"):
        score(preds, acdc_truth, tmp_path)
    scores = score(preds, acdc_truth, tmp_path, check_grid=False)
    assert scores.cases["hd_mm"][0] == 2.0  # the truth's spacing


def test_lost_pixdim_is_warned_of(tmp_path: Path, save_mask: Save, heart, caplog) -> None:
    truth = save_mask(tmp_path / "truth.nii.gz", heart(0), affine=np.eye(4))
    raw = bytearray(gzip.decompress(truth.read_bytes()))
    raw[80:92] = np.array([2, 1, 10], "<f4").tobytes()  # pixdim in the header, as ACDC's files have it
    truth.write_bytes(gzip.compress(bytes(raw)))
    pred = save_mask(tmp_path / "pred.nii.gz", heart(1), affine=np.eye(4))
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        scores = score_cases([{"case": "a", "label": truth, "pred": pred}], LABELS, progress=False)
    assert scores.cases["hd_mm"][0] == 2.0
    assert scores.cases["truth_ml"][0] == pytest.approx(0.08)
    assert "not its pixdim" in caplog.text
    assert len(scores.provenance["warnings"]) == 1


def test_names_in_the_log_are_shown_and_not_obeyed(preds: Path, tmp_path: Path, caplog) -> None:
    pred = preds / "patient001_ED.nii.gz"
    cases = [{"case": "a", "label": pred, "pred": pred}, {"case": "b\x1b[2J\n", "label": pred, "pred": None}]
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        score_cases(cases, LABELS, progress=False)
    assert [record.getMessage() for record in caplog.records] == [
        r"1 cases have no prediction (scored as empty masks): b\x1b[2J\n"
    ]


def test_lists_that_cannot_be_scored(preds: Path) -> None:
    pred = preds / "patient001_ED.nii.gz"
    with pytest.raises(DataError, match="no cases"):
        score_cases([], LABELS)
    with pytest.raises(DataError, match="none for the 1 cases"):
        score_cases([{"case": "a", "label": pred, "pred": None}], LABELS)
    with pytest.raises(DataError, match="one case of this name"):
        score_cases([{"case": "a", "label": pred, "pred": pred}] * 2, LABELS)


def test_cases_without_phase_or_patient(preds: Path, tmp_path: Path) -> None:
    pred = preds / "patient001_ED.nii.gz"
    scores = score_cases([{"case": "001", "label": pred, "pred": pred}], LABELS, progress=False)
    assert scores.clinical is None
    assert scores.summary["by_phase"] == scores.summary["by_group"] == []
    back = read_scores(scores.write(tmp_path / "out"))
    assert back.cases["case"][0] == "001"
    assert not (tmp_path / "out" / "clinical.csv").exists()


def test_two_processes_agree_with_one(preds: Path, acdc_truth: Path, tmp_path: Path) -> None:
    one = score(preds, acdc_truth, tmp_path)
    two = score(preds, acdc_truth, tmp_path, processes=2, overwrite=True)
    pd.testing.assert_frame_equal(one.cases, two.cases)


def test_scoring_loads_no_torch() -> None:
    code = "import sys, pipeline.metrics.scoring; sys.exit(bool({'torch', 'monai'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("frame", "expected"), [("01", [0.977, 0.960, 0.986]), ("12", [0.965, 0.947, 0.962])], ids=["ED", "ES"]
)
def test_two_annotations_of_one_heart(acdc_root: Path, frame: str, expected: list[float]) -> None:
    """Patients 074 and 076 are the same images; the figures were measured with other code."""
    pred, truth = (
        acdc_root / f"training/{patient}/{patient}_frame{frame}_gt.nii.gz" for patient in ("patient074", "patient076")
    )
    scores = score_cases([{"case": "a", "label": truth, "pred": pred}], LABELS, progress=False)
    assert scores.cases["dice"].tolist()[:3] == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("module", "told"), [("monai.bundle", "python -m monai.bundle run 'a b'"), (None, "volseg run 'a b'")]
)
def test_the_command_is_told_without_the_place_of_the_program(module, told, monkeypatch):
    from importlib.machinery import ModuleSpec

    spec = ModuleSpec(f"{module}.__main__", None) if module else None
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["/env/bin/volseg", "run", "a b"])
    assert origin()["command"] == told
