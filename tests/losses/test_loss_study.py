"""The study of the losses: its errors, its curves against formulas, its words on made-up curves, its files."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from monai.losses import DiceLoss

from pipeline.errors import DataError
from pipeline.losses import HausdorffDTLoss
from pipeline.report.loss_findings import ERRORS, RADII, findings
from pipeline.report.loss_study import LOGIT, SPACING, ball, measure, study


def test_balls_have_their_volume_and_move():
    voxels = math.prod(SPACING)
    assert ball(24.0).sum() * voxels == pytest.approx(4 / 3 * math.pi * 24**3, rel=0.02)
    moved = ball(6.0, shift=12.0)
    assert not (moved & ball(6.0)).any() or (moved & ball(6.0)).sum() < 3  # they touch
    assert moved.sum() == ball(6.0).sum()
    assert ball(0.1).sum() == 1


@pytest.fixture(scope="module")
def curves():
    return measure({"dice": DiceLoss(sigmoid=True), "hausdorff": HausdorffDTLoss(sigmoid=True)}, steps=2)


def test_errors_grow_from_none_to_full(curves):
    assert len(curves) == 2 * 2 * 4 * 3
    assert (curves[curves["strength"] == 0]["dice"] == 1).all()
    full = curves[curves["strength"] == 1].set_index(["loss", "object", "error"])["dice"]
    for size in RADII:
        assert full["dice", size, "erode"] == full["dice", size, "flip"] == 0
        assert full["dice", size, "shift"] < 0.05
    half = curves[(curves["strength"] == 0.5) & (curves["error"] == "flip")]
    assert half["dice"].to_numpy() == pytest.approx(0.5, abs=0.02)


def test_values_and_gradients_are_those_of_the_formula(curves):
    p = 1 / (1 + math.exp(-LOGIT))
    truth = ball(6.0)
    inside, outside = truth.sum(), (~truth).sum()
    sums = p * inside + (1 - p) * outside + inside
    row = curves[(curves["loss"] == "dice") & (curves["object"] == "small") & (curves["strength"] == 0)].iloc[0]
    assert row["value"] == pytest.approx(1 - 2 * p * inside / sums, rel=1e-3)
    slope = p * (1 - p)
    toward, away = slope * (2 * p * inside / sums**2 - 2 / sums), slope * 2 * p * inside / sums**2
    assert row["gradient"] == pytest.approx(math.sqrt(inside * toward**2 + outside * away**2), rel=1e-2)


def made_up(values, gradients=(1.0, 1.0, 1.0)):
    rows = [
        ("odd", size, error, strength, 1.0, value, gradient)
        for size in RADII
        for error in ERRORS
        for strength, value, gradient in zip((0.0, 0.5, 1.0), values[error], gradients, strict=True)
    ]
    return pd.DataFrame(rows, columns=["loss", "object", "error", "strength", "dice", "value", "gradient"])


def test_the_words_follow_the_curves():
    steady = dict.fromkeys(ERRORS, (0.0, 1.0, 1.0))
    assert "1 of 1 losses never fall while any of the four errors grows: odd." in findings(made_up(steady))
    text = findings(made_up(steady | {"shift": (0.0, 1.0, 0.5), "flip": (0.0, 1.0, 0.99999)}))
    assert "0 of 1 losses" in text
    assert "- odd falls somewhere while the error grows: shift\n" in text
    text = findings(made_up(steady, gradients=(1.0, 1.0, 1e-9)))
    assert "- odd has no gradient left at the end of: dilate, erode, shift, flip\n" in text
    assert "- odd has a smaller gradient with the full error than with none: dilate, erode, shift, flip\n" in text
    text = findings(made_up(steady, gradients=(1.0, 0.5, 2.0)))
    assert "gradient" not in text
    assert text.count("The article whose last figure") == 1


def test_files_are_written_once(tmp_path):
    catalogue = tmp_path / "losses.json"
    entries = {
        "dice": {"_target_": "DiceLoss", "sigmoid": "$not @softmax"},
        "pair": {
            "_target_": "pipeline.losses.CompoundLoss",
            "terms": [
                {"loss": {"_target_": "DiceLoss", "sigmoid": True}},
                {"loss": {"_target_": "pipeline.losses.MumfordShahLoss", "sigmoid": True, "spacing": "@loss_spacing"}},
            ],
        },
        "staged": {"_target_": "nowhere.AtAll"},
    }
    catalogue.write_text(json.dumps(entries))
    paths = study(tmp_path / "out", catalogue=catalogue, steps=1)
    table = pd.read_csv(paths["curves"])
    assert list(dict.fromkeys(table["loss"])) == ["dice", "pair"]
    assert np.isfinite(table[["value", "gradient"]].to_numpy()).all()
    for name in ("values", "gradients"):
        assert paths[name].read_bytes().startswith(b"\x89PNG")
    assert "2 losses" in paths["findings"].read_text(encoding="utf-8")
    with pytest.raises(DataError, match="one that exists"):
        study(tmp_path / "out", catalogue=catalogue, steps=1)
    with pytest.raises(DataError, match="catalogue of losses"):
        study(tmp_path / "elsewhere", catalogue=tmp_path / "nothing.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1], "an object with an entry for each loss, found list"),
        ({}, "an object with an entry for each loss, found none"),
        ({"odd": 5}, "odd: expected an object with a loss as _target_, found 5"),
        ({"odd": {"sigmoid": True}}, "odd: expected an object with a loss as _target_"),
        ({"odd": {"_target_": "nowhere.AtAll"}}, r"odd: expected a loss, found .*nowhere.AtAll'\. See"),
        ({"odd": {"_target_": "DiceLoss", "sigmoyd": True}}, "odd: expected a loss, found .*sigmoyd"),
        ({"odd": "%nowhere.json::odd"}, "expected losses that can be read, found .*nowhere.json"),
        ({"odd": {"_target_": "pipeline.losses.CompoundLoss", "terms": []}}, "odd: expected"),
    ],
)
def test_what_is_no_loss_is_told_in_one_line(tmp_path, content, words):
    (tmp_path / "losses.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=words) as raised:
        study(tmp_path / "out", catalogue=tmp_path / "losses.json", steps=1)
    assert len(str(raised.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()
