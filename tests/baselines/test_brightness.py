"""Thresholds, mixtures, growing and basins on images whose parts are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from pipeline.baselines import Baseline
from pipeline.baselines.brightness import gaussian_mixture, otsu, region_growing, watershed
from pipeline.errors import DataError

SHAPE = (24, 20, 4)


def blocks(noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Three levels of brightness, 0, 1 and 2; the brightest is two separate boxes."""
    image = np.zeros(SHAPE)
    image[4:, :, :] = 1
    bright = np.zeros(SHAPE, bool)
    bright[6:11, 4:16] = bright[15:21, 4:16] = True
    image[bright] = 2
    return image + np.random.default_rng(0).normal(0, noise, SHAPE), bright


EVERYWHERE = np.ones(SHAPE, bool)


@pytest.mark.parametrize("change", [lambda x: x, lambda x: 300 * x - 1000])
@pytest.mark.parametrize("method", [otsu, gaussian_mixture])
def test_the_brightest_class_is_taken_on_any_scale(method, change):
    image, bright = blocks(0.15)
    found = method(change(image), EVERYWHERE, classes=3)
    assert (found == bright).mean() > 0.99
    half = EVERYWHERE.copy()
    half[12:] = False
    inside = method(change(image), half, classes=3)
    assert not inside[12:].any()
    assert (inside == (bright & half)).mean() > 0.99


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 5.0), (1.0, 2.0, 2.0)])
def test_basins_are_taken_by_their_mean(spacing):
    image, _ = blocks(0.05)
    image[2, 2, 2] = 3  # one bright voxel does not make a basin bright: its basin's mean is dark
    found = watershed(image, EVERYWHERE, classes=3, spacing=spacing)
    core = np.zeros(SHAPE, bool)
    core[7:10, 5:15] = core[16:20, 5:15] = True
    assert found[core].mean() > 0.95
    assert not found[:3].any()


def test_growing_stays_with_its_seed_and_its_brightness():
    image, bright = blocks(0.05)
    seeds = np.zeros(SHAPE, bool)
    seeds[7:9, 8:11, 2] = True
    found = region_growing(image, seeds, region=EVERYWHERE, width=5)
    first = bright.copy()
    first[12:] = False
    assert (found == first).mean() > 0.99
    assert not region_growing(image, np.zeros(SHAPE, bool), region=EVERYWHERE).any()


@pytest.mark.parametrize("method", [otsu, gaussian_mixture])
def test_too_few_intensities_give_nothing(method):
    for image in (np.full(SHAPE, 7.0), blocks()[0] > 1):
        assert not method(np.asarray(image, float), EVERYWHERE, classes=3).any()
    assert not watershed(np.full(SHAPE, 7.0), EVERYWHERE, classes=2, spacing=(1, 1, 1)).any()


def test_the_mixture_s_limit_is_where_both_densities_meet():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0, 1, 30_000), rng.normal(6, 2, 10_000)])
    found = gaussian_mixture(values, np.ones(values.shape, bool), classes=2)
    limit = values[found].min()
    expected = brentq(lambda x: 0.75 * norm.pdf(x, 0, 1) - 0.25 * norm.pdf(x, 6, 2), 1, 6)
    assert limit == pytest.approx(expected, abs=0.3)


def test_an_unknown_method_is_refused():
    with pytest.raises(DataError, match="one of otsu, region_growing"):
        Baseline("heart", method="snakes")
