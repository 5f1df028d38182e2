"""Surface distances against hand-computed values, the definition written out, and MONAI."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.metrics import surface
from pipeline.metrics.surface import hausdorff, surface_dice, surface_distances

SPACINGS = [(1.0, 1.0, 1.0), (1.5625, 1.25, 10.0), (0.7, 2.0, 5.0)]


def blob(seed: int, shape: tuple[int, ...] = (18, 15, 7), level: float = 0.52) -> np.ndarray:
    """A random mask of connected lumps that often touch the border."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).random(shape)
    return gaussian_filter(noise, 1.5) > level


def surface_points(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """The definition, voxel by voxel: in the mask, with a face neighbour outside it or outside the volume."""
    points = []
    for index in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                other = index.copy()
                other[axis] += step
                outside = not 0 <= other[axis] < mask.shape[axis]
                if outside or not mask[tuple(other)]:
                    points.append(tuple(index))
    return np.array(sorted(set(points))) * np.array(spacing)


def brute_force(pred: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...]) -> list[np.ndarray]:
    a, b = surface_points(pred, spacing), surface_points(truth, spacing)
    table = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    return [table.min(1), table.min(0)]


def one_voxel(*index: int, shape: tuple[int, ...] = (6, 6, 4)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[index] = True
    return mask


def test_two_voxels_are_as_far_apart_as_their_centres() -> None:
    # 3 voxels of 2 mm along x and 1 voxel of 8 mm along z: sqrt(36 + 64) = 10
    distances = surface_distances(one_voxel(1, 2, 0), one_voxel(4, 2, 1), (2.0, 1.0, 8.0))
    assert hausdorff(distances) == pytest.approx(10.0)
    assert hausdorff(distances, percentile=95) == pytest.approx(10.0)


def test_hd95_by_hand() -> None:
    # truth: 1 voxel; prediction: a row of 5 voxels, 0 to 4 mm away. Directed: [0 1 2 3 4] and [0].
    truth, pred = one_voxel(0, 0, shape=(5, 3)), np.zeros((5, 3), bool)
    pred[:, 0] = True
    distances = surface_distances(pred, truth, (1.0, 1.0))
    assert sorted(distances.pred_to_truth) == [0, 1, 2, 3, 4]
    assert distances.truth_to_pred.tolist() == [0]
    # linear interpolation at 0.95 * 4 = 3.8 of the larger set; at 0.95 * 5 = 4.75 of [0 0 1 2 3 4]
    assert hausdorff(distances, percentile=95) == pytest.approx(3.8)
    assert hausdorff(distances, percentile=95, definition="pooled") == pytest.approx(3.75)
    assert hausdorff(distances, definition="pooled") == hausdorff(distances) == 4.0
    # within 1 mm: 2 of 5 and 1 of 1
    assert surface_dice(distances, tolerance=1.0) == pytest.approx(3 / 6)


def test_the_volume_border_counts_as_outside() -> None:
    full, inner = np.ones((5, 5, 5), bool), np.zeros((5, 5, 5), bool)
    inner[1:4, 1:4, 1:4] = True
    distances = surface_distances(full, inner, (1.0, 1.0, 1.0))
    assert distances.pred_to_truth.size == 125 - 27  # the shell, not an empty set
    assert distances.truth_to_pred.tolist() == [1.0] * 26
    assert hausdorff(distances) == pytest.approx(np.sqrt(3))  # from corner to corner


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition_written_out(seed: int, spacing: tuple[float, ...]) -> None:
    pred, truth = blob(seed), blob(seed + 100)
    found, expected = surface_distances(pred, truth, spacing), brute_force(pred, truth, spacing)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.sort(one), np.sort(other), rtol=1e-5)
    pooled = np.percentile(np.concatenate(expected), 95)
    assert hausdorff(found, percentile=95, definition="pooled") == pytest.approx(pooled, rel=1e-5)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, (2, 4, 5, 3)), st.sampled_from(SPACINGS))
def test_any_small_masks_equal_the_definition(masks: np.ndarray, spacing: tuple[float, ...]) -> None:
    pred, truth = masks
    found = surface_distances(pred, truth, spacing)
    if not pred.any() or not truth.any():
        assert np.isnan(hausdorff(found))
        return
    expected = max(part.max() for part in brute_force(pred, truth, spacing))
    assert hausdorff(found) == pytest.approx(expected, rel=1e-5)
    assert hausdorff(surface_distances(truth, pred, spacing)) == hausdorff(found)
    assert hausdorff(found, percentile=95) <= hausdorff(found)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("percentile", [95, 100])
def test_equals_monai(spacing: tuple[float, ...], percentile: int) -> None:
    import torch
    from monai.metrics import compute_hausdorff_distance

    border = np.zeros((18, 15, 7), bool)
    border[:9, :, 3:] = True
    pairs = [(blob(seed), blob(seed + 50)) for seed in range(3)] + [(blob(3), border), (border, ~border)]
    for pred, truth in pairs:
        theirs = compute_hausdorff_distance(
            torch.from_numpy(pred)[None, None],
            torch.from_numpy(truth)[None, None],
            include_background=True,
            percentile=None if percentile == 100 else percentile,
            spacing=spacing,
        ).item()
        ours = hausdorff(surface_distances(pred, truth, spacing), percentile=percentile)
        assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("tolerance", [0.5, 1.5625, 4.0])
def test_surface_dice_equals_monai(tolerance: float) -> None:
    import torch
    from monai.metrics import compute_surface_dice

    pred, truth = blob(1), blob(2)
    theirs = compute_surface_dice(
        torch.from_numpy(pred)[None, None],
        torch.from_numpy(truth)[None, None],
        class_thresholds=[tolerance + 1e-5],
        include_background=True,
        spacing=SPACINGS[1],
    ).item()
    ours = surface_dice(surface_distances(pred, truth, SPACINGS[1]), tolerance=tolerance)
    assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize(("told", "threads"), [("1", 1), ("3", 3), ("0", 1)])
def test_the_environment_says_how_many_threads(monkeypatch, told, threads) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert surface._threads() == threads


def test_empty_masks_have_no_hausdorff_distance() -> None:
    empty, some = np.zeros((6, 6, 4), bool), one_voxel(1, 1, 1)
    for pred, truth in [(empty, some), (some, empty), (empty, empty)]:
        distances = surface_distances(pred, truth, (1, 1, 1))
        assert np.isnan(hausdorff(distances))
        assert np.isnan(hausdorff(distances, percentile=95, definition="pooled"))
    assert surface_dice(surface_distances(empty, some, (1, 1, 1)), tolerance=3) == 0
    assert surface_dice(surface_distances(some, empty, (1, 1, 1)), tolerance=3) == 0
    assert np.isnan(surface_dice(surface_distances(empty, empty, (1, 1, 1)), tolerance=3))


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0)])
def test_refuses_a_spacing_that_is_none(spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="spacing"):
        surface_distances(one_voxel(1, 1, 1), one_voxel(1, 1, 1), spacing)


def test_refuses_different_shapes() -> None:
    with pytest.raises(ValueError, match=r"\(6, 6, 4\).*\(5, 6, 4\)"):
        surface_distances(one_voxel(1, 1, 1), one_voxel(1, 1, 1, shape=(5, 6, 4)), (1, 1, 1))
