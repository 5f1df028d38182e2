"""DistancePenalisedCELoss against brute-force distances and hand-computed penalties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.losses.distance_penalised_ce import DistancePenalisedCELoss, boundary_weight


def brute_force(labels, spacing):
    """Phi by the definition: for each voxel the nearest voxel of another class."""
    places = np.argwhere(np.ones_like(labels)) * np.asarray(spacing)
    flat = labels.ravel()
    d = np.array([np.linalg.norm(places[flat != flat[i]] - places[i], axis=1).min() for i in range(flat.size)])
    phi = np.empty_like(d)
    for number in np.unique(flat):
        own = d[flat == number]
        phi[flat == number] = (own.max() - (own - own.min())) / own.max()
    return phi.reshape(labels.shape)


@pytest.mark.parametrize(("size", "spacing"), [((6, 7), (1.0, 1.0)), ((5, 6, 4), (1.5, 0.7, 8.0))])
@pytest.mark.parametrize("classes", [2, 4])
def test_penalties_equal_brute_force(size, spacing, classes):
    labels = np.random.default_rng(0).integers(0, classes, size).astype(np.uint8)
    assert boundary_weight(labels, spacing) == pytest.approx(brute_force(labels, spacing), abs=1e-5)


def test_hand_computed_penalties():
    labels = np.array([[0, 0, 0, 1, 1, 0, 2, 0]], np.uint8)
    #        distances  3  2  1  1  1  1  1  1
    expected = [[1 / 3, 2 / 3, 1, 1, 1, 1, 1, 1]]
    assert boundary_weight(labels, (1.0, 1.0)) == pytest.approx(np.array(expected))
    assert boundary_weight(np.zeros((3, 3), np.uint8), (1.0, 1.0)).max() == 0, "no boundary, no penalty"


def test_softmax_equals_the_formula():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, (2, 4, 5, 3)).astype(np.uint8)
    logits = torch.tensor(generator.normal(0, 2, (2, 3, 4, 5, 3)))
    spacing = (1.5, 1.0, 6.0)
    total = 0.0
    for item in range(2):
        phi = brute_force(labels[item], spacing)
        for index in np.ndindex(labels[item].shape):
            x = logits[(item, slice(None), *index)].numpy()
            total += (1 + 0.5 * phi[index]) * (np.log(np.exp(x).sum()) - x[labels[(item, *index)]])
    loss = DistancePenalisedCELoss(softmax=True, to_onehot_y=True, lambda_distance=0.5, spacing=spacing)
    found = loss(logits, torch.from_numpy(labels.astype(np.int64))[:, None])
    assert float(found) == pytest.approx(total / labels.size, rel=1e-6)


def test_sigmoid_channels_have_boundaries_of_their_own():
    generator = np.random.default_rng(2)
    truth = (generator.random((1, 2, 5, 5)) > 0.6).astype(np.uint8)
    logits = torch.tensor(generator.normal(0, 2, truth.shape))
    phi = torch.tensor(np.stack([brute_force(channel, (1.0, 1.0)) for channel in truth[0]]))[None]
    entropy = F.binary_cross_entropy_with_logits(logits, torch.tensor(truth, dtype=torch.float64), reduction="none")
    found = DistancePenalisedCELoss(sigmoid=True)(logits, torch.from_numpy(truth))
    assert float(found) == pytest.approx(float(((1 + phi) * entropy).mean()), rel=1e-6)


def test_without_a_penalty_it_is_pytorchs_cross_entropy():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 5, 5), torch.randint(0, 4, (2, 1, 5, 5))
    weight = torch.tensor([0.2, 1.0, 3.0, 1.0])
    loss = DistancePenalisedCELoss(softmax=True, to_onehot_y=True, lambda_distance=0.0)
    assert float(loss(logits, labels)) == pytest.approx(float(F.cross_entropy(logits, labels[:, 0])), rel=1e-6)
    weighted = DistancePenalisedCELoss(softmax=True, to_onehot_y=True, lambda_distance=0.0, weight=weight)
    expected = F.cross_entropy(logits, labels[:, 0], weight=weight, reduction="none").mean()
    assert float(weighted(logits, labels)) == pytest.approx(float(expected), rel=1e-6)


def test_structures_one_voxel_thick_keep_their_weight():
    truth = torch.zeros(1, 1, 9, 9)
    truth[..., 4, :] = 1
    flat = torch.zeros(1, 1, 9, 9)
    loss = DistancePenalisedCELoss(sigmoid=True)(flat, truth)
    phi = (1 + 1 + 1 + 2 * (3 / 4 + 2 / 4 + 1 / 4)) / 9  # the line, its neighbours, and three rows on each side
    assert float(loss) == pytest.approx((1 + phi) * math.log(2), rel=1e-6)
