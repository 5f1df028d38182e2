"""ActiveContourLoss against loops over voxels, the length of known contours, and the sizes that are worth drawing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline.losses.active_contour import ActiveContourLoss
from pipeline.losses.common import gradient_length


def reference(u, v, spacing, lam, eps):
    total = 0.0
    for index in np.ndindex(u.shape):
        squares = eps
        for axis, step in enumerate(spacing):
            ahead = tuple(n + (i == axis) for i, n in enumerate(index))
            if ahead[axis] < u.shape[axis]:
                squares += ((u[ahead] - u[index]) / step) ** 2
        total += math.sqrt(squares) + lam * (u[index] * (1 - v[index]) ** 2 + (1 - u[index]) * v[index] ** 2)
    return total / u.size


@pytest.mark.parametrize(("size", "spacing"), [((4, 5), (1.0, 1.0)), ((3, 4, 5), (1.5, 0.7, 8.0))])
def test_loops_over_voxels_agree(size, spacing):
    generator = np.random.default_rng(0)
    u, v = generator.random(size), (generator.random(size) > 0.5).astype(float)
    loss = ActiveContourLoss(lambda_region=0.6, spacing=spacing, eps=1e-6)
    found = loss(torch.tensor(u)[None, None], torch.tensor(v)[None, None])
    assert float(found) == pytest.approx(reference(u, v, spacing, 0.6, 1e-6), rel=1e-12)


def test_a_plane_has_its_area_in_mm():
    # a step between x = 3 and x = 4, in a volume of 8 x 5 x 4 voxels of 2 x 1.5 x 6 mm: 5 * 1.5 by 4 * 6 mm
    spacing = (2.0, 1.5, 6.0)
    u = torch.zeros(1, 1, 8, 5, 4, dtype=torch.float64)
    u[:, :, :4] = 1
    length = gradient_length(u, spacing, eps=0.0).sum() * math.prod(spacing)
    assert float(length) == pytest.approx(7.5 * 24)


def test_a_perfect_sure_answer_costs_the_length_of_its_contour():
    truth = torch.zeros(1, 1, 10, 10)
    truth[..., :5, :] = 1
    certain = 100 * (2 * truth - 1)
    assert float(ActiveContourLoss(sigmoid=True, eps=0.0)(certain, truth)) == pytest.approx(10 / 100)
    assert float(ActiveContourLoss(sigmoid=True, eps=0.0, spacing=2.0)(certain, truth)) == pytest.approx(5 / 100)


def test_a_disc_is_drawn_only_from_a_radius_of_2_over_lambda():
    x, y = torch.meshgrid(*[torch.arange(-32.0, 33.0)] * 2, indexing="ij")

    def gain(radius, lam):
        """What leaving the disc out costs more than drawing it, its border blurred over a voxel."""
        truth = (radius - torch.hypot(x, y)).clamp(-0.5, 0.5)[None, None] + 0.5
        loss = ActiveContourLoss(lambda_region=lam, eps=0.0)
        hard = (truth > 0.5).float()
        return float(loss(torch.zeros_like(hard), hard) - loss(truth, hard))

    assert gain(12.0, 0.25) > 0 > gain(6.0, 0.25)


def test_the_eps_of_a_flat_answer():
    flat = torch.full((1, 1, 4, 4), 0.5)
    truth = torch.zeros(1, 1, 4, 4)
    assert float(ActiveContourLoss(eps=1e-4)(flat, truth)) == pytest.approx(0.5 + 0.01, rel=1e-5)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), 0.0, (1.0, -1.0, 2.0), float("nan")])
def test_a_wrong_spacing_is_named(spacing):
    with pytest.raises(ValueError, match="3 positive numbers"):
        ActiveContourLoss(spacing=spacing)(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2))
