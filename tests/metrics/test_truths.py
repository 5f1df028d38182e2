"""Truths as datalists describe them: pictures, folders of slices, one slice of a stack, numbers of their own."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import DataError
from pipeline.metrics import read_scores, score_cases, score_folders
from pipeline.metrics.masks import read_pred, read_truth

Save = Callable[..., Path]
BOTH = {"lungs": [1, 2], "infection": [2]}
ONE = {"infection": 1}


def save_picture(path: Path, rows: np.ndarray) -> Path:
    """A PNG of (rows, columns)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rows.astype(np.uint8)).save(path)
    return path


def blob(first: int = 2, last: int = 6, value: int = 255) -> np.ndarray:
    """(8 rows, 10 columns) with a block in rows `first` to `last`, its end excluded, columns 1 to 4."""
    rows = np.zeros((8, 10), np.uint8)
    rows[first:last, 1:5] = value
    return rows


def test_numbers_of_a_file_become_ours(tmp_path: Path, save_mask: Save) -> None:
    stored = np.array([0, 1, 2, 3], np.uint8).reshape(4, 1, 1)  # left lung, right lung, infection
    case = {"label": save_mask(tmp_path / "a.nii.gz", stored), "structures": {"lungs": [1, 2, 3], "infection": [3]}}
    assert read_truth(case, BOTH).array.ravel().tolist() == [0, 1, 1, 2]
    assert read_truth(case, ONE).array.ravel().tolist() == [0, 0, 0, 1]
    with pytest.raises(DataError, match="a mask of nodule, found only lungs, infection"):
        read_truth(case, {"nodule": 1})


def test_one_slice_lies_where_it_lies_in_the_stack(tmp_path: Path, save_mask: Save) -> None:
    stored = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    mask = read_truth({"label": save_mask(tmp_path / "a.nii.gz", stored), "slice": 2}, ONE)
    assert (mask.array == stored[:, :, 2:3]).all()
    assert mask.affine[:, 3].tolist() == [0, 0, 20, 1]  # slices are 10 mm apart
    with pytest.raises(DataError, match=r"a slice 4 \(counted from 0\), found 4 slices"):
        read_truth({"label": tmp_path / "a.nii.gz", "slice": 4}, ONE)


@pytest.mark.parametrize("value", [1, 255])
def test_black_and_white_pictures(tmp_path: Path, value: int) -> None:
    path = save_picture(tmp_path / "a.png", blob(value=value))
    for mask in (read_truth({"label": path}, ONE), read_pred(path, ONE), read_truth({"label": path}, {"skin": 1})):
        assert mask.array.shape == (10, 8, 1)  # columns, rows, slices
        assert mask.array[1, 2, 0] == mask.array.max() == 1
        assert not mask.has_geometry
    assert read_pred(path, BOTH).array.max() == value  # which of the two it is cannot be known


def test_pictures_may_hold_large_numbers_and_fractions_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(path)
    cases = [{"case": "a", "label": path, "pred": path}]
    assert score_cases(cases, {"skin": 300}, progress=False).mean() == 1
    with pytest.raises(DataError, match=r"a\.png: expected labels 0 to 1, found 300"):
        score_cases(cases, {"skin": 1}, progress=False)
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match=r"b\.tif: expected labels 0 to 1, found 0\.5"):
        score_cases([{"case": "b", "label": tmp_path / "b.tif", "pred": tmp_path / "b.tif"}], ONE, progress=False)


