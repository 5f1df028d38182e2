"""SensitivitySpecificityLoss against its formula, voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.losses.sensitivity_specificity import SensitivitySpecificityLoss


@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_the_formula(share):
    generator = np.random.default_rng(0)
    p, t = generator.random((2, 3, 20)), (generator.random((2, 3, 20)) > 0.7).astype(float)
    expected = np.mean(
        [
            share * sum((b - a) ** 2 * b for a, b in zip(q, s, strict=True)) / s.sum()
            + (1 - share) * sum((b - a) ** 2 * (1 - b) for a, b in zip(q, s, strict=True)) / (1 - s).sum()
            for q, s in zip(p.reshape(-1, 20), t.reshape(-1, 20), strict=True)
        ]
    )
    loss = SensitivitySpecificityLoss(sensitivity_weight=share)
    found = loss(torch.tensor(p).reshape(2, 3, 5, 2, 2), torch.tensor(t).reshape(2, 3, 5, 2, 2))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_hand_computed_value_and_empty_terms():
    p, loss = torch.tensor([[[[0.5, 0.25]]]]), SensitivitySpecificityLoss(sensitivity_weight=0.2)
    assert float(loss(p, torch.tensor([[[[1.0, 0.0]]]]))) == pytest.approx(0.2 * 0.25 + 0.8 * 0.0625)
    assert float(loss(p, torch.zeros(1, 1, 1, 2))) == pytest.approx(0.8 * (0.25 + 0.0625) / 2)
    assert float(loss(p, torch.ones(1, 1, 1, 2))) == pytest.approx(0.2 * (0.25 + 0.5625) / 2)


def test_the_size_of_a_structure_does_not_count():
    small, large = torch.zeros(1, 1, 20, 20), torch.zeros(1, 1, 20, 20)
    small[..., :1, :2], large[..., :10, :20] = 1, 1
    loss = SensitivitySpecificityLoss(sensitivity_weight=1.0)
    assert float(loss(0.5 * small, small)) == pytest.approx(float(loss(0.5 * large, large)))


def test_a_share_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match="between 0 and 1"):
        SensitivitySpecificityLoss(sensitivity_weight=-0.1)
