"""ExponentialLogarithmicLoss against its formula, voxel by voxel."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from pipeline.losses.exponential_logarithmic import ExponentialLogarithmicLoss


def bent_dice(p, t, gamma, smooth=1.0):
    return (-math.log((2 * (p * t).sum() + smooth) / (p.sum() + t.sum() + smooth))) ** gamma


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("weight", [None, [0.5, 1.0, 4.0]])
def test_softmax_equals_the_formula(gamma, weight):
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 2, (3, 24)), generator.integers(0, 3, 24)
    p, t = np.exp(logits) / np.exp(logits).sum(0), np.eye(3)[:, labels]
    w = weight or [math.sqrt(24 / (labels == c).sum()) for c in range(3)]
    entropy = np.mean([w[c] * (-math.log(p[c, i])) ** gamma for i, c in enumerate(labels)])
    expected = 0.8 * np.mean([bent_dice(p[c], t[c], gamma) for c in range(3)]) + 0.2 * entropy
    loss = ExponentialLogarithmicLoss(softmax=True, to_onehot_y=True, gamma=gamma, weight=weight)
    found = loss(torch.tensor(logits).reshape(1, 3, 4, 6), torch.tensor(labels).reshape(1, 1, 4, 6))
    assert float(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("weight", [None, [0.5, 4.0]])
def test_sigmoid_channels_have_two_classes_each(weight):
    generator = np.random.default_rng(1)
    p, t = generator.uniform(0.1, 0.9, (2, 20)), (generator.random((2, 20)) > 0.7).astype(float)
    values = []
    for c in range(2):
        inside, outside = (weight[c], 1) if weight else (t[c].mean() ** -0.5, (1 - t[c]).mean() ** -0.5)
        terms = [
            inside * (-math.log(q)) ** 0.3 if s else outside * (-math.log(1 - q)) ** 0.3
            for q, s in zip(p[c], t[c], strict=True)
        ]
        values.append(0.8 * bent_dice(p[c], t[c], 0.3) + 0.2 * np.mean(terms))
    logits = torch.tensor(np.log(p / (1 - p))).reshape(1, 2, 5, 4)
    loss = ExponentialLogarithmicLoss(sigmoid=True, weight=weight)
    assert float(loss(logits, torch.tensor(t).reshape(1, 2, 5, 4))) == pytest.approx(np.mean(values), rel=1e-6)


def test_a_right_and_sure_answer_costs_next_to_nothing():
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., :2, :] = 1
    logits = (100 * (2 * truth - 1)).requires_grad_()
    loss = ExponentialLogarithmicLoss(sigmoid=True)(logits, truth)
    loss.backward()
    assert float(loss.detach()) < 0.02  # eps ** gamma, not 0
    assert float(logits.grad.abs().max()) == 0