def test_a_folder_of_pictures_lies_on_the_grid_of_its_image(tmp_path: Path, save_mask: Save) -> None:
    image = save_mask(tmp_path / "image.nii.gz", np.zeros((10, 8, 3), np.uint8))
    for number in range(3):
        save_picture(tmp_path / "Ground" / f"slice_{number}.png", blob() * (number == 1))
    mask = read_truth(
        {"label": tmp_path / "Ground", "image": [str(image)], "structures": {"liver": [255]}}, {"liver": 1}
    )
    assert (mask.spacing, mask.has_geometry) == ((2.0, 1.0, 10.0), True)
    assert mask.array.sum((0, 1)).tolist() == [0, 16, 0]
    save_picture(tmp_path / "Ground" / "slice_3.png", blob())
    with pytest.raises(DataError, match="shape 10 x 8 x 3 as"):
        read_truth({"label": tmp_path / "Ground", "image": str(image)}, ONE)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Truth and prediction of two pictures: Dice 12/16 and 0 (missed)."""
    for name, last in (("a", 6), ("b", 6)):
        save_picture(tmp_path / "truth" / f"{name}.png", blob(2, last))
    save_picture(tmp_path / "preds" / "a.png", blob(3, 7, 1))
    save_picture(tmp_path / "preds" / "b.png", blob(0, 0))
    return tmp_path


def test_pictures_are_scored_in_pixels(pictures: Path) -> None:
    scores = score_folders(pictures / "preds", pictures / "truth", pictures / "out", labels=ONE, progress=False)
    assert scores.length_unit == "px"
    row = scores.cases.set_index(["case", "structure"]).loc["a", "infection"]
    assert (row["dice"], row["hd_mm"], row["truth_voxels"]) == (0.75, 1, 16)
    assert np.isnan(row["truth_ml"])
    header = (pictures / "out" / "scores.csv").read_text(encoding="utf-8").splitlines()[0]
    assert "hd_px,hd95_px" in header
    assert "_mm" not in header
    content = json.loads((pictures / "out" / "scores.json").read_text(encoding="utf-8"))
    assert content["length_unit"] == "px"
    assert {entry["metric"] for entry in content["summary"]["overall"]} == {
        *("dice", "iou", "pixel_error", "hd_px", "hd95_px")
    }
    assert "distance in pixels" in content["definitions"]["hd95_px"]
    back = read_scores(pictures / "out")
    assert back.length_unit == "px"
    assert back.mean("hd_mm", "infection") == 1
    assert back.definitions == scores.definitions


def test_a_folder_of_black_and_white_masks_beside_their_jpegs(pictures: Path) -> None:
    Image.fromarray(blob()).save(pictures / "truth" / "a.jpg")
    Image.fromarray(blob()).save(pictures / "truth" / "photo.jpeg")
    scores = score_folders(pictures / "preds", pictures / "truth", pictures / "out", progress=False)
    assert scores.labels == {"foreground": 1}
    assert scores.cases["case"].unique().tolist() == ["a", "b"]
    assert scores.cases["dice"].tolist() == [0.75, 0.75, 0, 0]
    assert scores.files[0]["image"] == str(pictures / "truth" / "a.jpg")


def test_volumes_beside_pictures_keep_their_millimetres(pictures: Path, save_mask: Save, caplog) -> None:
    volume = save_mask(pictures / "truth" / "c.nii.gz", (blob(value=1).T)[..., None])
    save_mask(pictures / "preds" / "c.nii.gz", (blob(3, 7, 1).T)[..., None])
    cases = [{"case": name, **{key: pictures / key / f"{name}.png" for key in ("label", "pred")}} for name in "ab"]
    for case in cases:
        case |= {"label": pictures / "truth" / case["label"].name, "pred": pictures / "preds" / case["pred"].name}
    cases.append({"case": "c", "label": volume, "pred": pictures / "preds" / "c.nii.gz"})
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        scores = score_cases(cases, ONE, progress=False)
    assert "no millimetres are known of a, b" in caplog.text
    rows = scores.cases[scores.cases["structure"] == "infection"].set_index("case")
    assert scores.length_unit == "mm"
    assert rows["hd_mm"].isna().tolist() == [True, True, False]
    assert rows.loc["c", ["hd_mm", "truth_ml"]].tolist() == pytest.approx([1, 0.32])  # rows are 1 mm, 20 mm3 a voxel
    assert rows["dice"].tolist() == [0.75, 0, 0.75]


def test_a_predicted_picture_of_another_size_is_refused(pictures: Path) -> None:
    save_picture(pictures / "preds" / "a.png", blob()[:-1])
    with pytest.raises(DataError, match="shape 10 x 8 x 1 as the truth has, found shape 10 x 7 x 1"):
        score_folders(pictures / "preds", pictures / "truth", pictures / "out", labels=ONE, progress=False)


def test_a_datalist_of_slices_with_numbers_of_their_own(tmp_path: Path, save_mask: Save) -> None:
    stack = np.zeros((6, 4, 3), np.uint8)  # 1 ground glass, 2 consolidation, 3 effusion
    stack[:4, 0, 0], stack[:4, 1, 1], stack[:4, 2, 2] = 1, 2, 3
    save_mask(tmp_path / "data" / "tr_mask.nii.gz", stack)
    save_mask(tmp_path / "data" / "tr_im.nii.gz", stack)
    common = {"image": "tr_im.nii.gz", "label": "tr_mask.nii.gz", "structures": {"infection": [1, 2]}}
    items = [{**common, "case": f"slice_{number}", "slice": number, "fold": 0} for number in range(3)]
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"labels": ONE, "training": items}))
    for number in range(3):
        pred = np.zeros((6, 4, 1), np.uint8)
        pred[1:5, number] = 1
        grid = np.diag([2.0, 1, 10, 1])
        grid[2, 3] = 10 * number
        nib.save(nib.Nifti1Image(pred, grid), tmp_path / f"slice_{number}.nii.gz")
        (tmp_path / "preds").mkdir(exist_ok=True)
        (tmp_path / f"slice_{number}.nii.gz").rename(tmp_path / "preds" / f"slice_{number}.nii.gz")
    scores = score_folders(
        tmp_path / "preds", listed, tmp_path / "out", dataset_dir=tmp_path / "data", fold=0, progress=False
    )
    rows = scores.cases[scores.cases["structure"] == "infection"]
    assert rows["dice"].tolist() == [0.75, 0.75, 0]  # effusion is no infection
    assert rows["empty"].tolist() == ["", "", "truth"]
    assert set(scores.slices["slice"]) == {0}
    assert [(entry["slice"], entry["structures"]) for entry in scores.files] == [
        (number, {"infection": [1, 2]}) for number in range(3)
    ]


LESIONS = {"infection": "lungs"}


def chest(first: int, last: int) -> np.ndarray:
    """Two lungs, 4 x 4 x 4 voxels each; x from `first` to `last` is infected, its end excluded."""
    labels = np.zeros((12, 4, 4), np.uint8)
    labels[1:5], labels[7:11] = 1, 1
    labels[first:last] = np.where(labels[first:last], 2, 0)
    return labels


@pytest.fixture
def chests(tmp_path: Path, save_mask: Save) -> list[dict]:
    """Three cases: two lesions of which one is found, nothing in both, and one without a prediction."""
    masks = {"a": (chest(4, 8), chest(4, 5)), "b": (chest(0, 0), chest(0, 0)), "c": (chest(1, 3), None)}
    cases = []
    for name, (truth, pred) in masks.items():
        case = {"case": name, "label": save_mask(tmp_path / f"{name}_truth.nii.gz", truth), "pred": None}
        if pred is not None:
            case["pred"] = save_mask(tmp_path / f"{name}_pred.nii.gz", pred)
        cases.append(case)
    return cases


def test_lesions_in_the_score_files(chests: list[dict], tmp_path: Path) -> None:
    scores = score_cases(chests, BOTH, lesions=LESIONS, progress=False)
    (entry,) = json.loads(json.dumps(scores.to_json()))["lesions"]["summary"]
    assert {key: entry[key] for key in ("structure", "organ", "cases", "cases_without", "truth", "pred", "false")} == {
        "structure": "infection",
        "organ": "lungs",
        "cases": 3,
        "cases_without": 1,
        "truth": 3,
        "pred": 1,
        "false": 0,
    }
    assert (entry["detected"], entry["missed"]) == (1, 2)
    assert (entry["sensitivity"], entry["precision"], entry["f1"]) == pytest.approx((1 / 3, 1, 0.5))
    by_case = entry["by_case"]["sensitivity"]
    assert (by_case["n"], by_case["mean"], by_case["undefined"]) == (2, pytest.approx(0.25), 1)
    strata = {stratum["stratum"]: stratum for stratum in entry["strata"]}
    # 16 or 32 voxels of 20 mm3: 0.32 and 0.64 ml
    assert [strata[name]["truth"] for name in strata] == [0, 3, 0, 0]
    assert strata["0.1 to 1 ml"]["dice"]["mean"] == pytest.approx(1 / 3)
    agreement = {row["quantity"]: row for row in entry["agreement"]}
    assert set(agreement) == {
        *("load", "organ", "organ_left", "organ_right"),
        *("affected", "affected_left", "affected_right"),
    }
    load = agreement["load"]  # the case without a prediction has no load of 0
    assert (load["n"], load["undefined"], load["bias"]) == (2, 1, pytest.approx((-0.32 + 0) / 2))
    assert agreement["affected_right"]["bias"] == pytest.approx(-25 / 2)
    scores.write(tmp_path / "out")
    assert (tmp_path / "out" / "lesions.csv").read_text(encoding="utf-8").splitlines()[0] == (
        "case,patient,phase,group,structure,source,lesion,voxels,ml,stratum,covered,detected,dice,x,y,z"
    )
    back = read_scores(tmp_path / "out").lesions
    assert back.to_json() == scores.lesions.to_json()
    score_cases(chests, BOTH, progress=False).write(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "lesions.csv").exists()
    assert read_scores(tmp_path / "out").lesions is None


def test_no_lesion_anywhere(tmp_path: Path, save_mask: Save) -> None:
    path = save_mask(tmp_path / "a.nii.gz", chest(0, 0))
    scores = score_cases([{"case": "a", "label": path, "pred": path}], BOTH, lesions=LESIONS, progress=False)
    (entry,) = scores.lesions.summary
    assert (entry["truth"], entry["sensitivity"], entry["f1"], entry["strata"]) == (0, None, None, [])
    back = read_scores(scores.write(tmp_path / "out")).lesions
    assert back.summary == scores.lesions.summary


def test_lesions_of_no_structure_are_refused_at_once(chests: list[dict]) -> None:
    with pytest.raises(DataError, match="one of the structures lungs, infection, found nodule"):
        score_cases(chests, BOTH, lesions={"nodule": None}, progress=False)


@pytest.mark.real_data
def test_real_slices_scored_against_themselves(covid_root: Path) -> None:
    labels = covid_root / "Dataset/TrainingSet/LungInfection-Train/Doctor-label/GT"
    cases = [{"case": path.stem, "label": path, "pred": path} for path in sorted(labels.glob("*.png"))[:6]]
    scores = score_cases(cases, ONE, lesions={"infection": None}, progress=False)
    assert scores.mean("dice", "infection") == 1
    assert scores.length_unit == "px"
    (entry,) = scores.lesions.summary
    assert entry["truth"] == entry["detected"] == entry["pred"] > 6


def test_slices_that_run_against_the_image_are_turned_round(tmp_path: Path, save_mask: Save) -> None:
    stored = np.array([0, 1, 1, 0, 0], np.uint8).reshape(1, 1, 5)
    case = {"label": save_mask(tmp_path / "a.nii.gz", stored), "reversed": True}
    assert read_truth(case, ONE).array.ravel().tolist() == [0, 0, 1, 1, 0]
