"""HausdorffCVLoss against direct sums over balls, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from pipeline.losses import HausdorffCVLoss
from pipeline.losses.hausdorff_cv import ball


def direct(p, q, *, alpha, radii, spacing):
    """The formula of the paper for one channel, with a direct convolution for each ball."""

    def share(x):
        return np.maximum(x - 0.5, 0)

    added, left_out = (p - q) ** 2 * q, (p - q) ** 2 * p
    total = np.zeros(p.shape)
    for radius in radii:
        reach = [int(radius // step) for step in spacing]
        offsets = np.meshgrid(*(np.arange(-n, n + 1) * s for n, s in zip(reach, spacing, strict=True)), indexing="ij")
        kernel = (sum(o.astype(float) ** 2 for o in offsets) <= radius**2 + 1e-9).astype(float)
        kernel /= kernel.sum()
        in_p, in_q = (convolve(x, kernel, mode="constant") for x in (p, q))
        total += radius**alpha * (share(1 - in_p) + share(in_q)) * added
        total += radius**alpha * (share(in_p) + share(1 - in_q)) * left_out
    return total.mean()


@pytest.mark.parametrize(
    ("size", "spacing", "radii"),
    [
        ((13, 11), (1.0, 1.0), (1, 2, 3)),
        ((9, 8, 6), (1.0, 1.0, 1.0), (1, 2, 4)),
        ((12, 10, 4), (1.5, 1.5, 5.0), (3, 5, 6)),
        ((5, 4, 3), (1.0, 1.0, 1.0), (7,)),
    ],
    ids=["2D", "3D", "thick slices", "balls larger than the volume"],
)
def test_equals_direct_sums_over_the_balls(size, spacing, radii):
    generator = torch.Generator().manual_seed(0)
    truth = (torch.rand(2, 2, *size, generator=generator) > 0.3).double()
    pred = torch.rand(2, 2, *size, generator=generator).double()
    pairs = zip(truth.flatten(0, 1).numpy(), pred.flatten(0, 1).numpy(), strict=True)
    expected = [direct(p, q, alpha=1.5, radii=radii, spacing=spacing) for p, q in pairs]
    loss = HausdorffCVLoss(alpha=1.5, radii=radii, spacing=spacing, reduction="none")
    np.testing.assert_allclose(loss(pred, truth).flatten(), expected, rtol=1e-9)
    np.testing.assert_allclose(loss(pred.float(), truth).flatten(), expected, rtol=1e-4)


def test_value_by_hand():
    truth, pred = torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3)
    truth[..., 1, 1] = 1
    # the missed voxel: no prediction in its disc (1 - 0.5), one fifth of its disc is truth (nothing)
    assert float(HausdorffCVLoss(radii=[1])(pred, truth)) == pytest.approx(0.5 / 9, rel=1e-5)
    assert float(HausdorffCVLoss(radii=[2], spacing=2)(pred, truth)) == pytest.approx(4 * 0.5 / 9, rel=1e-5)
    assert float(HausdorffCVLoss(radii=[1, 1])(pred, truth)) == pytest.approx(2 * 0.5 / 9, rel=1e-5)
    # the added voxel: no truth in its disc
    assert float(HausdorffCVLoss(radii=[1])(truth, pred)) == pytest.approx(0.5 / 9, rel=1e-5)


def test_balls_are_round_in_millimetres():
    assert ball(2, (1, 1)).shape == (5, 5)
    assert np.count_nonzero(ball(2, (1, 1))) == 13
    assert ball(9, (1.5, 1.5, 10)).shape == (13, 13, 1)
    thick = ball(10, (5, 5, 10))
    assert thick.shape == (5, 5, 3)
    assert [np.count_nonzero(thick[..., z]) for z in range(3)] == [1, 13, 1]
    assert thick.sum() == pytest.approx(1)
    assert ball(0.3, (0.1, 0.1)).shape == (7, 7)  # 0.3 / 0.1 is a little below 3 in floating point


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 1, 4, 3, 2, generator=generator).double().requires_grad_()
    truth = (torch.rand(1, 1, 4, 3, 2, generator=generator) > 0.4).float()
    loss = HausdorffCVLoss(radii=(1, 2), sigmoid=True)
    assert torch.autograd.gradcheck(lambda x: loss(x, truth), (logits,))


def test_an_error_far_from_the_object_costs_more_than_one_beside_it(balls):
    truth = balls((40, 40), [8], centre=(12, 12))[None].float()
    near = balls((40, 40), [4], centre=(12, 22))[None].float()
    far = balls((40, 40), [4], centre=(30, 30))[None].float()
    costs = []
    for blob in (near, far):
        pred = torch.maximum(truth, blob)
        costs.append(float(HausdorffCVLoss()(pred, truth)) / float((pred - truth).sum()))
    assert costs[1] > 1.2 * costs[0]


def test_other_sizes_and_types_get_their_own_balls():
    loss = HausdorffCVLoss(radii=[2])
    sizes_and_types = [
        ((8, 8), torch.float64),
        ((9, 8), torch.float64),
        ((9, 8), torch.float32),
        ((8, 8, 3), torch.float32),
    ]
    for size, kind in sizes_and_types:
        pred = torch.rand(1, 1, *size, dtype=kind)
        truth = (torch.rand(1, 1, *size) > 0.5).float()
        for _ in range(2):  # from the second call on the balls are kept
            assert float(loss(pred, truth)) == float(HausdorffCVLoss(radii=[2])(pred, truth))


@pytest.mark.parametrize("radii", [(), (3, 0)])
def test_radii_that_are_no_radii_are_refused(radii):
    with pytest.raises(ValueError, match="radii"):
        HausdorffCVLoss(radii=radii)
