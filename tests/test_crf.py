"""The CRF against sums over all pairs in float64, and what it is for: specks vanish, edges stay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.crf import MeanFieldCRFd, mean_field

OPTIONS = {
    "smoothness": 1.5, "smoothness_mm": 2.0, "appearance": 3.0, "appearance_mm": 4.0, "contrast": 0.4, "iterations": 3,
}  # fmt: skip


def by_pairs(logits, image, spacing, *, radius, sigmoid, smoothness, smoothness_mm, appearance, appearance_mm, contrast,
             iterations):  # fmt: skip
    """The formula over all pairs of voxels, without any sharing of work."""
    shape = logits.shape[1:]
    places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 3)
    mm = places * np.asarray(spacing)
    d2 = ((mm[:, None] - mm[None]) ** 2).sum(-1)
    grey = image.reshape(image.shape[0], -1).T
    look = ((grey[:, None] - grey[None]) ** 2).sum(-1)
    pairs = (d2 <= radius**2 + 1e-9) & (d2 > 0)
    # the Gaussians are normalised by their sums over a whole neighbourhood, also where the volume cuts it
    reach = [int(radius / s) for s in spacing]
    around = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3) * spacing
    r2 = (around**2).sum(-1)
    r2 = r2[(r2 > 0) & (r2 <= radius**2 + 1e-9)]
    kernel = pairs * (
        appearance / np.exp(-r2 / (2 * appearance_mm**2)).sum()
        * np.exp(-d2 / (2 * appearance_mm**2) - look / (2 * contrast**2))
        + smoothness / np.exp(-r2 / (2 * smoothness_mm**2)).sum() * np.exp(-d2 / (2 * smoothness_mm**2))
    )  # fmt: skip
    unary = logits.reshape(logits.shape[0], -1).astype(float)
    new = unary
    for _ in range(iterations):
        if sigmoid:
            p = 1 / (1 + np.exp(-new))
            new = unary + p @ kernel - (1 - p) @ kernel
        else:
            p = np.exp(new - new.max(0))
            p /= p.sum(0)
            new = unary + p @ kernel
    return new.reshape(logits.shape)


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("slab", [1, 10**6])
@pytest.mark.parametrize(
    ("spacing", "radius"), [((1.5, 1.0, 4.0), 4.5), ((1.0, 1.0, 1.0), 2.0), ((1.5, 1.5, 9.0), 5.0)]
)
def test_equals_the_sum_over_all_pairs(sigmoid, slab, spacing, radius):
    rng = np.random.default_rng(0)
    logits, image = rng.normal(size=(3, 4, 5, 3)), rng.normal(size=(2, 4, 5, 3))
    expected = by_pairs(logits, image, spacing, radius=radius, sigmoid=sigmoid, **OPTIONS)
    found = mean_field(
        torch.from_numpy(logits), torch.from_numpy(image), spacing=spacing, radius_mm=radius, sigmoid=sigmoid,
        slab=slab, **OPTIONS,
    )  # fmt: skip
    assert np.allclose(found.numpy(), expected, atol=1e-4)


def scene():
    """A bright square in noise, a network that is right but for a hole in it and a speck beside it."""
    image = torch.randn(1, 24, 24, 1, generator=torch.Generator().manual_seed(0)) * 0.05
    truth = torch.zeros(24, 24, 1, dtype=torch.bool)
    truth[6:16, 8:18] = True
    image[0][truth] += 1
    wrong = truth.clone()
    wrong[10, 12] = False
    wrong[20, 4] = True
    logits = torch.where(wrong, 1.5, -1.5)
    return image, truth, torch.stack([-logits, logits])


def test_specks_vanish_and_edges_stay():
    image, truth, logits = scene()
    cleaned = mean_field(logits, image, spacing=(1.5, 1.5, 9.0))
    assert torch.equal(cleaned.argmax(0).bool(), truth)
    single = mean_field(logits[1:], image, spacing=(1.5, 1.5, 9.0), sigmoid=True)
    assert torch.equal(single[0] > 0, truth)


def test_without_contrast_in_the_image_only_distance_counts():
    _, _, logits = scene()
    flat = torch.zeros(1, 24, 24, 1)
    cleaned = mean_field(logits, flat, spacing=(1.5, 1.5, 9.0), appearance=0.0, smoothness=8.0).argmax(0)
    assert cleaned[10, 12, 0] == 1
    assert cleaned[20, 4, 0] == 0


def test_slices_further_apart_than_the_radius_do_not_speak_to_each_other():
    torch.manual_seed(0)
    logits, image = torch.randn(2, 6, 6, 3), torch.randn(1, 6, 6, 3)
    whole = mean_field(logits, image, spacing=(1.5, 1.5, 9.0), radius_mm=8.0)
    alone = mean_field(logits[..., 1:2], image[..., 1:2], spacing=(1.5, 1.5, 9.0), radius_mm=8.0)
    assert torch.allclose(whole[..., 1:2], alone, atol=1e-5)
    near = mean_field(logits, image, spacing=(1.5, 1.5, 3.0), radius_mm=8.0)
    assert not torch.allclose(near[..., 1:2], alone, atol=1e-2)


def test_no_iteration_or_no_neighbour_changes_nothing():
    logits = torch.randn(2, 4, 4, 2)
    assert mean_field(logits, logits, spacing=(1, 1, 1), iterations=0) is logits
    assert mean_field(logits, logits, spacing=(9, 9, 9), radius_mm=8.0) is logits


def test_the_transform_takes_the_spacing_of_the_image():
    image, _, logits = scene()
    affine = torch.diag(torch.tensor([-1.5, 1.5, 9.0, 1.0], dtype=torch.float64))
    data = {"image": MetaTensor(image, affine=affine), "pred": MetaTensor(logits, affine=affine), "case": "a"}
    found = MeanFieldCRFd("pred", iterations=2)(data)
    assert torch.equal(found["pred"], mean_field(logits, image, spacing=(1.5, 1.5, 9.0), iterations=2))
    assert found["case"] == "a"
    half = MeanFieldCRFd("pred")({**data, "pred": logits.half()})["pred"]
    assert half.dtype == torch.float16
