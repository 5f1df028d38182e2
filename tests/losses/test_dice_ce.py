"""DiceCELoss: MONAI's values where MONAI is right, the binary cross entropy where structures overlap."""

from __future__ import annotations

import monai.losses
import pytest
import torch
import torch.nn.functional as F

from pipeline.losses.dice_ce import DiceCELoss


def test_softmax_and_single_channels_are_monais():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 5, 5, 3), torch.randint(0, 4, (2, 1, 5, 5, 3))
    options = {"softmax": True, "to_onehot_y": True, "squared_pred": True, "lambda_dice": 0.5, "batch": True}
    assert torch.equal(DiceCELoss(**options)(logits, labels), monai.losses.DiceCELoss(**options)(logits, labels))
    weight = torch.tensor([0.1, 1.0, 2.0, 3.0])
    theirs = monai.losses.DiceCELoss(softmax=True, to_onehot_y=True, weight=weight)(logits, labels)
    assert torch.equal(DiceCELoss(softmax=True, to_onehot_y=True, weight=[0.1, 1.0, 2.0, 3.0])(logits, labels), theirs)
    one, truth = logits[:, :1], (labels > 1).float()
    assert torch.equal(DiceCELoss(sigmoid=True)(one, truth), monai.losses.DiceCELoss(sigmoid=True)(one, truth))


def test_overlapping_structures_have_a_binary_cross_entropy_each():
    torch.manual_seed(1)
    logits, truth = torch.randn(2, 2, 5, 5), (torch.rand(2, 2, 5, 5) > 0.5).to(torch.uint8)
    dice = monai.losses.DiceLoss(sigmoid=True)(logits, truth)
    expected = 2 * F.binary_cross_entropy_with_logits(logits, truth.float()) + 3 * dice
    found = DiceCELoss(sigmoid=True, lambda_ce=2, lambda_dice=3)(logits, truth)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
    monais = monai.losses.DiceCELoss(sigmoid=True, lambda_ce=2, lambda_dice=3)(logits, truth)
    assert float(monais) != pytest.approx(float(expected), rel=0.01), "MONAI does it right now: drop this class"


def test_weights_belong_to_channels_whatever_the_shape():
    torch.manual_seed(2)
    logits, truth = torch.randn(2, 2, 3, 4, 5), (torch.rand(2, 2, 3, 4, 5) > 0.5).float()
    expected = sum(
        F.binary_cross_entropy_with_logits(logits[:, c], truth[:, c], pos_weight=torch.tensor(w)) / 2
        for c, w in enumerate([2.0, 5.0])
    )
    found = DiceCELoss(sigmoid=True, lambda_dice=0, weight=[2.0, 5.0])(logits, truth)
    assert float(found) == pytest.approx(float(expected), rel=1e-6)
