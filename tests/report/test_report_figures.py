"""Figures: fixed colours, boxes where the values are, agreement in words."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from score_folder import score_row, write_scores

from pipeline.metrics.clinical import agreement_table
from pipeline.metrics.scores import read_scores
from pipeline.report.clinical import AGREEMENT_HEAD, agreement_plot, agreement_rows
from pipeline.report.figures import box_plot
from pipeline.report.style import colours


def test_a_structure_keeps_its_colour_in_any_company():
    heart = colours(["RV", "MYO", "LV", "mean"])
    assert len(set(heart.values())) == 4
    assert colours(["LV"])["LV"] == heart["LV"]
    mixed = colours(["lungs", "LV", "infection"])
    assert mixed["LV"] == heart["LV"]
    assert len(set(mixed.values())) == 4


def test_box_plot_says_its_medians_and_leaves_out_undefined_values(tmp_path):
    dice = {"a_ED": 0.5, "b_ED": 0.7, "c_ED": None, "a_ES": 0.9}
    rows = [score_row(case, "RV", value) for case, value in dice.items()]
    picture = box_plot(read_scores(write_scores(tmp_path, rows)), "dice", by="phase")
    assert picture.alt == "Box plot of Dice by structure and phase: RV ED median 0.600, RV ES median 0.900."
    assert picture.name == "box_dice_by_phase"
    pixels = imread(BytesIO(picture.png))[..., :3]
    blue = np.abs(pixels - [0, 0x72 / 255, 0xB2 / 255]).max(-1) < 0.05
    assert blue.sum() > 200


def test_agreement_in_words():
    truth, pred = [100.0, 120.0, 140.0, np.nan], [98.0, 121.0, 133.0, 50.0]
    table = pd.DataFrame({"LV_EDV_truth_ml": truth, "LV_EDV_pred_ml": pred})
    # differences -2, 1, -7: bias -8/3, SD 4.04, limits -2.67 ± 7.92, mean absolute error 10/3,
    # r = 700 / sqrt(800 * 632.67)
    (row,) = agreement_rows(table)
    assert dict(zip(AGREEMENT_HEAD, row, strict=True)) == {
        "Quantity": "LV EDV (ml)",
        "n": "3 (1 undefined)",
        "Bias": "−2.7",
        "SD": "4.0",
        "Limits of agreement": "−10.6 to 5.3",
        "Mean absolute error": "3.3",
        "r": "0.984",
    }
    assert agreement_rows(None) == []


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_agreement_plot_of_few_patients(n):
    truth = np.arange(5.0) + 50
    table = pd.DataFrame({"RV_EF_truth_percent": truth, "RV_EF_pred_percent": truth})
    table.iloc[n:] = np.nan
    picture = agreement_plot(table, agreement_table(table)[0])
    assert picture.caption.startswith(f"RV EF (%): n {n}")
    assert imread(BytesIO(picture.png)).ndim == 3
