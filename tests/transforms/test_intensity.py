"""Hounsfield units and windowed grey levels come out alike."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor

from pipeline.errors import DataError
from pipeline.intensity_scale import Scale, scale_of
from pipeline.transforms import HounsfieldWindowd


def chest():
    """Every HU from air to bone."""
    return np.arange(-1024, 1500, dtype=np.float32).reshape(1, 4, 631, 1)


def windowed(array, name="case"):
    return HounsfieldWindowd("image")({"image": MetaTensor(torch.from_numpy(array)), "case": name})["image"].numpy()


def test_the_window_becomes_minus_one_to_one():
    out = windowed(chest()).flatten()
    for hu, value in ((-1024, (-1024 + 500) / 750), (-500, 0.0), (250, 1.0), (251, 1.0), (1400, 1.0)):
        assert out[hu + 1024] == pytest.approx(value, abs=1e-6)


def test_each_way_of_storing_the_same_scan_gives_the_same_values():
    hu = chest()
    grey = np.clip((hu + 1250) / 1500, 0, 1) * 255
    wanted = windowed(hu)
    assert np.allclose(windowed(hu + 1024), wanted, atol=1e-6)
    assert np.allclose(windowed(grey), wanted, atol=1e-5)
    assert np.allclose(windowed(grey / 255), wanted, atol=1e-5)
    assert np.abs(windowed(np.round(grey).astype(np.uint8)) - wanted).max() <= 1 / 255 + 1e-6, "half a grey level"


def test_the_input_is_not_changed_in_place():
    hu = chest()
    windowed(hu)
    assert np.array_equal(hu, chest())


@given(low=st.floats(-1024, -60), high=st.floats(0, 3000))
def test_air_tells_hounsfield_units_whatever_else_is_there(low, high):
    assert scale_of(low, high) is Scale.HOUNSFIELD


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [(0, 255, Scale.GREY), (3, 201, Scale.GREY), (-4, 262, Scale.GREY), (0, 4095, Scale.SHIFTED), (0, 1, Scale.UNIT)],
)
def test_other_scales_by_their_range(low, high, scale):
    assert scale_of(low, high) is scale


def picture(array):
    return HounsfieldWindowd("image")({"image": MetaTensor(torch.from_numpy(array), meta={"has_geometry": False})})


def test_a_picture_of_more_than_8_bits_is_refused_since_a_wrong_guess_blackens_it():
    grey = np.linspace(0, 255, 4 * 631, dtype=np.float32).reshape(1, 4, 631, 1)
    assert picture(grey)["image"].max() == 1
    for bits in (10, 12, 16):
        with pytest.raises(
            DataError, match=r"expected the grey levels 0..255 .* found values from 0 to .*8 bits a pixel"
        ):
            picture(grey / 255 * (2**bits - 1))


@pytest.mark.parametrize("high", [4095, 32767 + 1024])
def test_a_volume_is_refused_only_above_all_hounsfield_units(high):
    values = np.linspace(0, high, 4 * 631, dtype=np.float32).reshape(1, 4, 631, 1)
    assert windowed(values).max() == 1
    values[0, 0, 0, 0] = 65535
    with pytest.raises(DataError, match="case: expected Hounsfield units"):
        windowed(values)


def test_the_decision_is_logged_with_the_case(caplog):
    with caplog.at_level(logging.INFO, logger="pipeline"):
        windowed(chest(), "coronacases_001")
    assert "coronacases_001: Hounsfield units (-1024 to 1499)" in caplog.text


def test_a_falling_window_is_refused():
    with pytest.raises(ValueError, match="must rise"):
        HounsfieldWindowd("image", window=(250, -1250))
