"""Predictions found by the names that tools give them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.metrics import pair_folders
from pipeline.metrics.unpaired import unpaired

Save = Callable[..., Path]
NAMES = {
    "case": "{case}",
    "image": "{patient}_frame{frame}",
    "label": "{patient}_frame{frame}_gt",
    "monai": "{patient}_frame{frame}/{patient}_frame{frame}_trans",
    "suffix": "{case}_pred",
    "two suffixes": "{patient}_frame{frame}_gt_seg",
    "by patient": "{patient}/{case}_mask",
    "folder and file": "{patient}/{phase}",
    "folder": "deep/{case}/mask",
    "upper case suffix": "{case}_SEG",
    "nnU-Net's image": "{case}_0000",
}


def write_preds(folder: Path, pattern: str, save_mask: Save, heart, suffix: str = ".nii.gz") -> dict[str, Path]:
    written = {}
    for patient in ("patient001", "patient002"):
        for phase, frame in (("ED", "01"), ("ES", "07")):
            case = f"{patient}_{phase}"
            name = pattern.format(patient=patient, phase=phase, frame=frame, case=case) + suffix
            written[case] = save_mask(folder / name, heart(0))
    return written


@pytest.mark.parametrize("pattern", NAMES.values(), ids=NAMES.keys())
def test_names(pattern: str, tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    written = write_preds(tmp_path / "preds", pattern, save_mask, heart)
    cases, _ = pair_folders(tmp_path / "preds", acdc_truth)
    assert {case["case"]: case["pred"] for case in cases} == {name: str(path) for name, path in written.items()}


def test_facts_of_an_acdc_folder(tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    write_preds(tmp_path / "preds", "{case}", save_mask, heart, suffix=".nii")
    cases, labels = pair_folders(tmp_path / "preds", acdc_truth)
    facts = [(case["patient"], case["phase"], case["group"]) for case in cases]
    assert facts == [
        ("patient001", "ED", "DCM"),
        ("patient001", "ES", "DCM"),
        ("patient002", "ED", "NOR"),
        ("patient002", "ES", "NOR"),
    ]
    assert cases[0]["image"] == str(acdc_truth / "training/patient001/patient001_frame01.nii.gz")
    assert labels == {"RV": 1, "MYO": 2, "LV": 3}


def datalist(path: Path) -> Path:
    items = [
        {
            "image": f"training/{patient}/{patient}_frame{frame}.nii.gz",
            "label": f"training/{patient}/{patient}_frame{frame}_gt.nii.gz",
            "case": f"{patient}_{phase}",
            "patient": patient,
            "phase": phase,
            "fold": fold,
        }
        for fold, patient in enumerate(("patient001", "patient002"))
        for phase, frame in (("ED", "01"), ("ES", "07"))
    ]
    path.write_text(json.dumps({"labels": {"background": 0, "RV": 1, "MYO": 2, "LV": 3}, "training": items}))
    return path


def test_datalist(tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    preds = write_preds(tmp_path / "preds", "{case}", save_mask, heart)
    listed = datalist(acdc_truth / "datalist.json")
    cases, labels = pair_folders(tmp_path / "preds", listed)
    assert [case["pred"] for case in cases] == [str(path) for path in preds.values()]
    assert labels == {"RV": 1, "MYO": 2, "LV": 3}
    validation, _ = pair_folders(tmp_path / "preds", listed, fold=1)
    assert [case["case"] for case in validation] == ["patient002_ED", "patient002_ES"]
    elsewhere = shutil.move(listed, tmp_path / "list.json")
    cases, renamed = pair_folders(tmp_path / "preds", elsewhere, dataset_dir=acdc_truth, labels={"heart": 1})
    assert len(cases) == 4
    assert renamed == {"heart": 1}
    with pytest.raises(DataError):
        pair_folders(tmp_path / "preds", elsewhere)  # the list does not lie beside the data
    with pytest.raises(DataError, match="testing"):
        pair_folders(tmp_path / "preds", elsewhere, dataset_dir=acdc_truth, section="testing")


def test_files_that_no_case_took_are_told(tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    preds = tmp_path / "preds"
    write_preds(preds, "{case}", save_mask, heart)
    save_mask(preds / "patient003_ED_result.nii.gz", heart())
    for name in ("patient001_ED_preview.png", "patient001_ED_entropy.nii.gz", "photo.jpg"):
        (preds / name).touch()
    save_mask(acdc_truth / "training/patient001/patient001_late.nii.gz", heart())
    cases, _ = pair_folders(preds, acdc_truth)
    assert unpaired(preds, acdc_truth, cases) == [
        "masks of no case, not scored: patient003_ED_result.nii.gz",
        "beside the true masks and called otherwise, not scored: patient001_late.nii.gz",
    ]
    assert unpaired(acdc_truth, acdc_truth, pair_folders(acdc_truth, acdc_truth)[0]) == [
        "masks of no case, not scored: patient001_late.nii.gz"
    ]


def test_masks_of_other_folds_are_no_surprise(tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    listed = datalist(acdc_truth / "datalist.json")
    write_preds(tmp_path / "preds", "{case}", save_mask, heart)
    for number in (4, 5):
        save_mask(tmp_path / f"preds/patient00{number}.nii.gz", heart())
    cases, _ = pair_folders(tmp_path / "preds", listed, fold=1)
    assert unpaired(tmp_path / "preds", listed, cases) == [
        "masks of no case, not scored: 2 such as patient004.nii.gz",
    ]


def test_the_truth_scored_against_itself(acdc_truth: Path) -> None:
    """The images beside the masks are no predictions."""
    cases, _ = pair_folders(acdc_truth, acdc_truth)
    assert [case["pred"] for case in cases] == [case["label"] for case in cases]


def test_a_missing_prediction_and_a_stray_file(tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    written = write_preds(tmp_path / "preds", "{case}", save_mask, heart)
    written["patient001_ES"].rename(tmp_path / "preds/patient009_ES.nii.gz")
    (tmp_path / "preds/._patient001_ES.nii.gz").write_bytes(b"a Mac's shadow file")
    (tmp_path / "preds/patient001_ES_preview.png").write_bytes(b"")
    cases, _ = pair_folders(tmp_path / "preds", acdc_truth)
    assert [case["pred"] is None for case in cases] == [False, True, False, False]


def test_two_masks_of_one_case(tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    write_preds(tmp_path / "preds", "{case}", save_mask, heart)
    save_mask(tmp_path / "preds/patient001_frame01_seg.nii.gz", heart(0))
    with pytest.raises(DataError, match=r"patient001_ED: expected one prediction, found 2"):
        pair_folders(tmp_path / "preds", acdc_truth)


def test_equal_names_in_different_folders(tmp_path: Path, save_mask: Save, heart) -> None:
    for side in ("truth", "preds"):
        for patient in ("a", "b"):
            save_mask(tmp_path / side / patient / "ED.nii.gz", heart(0))
    cases, _ = pair_folders(tmp_path / "preds", tmp_path / "truth")
    assert [(case["case"], case["pred"]) for case in cases] == [
        ("a_ED", str(tmp_path / "preds/a/ED.nii.gz")),
        ("b_ED", str(tmp_path / "preds/b/ED.nii.gz")),
    ]
    save_mask(tmp_path / "flat/ED.nii.gz", heart(0))
    with pytest.raises(DataError, match="fits a_ED, b_ED"):
        pair_folders(tmp_path / "flat", tmp_path / "truth")


def test_labels_found_in_a_folder(tmp_path: Path, save_mask: Save, heart) -> None:
    numbers = np.array([0, 5, 0, 205], np.int16)
    save_mask(tmp_path / "truth/x.nii.gz", numbers[heart(0)])
    assert pair_folders(tmp_path / "truth", tmp_path / "truth")[1] == {"label 5": 5, "label 205": 205}


def test_folders_that_do_not_fit(tmp_path: Path, acdc_truth: Path, save_mask: Save, heart) -> None:
    with pytest.raises(DataError, match="nothing of that name"):
        pair_folders(tmp_path / "absent", acdc_truth)
    with pytest.raises(DataError, match="nothing of that name"):
        pair_folders(acdc_truth, tmp_path / "absent")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"masks of the 4 cases such as patient001_ED, found none"):
        pair_folders(tmp_path / "none", acdc_truth)
    with pytest.raises(DataError, match="an empty one"):
        pair_folders(acdc_truth, tmp_path / "none")
    save_mask(tmp_path / "other/case7.nii.gz", heart(0))
    with pytest.raises(DataError, match=r"1 files such as case7\.nii\.gz"):
        pair_folders(tmp_path / "other", acdc_truth)


def test_a_single_mask_is_no_truth(acdc_truth: Path) -> None:
    mask = next(acdc_truth.rglob("*_gt.nii.gz"))
    with pytest.raises(DataError, match=r"a folder of masks .*, found a file"):
        pair_folders(acdc_truth, mask)


@pytest.mark.parametrize("chosen", [{"fold": 0}, {"section": "testing"}])
def test_a_folder_has_no_folds_to_choose_from(acdc_truth: Path, chosen: dict) -> None:
    with pytest.raises(DataError, match="a datalist, which has folds and sections"):
        pair_folders(acdc_truth, acdc_truth, **chosen)
