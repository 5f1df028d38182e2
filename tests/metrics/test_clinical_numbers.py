"""Volumes, ejection fraction, mass and agreement against hand-computed values."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import DataError
from pipeline.metrics import agreement, write_acdc_csv
from pipeline.metrics.clinical import agreement_table, clinical_table, left_out


def row(case: str, structure: str, truth_ml: float, pred_ml: float, dice: float = 0.5) -> dict:
    patient, _, phase = case.partition("_")
    who = {"case": case, "patient": patient, "phase": phase, "group": "NOR", "structure": structure}
    return {**who, "dice": dice, "truth_ml": truth_ml, "pred_ml": pred_ml}


def two_patients() -> pd.DataFrame:
    return pd.DataFrame(
        [
            *(row("p1_ED", "LV", 150, 120), row("p1_ED", "RV", 160, 160), row("p1_ED", "MYO", 100, 110)),
            *(row("p1_ES", "LV", 60, 60), row("p1_ES", "RV", 80, 0), row("p1_ES", "MYO", 999, 999)),
            *(row("p2_ED", "LV", 100, 0), row("p2_ED", "RV", 100, 90), row("p2_ED", "MYO", 80, 60)),
            *(row("p2_ES", "LV", 50, 10), row("p2_ES", "RV", 70, 60), row("p2_ES", "MYO", 999, 999)),
        ]
    )


def test_table_by_hand() -> None:
    table = clinical_table(two_patients()).set_index("patient")
    first = table.loc["p1"]
    assert (first["LV_EDV_truth_ml"], first["LV_EDV_pred_ml"], first["LV_ESV_truth_ml"]) == (150, 120, 60)
    assert first["LV_EF_truth_percent"] == pytest.approx(60)
    assert first["LV_EF_pred_percent"] == pytest.approx(50)
    assert first["RV_EF_pred_percent"] == pytest.approx(100)
    assert first["MYO_ED_mass_truth_g"] == pytest.approx(105)  # 100 ml at ED, 1.05 g/ml
    assert first["MYO_ED_mass_pred_g"] == pytest.approx(115.5)
    assert math.isnan(table.loc["p2", "LV_EF_pred_percent"])  # nothing at ED: undefined, not minus infinity
    assert table.loc["p2", "LV_EDV_pred_ml"] == 0


def test_a_missing_prediction_is_no_volume_of_zero() -> None:
    table = clinical_table(two_patients(), missing=["p1_ES"]).set_index("patient")
    assert math.isnan(table.loc["p1", "LV_ESV_pred_ml"])
    assert math.isnan(table.loc["p1", "LV_EF_pred_percent"])
    assert table.loc["p1", "LV_EF_truth_percent"] == pytest.approx(60)


def test_a_phase_that_is_absent() -> None:
    cases = two_patients()
    table = clinical_table(cases[cases["case"] != "p2_ES"]).set_index("patient")
    assert math.isnan(table.loc["p2", "RV_EF_truth_percent"])
    assert table.loc["p2", "RV_EDV_truth_ml"] == 100
    assert clinical_table(cases[cases["phase"] == "ED"]) is None
    assert clinical_table(cases.assign(structure="lungs")) is None
    assert clinical_table(cases.assign(patient="")) is None
    only_lv = clinical_table(cases[cases["structure"] == "LV"])
    assert not [name for name in only_lv if name.startswith(("RV", "MYO"))]


def test_a_second_visit_and_a_case_of_no_known_patient_are_left_out_and_named() -> None:
    whole = two_patients()
    visit = whole[whole["case"] == "p1_ED"].assign(case="p1_later_ED", truth_ml=999.0)
    nameless = whole[whole["case"] == "p2_ES"].assign(case="x_ES", patient="")
    cases = pd.concat([whole, visit, nameless], ignore_index=True)
    pd.testing.assert_frame_equal(clinical_table(cases), clinical_table(whole))
    assert left_out(cases) == {
        "no patient is known": ["x_ES"],
        "an earlier case is of the same patient and phase": ["p1_later_ED"],
    }
    assert left_out(whole) == left_out(cases.assign(structure="lungs")) == left_out(cases.assign(patient="")) == {}


def test_agreement_by_hand() -> None:
    found = agreement([11, 19, 33], [10, 20, 30])
    # differences 1, -1, 3: mean 1, SD 2
    assert found["n"] == 3
    assert found["bias"] == pytest.approx(1)
    assert found["sd"] == pytest.approx(2)
    assert (found["loa_low"], found["loa_high"]) == pytest.approx((1 - 3.92, 1 + 3.92))
    assert found["mae"] == pytest.approx(5 / 3)
    # r = 220 / sqrt(200 * 248): deviations of pred are -10, -2, 12; of truth -10, 0, 10
    assert found["r"] == pytest.approx(220 / math.sqrt(200 * 248))


def test_agreement_of_few_or_undefined_values() -> None:
    nan = float("nan")
    assert agreement([], []) == dict.fromkeys(found_keys(), None) | {"n": 0, "undefined": 0}
    one = agreement([5, nan, 4], [3, 2, nan])
    assert (one["n"], one["undefined"], one["bias"], one["sd"], one["r"]) == (1, 2, 2.0, None, None)
    assert agreement([1, 2], [1, 2])["r"] is None
    assert agreement([1, 2], [1, 2])["sd"] == 0
    assert agreement([5, 5, 5], [1, 2, 3])["r"] is None


def found_keys() -> list[str]:
    return ["n", "r", "bias", "sd", "loa_low", "loa_high", "mae", "undefined"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(1, 300), st.floats(1, 300)), min_size=2, max_size=20), st.floats(-50, 50))
def test_agreement_properties(pairs: list[tuple[float, float]], shift: float) -> None:
    pred, truth = np.array(pairs).T
    found, moved = agreement(pred, truth), agreement(pred + shift, truth)
    assert moved["bias"] == pytest.approx(found["bias"] + shift, abs=1e-6)
    assert moved["sd"] == pytest.approx(found["sd"], abs=1e-6)
    assert agreement(truth, pred)["bias"] == pytest.approx(-found["bias"], abs=1e-9)
    assert abs(found["bias"]) <= found["mae"] + 1e-9


def test_agreement_names_quantity_and_unit() -> None:
    rows = agreement_table(clinical_table(two_patients()))
    assert [(entry["quantity"], entry["unit"]) for entry in rows] == [
        ("LV_EDV", "ml"),
        ("LV_ESV", "ml"),
        ("LV_EF", "percent"),
        ("RV_EDV", "ml"),
        ("RV_ESV", "ml"),
        ("RV_EF", "percent"),
        ("MYO_ED_mass", "g"),
    ]
    assert rows[0]["bias"] == pytest.approx((-30 - 100) / 2)
    assert (rows[2]["n"], rows[2]["undefined"]) == (1, 1)


def test_acdc_csv(tmp_path: Path) -> None:
    path = write_acdc_csv(two_patients(), tmp_path / "acdc.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == (
        "Name,Dice LV,Volume LV,Err LV(ml),Dice RV,Volume RV,Err RV(ml),Dice MYO,Volume MYO,Err MYO(ml)"
    )
    assert lines[1] == "p1_ED,0.5,120,-30,0.5,160,0,0.5,110,10"
    with pytest.raises(DataError, match="one that exists"):
        write_acdc_csv(two_patients(), path)
    nameless = two_patients().assign(structure="label 1")
    with pytest.raises(DataError, match=r"structures called RV, MYO and LV, found label 1\. Give --labels"):
        write_acdc_csv(nameless, tmp_path / "nameless.csv")
    assert not (tmp_path / "nameless.csv").exists()
