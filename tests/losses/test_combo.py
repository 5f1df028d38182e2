"""ComboLoss against the paper's formula, written out in numpy, and against MONAI where that is the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.losses import DiceLoss

from pipeline.losses.combo import ComboLoss


def reference(logits, truth, alpha, beta, smooth=1.0, activation="softmax"):
    """The formula for one item, voxel by voxel: logits and one-hot truth (C, N)."""
    p = np.exp(logits) / np.exp(logits).sum(0) if activation == "softmax" else 1 / (1 + np.exp(-logits))
    values = []
    for p_c, t_c in zip(p, truth, strict=True):
        entropy = 0.0
        for q, t in zip(p_c, t_c, strict=True):
            entropy -= beta * t * math.log(q) + (1 - beta) * (1 - t) * math.log(1 - q)
        dice = (2 * (p_c * t_c).sum() + smooth) / (p_c.sum() + t_c.sum() + smooth)
        values.append(alpha * entropy / len(p_c) + (1 - alpha) * (1 - dice))
    return np.mean(values)


@pytest.mark.parametrize(("alpha", "beta"), [(0.5, 0.5), (0.3, 0.8), (1.0, 0.2), (0.0, 0.5)])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_several_classes_equal_the_formula(alpha, beta, activation):
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(0, 2, (3, 24)), generator.integers(0, 3, 24)
    truth = np.eye(3)[:, labels]
    expected = reference(logits, truth, alpha, beta, activation=activation)
    loss = ComboLoss(alpha=alpha, beta=beta, **{activation: True})
    tensors = [torch.tensor(x).reshape(1, 3, 4, 3, 2) for x in (logits, truth)]
    assert float(loss(*tensors)) == pytest.approx(expected, rel=1e-12)
    by_label = ComboLoss(alpha=alpha, beta=beta, to_onehot_y=True, **{activation: True})
    assert float(by_label(tensors[0], torch.tensor(labels).reshape(1, 1, 4, 3, 2))) == pytest.approx(expected, rel=1e-6)


def test_one_channel_is_half_the_binary_cross_entropy_and_monais_dice():
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 1, 5, 4), (torch.rand(2, 1, 5, 4) > 0.6).float()
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
    dice = DiceLoss(sigmoid=True, smooth_nr=1, smooth_dr=1)(logits, truth)
    expected = 0.7 * 0.5 * entropy + 0.3 * dice
    assert float(ComboLoss(alpha=0.7, sigmoid=True)(logits, truth)) == pytest.approx(float(expected), rel=1e-6)


def test_hand_computed_value():
    # p = 3/4 in a voxel of the structure, 1/2 in one outside
    logits, truth = torch.tensor([[[[math.log(3.0), 0.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    entropy = -(0.5 * math.log(3 / 4) + 0.5 * math.log(1 / 2)) / 2
    dice = (2 * 0.75 + 1) / (0.75 + 0.5 + 1 + 1)
    assert float(ComboLoss(sigmoid=True)(logits, truth)) == pytest.approx(0.5 * entropy + 0.5 * (1 - dice), rel=1e-6)


def test_false_positives_cost_more_below_a_beta_of_one_half_and_false_negatives_above():
    truth = torch.tensor([[[[1.0, 0.0]]]])
    false_positive, false_negative = torch.tensor([[[[3.0, 3.0]]]]), torch.tensor([[[[-3.0, -3.0]]]])

    def difference(beta):
        loss = ComboLoss(alpha=1.0, beta=beta, sigmoid=True)
        return float(loss(false_positive, truth) - loss(false_negative, truth))

    assert difference(0.2) > 0 > difference(0.8)
    assert difference(0.5) == pytest.approx(0, abs=1e-6)


def test_alpha_is_the_share_of_the_cross_entropy():
    truth, wrong = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[-50.0, 50.0]]]])
    assert float(ComboLoss(alpha=1.0, sigmoid=True)(wrong, truth)) == pytest.approx(0.5 * 50, rel=1e-6)
    assert float(ComboLoss(alpha=0.0, sigmoid=True)(wrong, truth)) == pytest.approx(1 - 1 / 3, rel=1e-6)


@pytest.mark.parametrize("use", ["softmax", "sigmoid"])
def test_a_sure_mistake_still_has_a_gradient(use):
    logits = torch.tensor([200.0, -200.0, -200.0]).reshape(1, 3, 1, 1).requires_grad_()
    truth = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1)
    ComboLoss(alpha=1.0, **{use: True})(logits, truth).backward()
    assert logits.grad[0, 0] > 0.1
    assert logits.grad[0, 1] < -0.1


def test_shares_outside_0_to_1_are_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        ComboLoss(alpha=1.5)
