"""MumfordShahLoss against loops over voxels, and what it finds in an image without labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline.losses.mumford_shah import MumfordShahLoss


def reference(x, y, spacing, lam, eps):
    """Energy of one item: image (channels, ...), regions (n, ...)."""
    total = 0.0
    for region in y:
        for channel in x:
            c = (channel * region).sum() / region.sum()
            total += ((channel - c) ** 2 * region).sum()
        for index in np.ndindex(region.shape):
            squares = eps
            for axis, step in enumerate(spacing):
                ahead = tuple(n + (i == axis) for i, n in enumerate(index))
                if ahead[axis] < region.shape[axis]:
                    squares += ((region[ahead] - region[index]) / step) ** 2
            total += lam * math.sqrt(squares)
    return total / region.size


@pytest.mark.parametrize(("size", "spacing"), [((4, 3), (1.0, 2.0)), ((3, 2, 4), (1.5, 0.7, 8.0))])
@pytest.mark.parametrize("channels", [1, 2])
def test_softmax_regions_equal_loops_over_voxels(size, spacing, channels):
    generator = np.random.default_rng(0)
    logits, x = generator.normal(size=(3, *size)), generator.normal(size=(channels, *size))
    y = np.exp(logits) / np.exp(logits).sum(0)
    loss = MumfordShahLoss(softmax=True, lambda_length=0.3, spacing=spacing)
    found = loss(torch.tensor(logits)[None], image=torch.tensor(x)[None])
    assert float(found) == pytest.approx(reference(x, y, spacing, 0.3, 1e-8), rel=1e-12)


def test_sigmoid_channels_have_two_regions_each():
    generator = np.random.default_rng(1)
    logits, x = generator.normal(size=(2, 4, 3)), generator.normal(size=(1, 4, 3))
    y = 1 / (1 + np.exp(-logits))
    expected = np.mean([reference(x, np.stack([s, 1 - s]), (1.0, 1.0), 0.3, 1e-8) for s in y])
    loss = MumfordShahLoss(sigmoid=True, lambda_length=0.3)
    assert float(loss(torch.tensor(logits)[None], image=torch.tensor(x)[None])) == pytest.approx(expected, rel=1e-12)


def test_even_regions_along_the_truth_cost_nothing_but_their_border():
    image = torch.zeros(1, 1, 6, 6)
    image[..., 3:] = 2.0
    certain = 60 * (image - 1)
    loss = MumfordShahLoss(sigmoid=True, lambda_length=0.0)
    assert float(loss(certain, image=image)) == pytest.approx(0, abs=1e-9)
    assert float(loss(certain.roll(1, -1), image=image)) > 0.5
    assert float(loss(torch.zeros_like(image), image=image)) == pytest.approx(1.0)  # the variance


def test_two_regions_separate_by_themselves():
    torch.manual_seed(0)
    bright = (torch.hypot(*torch.meshgrid(*[torch.arange(-8.0, 8)] * 2, indexing="ij")) < 5).float()
    image = (2 * bright - 1 + 0.2 * torch.randn(16, 16))[None, None]
    logits = (0.1 * torch.randn(1, 2, 16, 16)).requires_grad_()
    loss, optimizer = MumfordShahLoss(softmax=True), torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        loss(logits, image=image).backward()
        optimizer.step()
    found = logits.argmax(1)[0].bool()
    same = (found == bright.bool()).float().mean()
    assert max(float(same), 1 - float(same)) > 0.99, "which channel takes which region is open"


def test_without_an_image_the_way_to_give_one_is_named():
    with pytest.raises(ValueError, match="LossSchedule"):
        MumfordShahLoss(softmax=True)(torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3))
    with pytest.raises(ValueError, match="the image has shape"):
        MumfordShahLoss(softmax=True)(torch.zeros(1, 2, 3, 3), image=torch.zeros(1, 1, 3, 4))
