"""The list as a whole: several collections, folds, protocols, near-duplicates across collections, real slices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from chest_slices import TWENTY, ct_seg, lungs, semiseg, touch, whole_slice, write_nifti
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.datalists import load_datalist, save_datalist
from pipeline.datalists.covid19 import SPLITS, TARGETS, build, summary
from pipeline.errors import DataError

REPOSITORY = Path(__file__).parents[3]


def mosmed(root, count=10):
    touch(root, [f"studies/CT-2/study_{number:04d}.nii.gz" for number in range(count)])
    return touch(root, [f"masks/study_{number:04d}_mask.nii.gz" for number in range(count)])


def folds_of(datalist):
    return {item["case"]: item["fold"] for item in datalist["training"]}


def test_several_collections_below_one_folder_make_one_list_stratified_by_source(tmp_path):
    ct_seg(tmp_path / "a")
    mosmed(tmp_path / "b")
    touch(tmp_path / "c", [f"volume-covid19-A-{n:04d}_{kind}.nii.gz" for n in range(5) for kind in ("ct", "seg")])
    datalist = build(tmp_path)
    for fold in range(5):
        groups = [item["group"] for item in datalist["training"] if item["fold"] == fold]
        assert sorted(groups) == ["coronacases"] * 2 + ["covid-19-20"] + ["mosmed"] * 2 + ["radiopaedia"] * 2
    assert datalist["provenance"]["layouts"] == {
        "COVID-19-CT-Seg": {"training": 20, "testing": 0},
        "MosMedData": {"training": 10, "testing": 0},
        "COVID-19-20": {"training": 5, "testing": 0},
    }
    assert datalist["provenance"]["groups"] == {"coronacases": 10, "covid-19-20": 5, "mosmed": 10, "radiopaedia": 10}
    assert all(name in datalist["licence"] for name in datalist["provenance"]["layouts"])


def test_a_collection_that_lacks_the_target_is_left_out_and_named(tmp_path, caplog):
    ct_seg(tmp_path / "a")
    mosmed(tmp_path / "b")
    with caplog.at_level("INFO", logger="pipeline"):
        datalist = build(tmp_path, target="both")
    assert sorted(folds_of(datalist)) == sorted(TWENTY)
    reason = "MosMedData: 10 studies: their masks are of infection only"
    assert datalist["provenance"]["left_out"] == [reason]
    assert f"left out of {reason}" in summary(datalist)
    assert "found COVID-19-CT-Seg: 20 cases" in caplog.text
    assert "their masks are of infection only" in caplog.text
    assert "MosMedData" not in datalist["licence"]


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "infection"])
def test_nothing_left_is_one_line_with_the_reasons(tmp_path, target):
    with pytest.raises(DataError) as caught:
        build(mosmed(tmp_path), target=target)
    (problem,) = caught.value.problems
    assert problem.found == "MosMedData: 10 studies: their masks are of infection only"
    with pytest.raises(DataError, match="found MosMedData without masks"):
        build(tmp_path / "studies")


@pytest.mark.parametrize("option", ["target", "split"])
def test_an_unknown_choice_is_one_line_with_the_known_ones(tmp_path, option):
    known = ", ".join(TARGETS if option == "target" else SPLITS)
    with pytest.raises(DataError, match=f"{option}: expected one of {known}, found heart"):
        build(ct_seg(tmp_path), **{option: "heart"})


def test_the_list_survives_saving_and_loading_and_its_summary_counts_by_hand(tmp_path):
    datalist = build(ct_seg(tmp_path))
    loaded = load_datalist(save_datalist(datalist, tmp_path / "datalist.json"))
    assert loaded["training"] == datalist["training"]
    assert summary(loaded).splitlines() == [
        "18 patients, 20 cases, structures: infection",
        "found COVID-19-CT-Seg: 20 training",
        "              fold 0   fold 1   fold 2   fold 3   fold 4",
        "coronacases        2        2        2        2        2",
        "radiopaedia        2        2        2        2        2",
        "cases              4        4        4        4        4",
    ]


@given(corona=st.sets(st.integers(1, 10)), pages=st.lists(st.integers(1, 5), max_size=8), folds=st.integers(2, 5))
@settings(max_examples=20, deadline=None)
def test_no_patient_is_in_two_folds_and_every_case_is_in_one(tmp_path_factory, corona, pages, folds):
    cases = [f"coronacases_{n:03d}" for n in corona] + [f"radiopaedia_{p}_{i}_0" for i, p in enumerate(pages)]
    patients = len(corona) + len(set(pages))
    root = ct_seg(tmp_path_factory.mktemp("cases"), cases, ["Infection_Mask"])
    if patients < folds:
        with pytest.raises(DataError):
            build(root, folds=folds)
        return
    datalist = build(root, folds=folds)
    found = folds_of(datalist)
    assert sorted(found) == sorted(cases)
    assert set(found.values()) == set(range(folds))
    for page in set(pages):
        assert len({fold for case, fold in found.items() if case.startswith(f"radiopaedia_{page}_")}) == 1


def test_protocols_take_the_twenty_cases_alone(tmp_path):
    ct_seg(tmp_path / "a")
    mosmed(tmp_path / "b")
    sixteen = build(tmp_path, split="miscnn-16-4")
    four = build(tmp_path, split="benchmark-4-16", folds=3, seed=8)
    assert sorted(folds_of(four)) == sorted(TWENTY)
    assert folds_of(four) == folds_of(sixteen)
    assert four["split"]["train_on"] == "fold"
    assert four["split"]["folds"] == 5
    assert four["provenance"]["left_out"] == ["MosMedData: 10 cases: not part of benchmark-4-16"]
    assert "the chosen fold is trained on, all others are validated" in summary(four)
    with pytest.raises(DataError, match="expected the 20 cases"):
        build(ct_seg(tmp_path / "few", TWENTY[:12]), split="miscnn-16-4")


def test_near_duplicate_slices_share_a_fold_whatever_the_seed(tmp_path):
    semiseg(tmp_path, {"0": 1, "1": 2, "2": 3, "3": 1, "4": 6})
    for seed in range(4):
        datalist = build(tmp_path, folds=2, seed=seed)
        assert datalist["provenance"]["near_duplicates"] == [["semiseg_000", "semiseg_003"]]
        found = folds_of(datalist)
        assert found["semiseg_000"] == found["semiseg_003"]
    assert f"semiseg_000, semiseg_003 are kept in fold {found['semiseg_000']}" in summary(datalist)


def test_a_slice_in_two_collections_shares_a_fold_though_turned_and_in_other_units(tmp_path):
    semiseg(tmp_path, {"0": 1, "1": 2})
    whole = [np.rot90(whole_slice(patient), -1)[::-1] for patient in (25, 2)]
    write_nifti(tmp_path / "tr_im.nii.gz", np.stack(whole, axis=2))
    write_nifti(tmp_path / "tr_mask.nii.gz", np.zeros((*whole[0].shape, 2)))
    datalist = build(tmp_path, folds=2)
    assert datalist["provenance"]["near_duplicates"] == [["semiseg_001", "tr_im_001"]]
    assert folds_of(datalist)["semiseg_001"] == folds_of(datalist)["tr_im_001"]


def test_scans_that_two_collections_took_from_radiopaedia_share_a_fold(tmp_path):
    ct_seg(tmp_path, ["coronacases_001"])
    for page, patient in ((4, 1), (7, 2), (14, 3)):
        scan = np.repeat(lungs(patient)[:, :, None], 4, axis=2)
        write_nifti(tmp_path / f"COVID-19-CT-Seg_20cases/radiopaedia_{page}_85506_1.nii.gz", scan)
        touch(tmp_path, [f"Infection_Mask/radiopaedia_{page}_85506_1.nii.gz"])
    for number, patient in ((1, 3), (2, 25)):
        scan = np.repeat(lungs(patient)[::-1, :, None] * 1500 / 255 - 1250, 4, axis=2)
        write_nifti(tmp_path / f"rp_im/{number}.nii.gz", scan[:, :, ::-1])
        touch(tmp_path, [f"rp_msk/{number}.nii.gz"])
    datalist = build(tmp_path, folds=3)
    assert datalist["provenance"]["near_duplicates"] == [["radiopaedia_14_85506_1", "rp_im_1"]]
    assert folds_of(datalist)["radiopaedia_14_85506_1"] == folds_of(datalist)["rp_im_1"]


@pytest.mark.real_data
def test_the_committed_list_is_what_the_builder_makes_of_the_real_slices(covid_root):
    committed = load_datalist(REPOSITORY / "data_lists/covid19_slices.json")
    built = build(covid_root)
    training = [item for item in built["training"] if (covid_root / item["image"]).is_file()]
    assert committed["training"] == training
    assert json.loads(json.dumps(built["split"])) == committed["split"]
    assert [sum(item["fold"] == fold for item in training) for fold in range(5)] == [10] * 5
    for item in training[::10]:
        assert set(np.unique(np.asarray(Image.open(covid_root / item["label"])))) <= {0, 255}
