"""HausdorffERLoss against a loop over the voxels, and by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from pipeline.losses import HausdorffERLoss
from pipeline.losses.hausdorff_er import erosion_steps


def by_loops(error, *, alpha, steps, step):
    """The loss of one channel of errors, voxel by voxel; `steps` names the axes of each erosion."""
    total = np.zeros(error.shape)
    for k, axes in enumerate(steps, start=1):
        eroded = np.zeros(error.shape)
        for index in product(*map(range, error.shape)):
            around = [error[index]]
            for axis, side in product(axes, (-1, 1)):
                other = list(index)
                other[axis] += side
                inside = 0 <= other[axis] < error.shape[axis]
                around.append(error[tuple(other)] if inside else 0.0)
            eroded[index] = max(0.0, 2 * np.mean(around) - 1)
        error = eroded
        total += (k * step) ** alpha * error
    return total.mean()


@pytest.mark.parametrize(
    ("size", "spacing", "steps"),
    [
        ((9, 8), 1.0, [(0, 1)] * 5),
        ((7, 6, 5), 1.0, [(0, 1, 2)] * 5),
        ((7, 6, 5), (1.5, 1.5, 4.0), [(0, 1), (0, 1), (0, 1, 2), (0, 1), (0, 1)]),
        ((7, 6, 5), (3.0, 2.0, 2.0), [(1, 2), (0, 1, 2), (0, 1, 2), (1, 2), (0, 1, 2)]),
    ],
    ids=["2D", "3D", "thick slices", "first axis coarse"],
)
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_equals_a_loop_over_the_voxels(size, spacing, steps, share):
    generator = torch.Generator().manual_seed(0)
    wrong = torch.rand(2, 2, *size, generator=generator) < share
    truth = torch.zeros(2, 2, *size, dtype=torch.float64)
    pred = (wrong * torch.rand(2, 2, *size, generator=generator).add(3).div(4)).double()
    loss = HausdorffERLoss(alpha=1.5, erosions=5, spacing=spacing, reduction="none")
    step = np.min(spacing)
    expected = [by_loops(e, alpha=1.5, steps=steps, step=step) for e in (pred**2).flatten(0, 1).numpy()]
    assert max(expected) > 0
    np.testing.assert_allclose(loss(pred, truth).flatten(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [(11, 10), (9, 9, 9)], ids=["2D", "3D"])
def test_errors_just_below_the_threshold_count_beside_one_above_it(size):
    """Errors of 0.49 all around: the erosion is positive outside the box of the errors above 0.5, too."""
    pred = torch.full((1, 1, *size), 0.7, dtype=torch.float64)
    pred[(0, 0, *(slice(4, 6) for _ in size))] = 1
    truth, axes = torch.zeros_like(pred), tuple(range(len(size)))
    expected = by_loops((pred[0, 0] ** 2).numpy(), alpha=2, steps=[axes] * 3, step=1)
    assert float(HausdorffERLoss(erosions=3)(pred, truth)) == pytest.approx(expected, rel=1e-9)
    pred.requires_grad_()
    small = torch.autograd.grad(HausdorffERLoss(erosions=1)(pred, truth), pred)[0][0, 0]
    assert float(small[(3, 4, 4)[: len(size)]]) > 0
    assert float(small[(2, 4, 4)[: len(size)]]) > 0
    assert float(small[(1, 4, 4)[: len(size)]]) == 0


def test_value_by_hand():
    pred = torch.zeros(1, 1, 5, 5)
    pred[..., 1:4, 1:4] = 1
    truth = torch.zeros(1, 1, 5, 5)
    # erosion 1: middle 1, its four neighbours 2*4/5-1 = 0.6, the corners 2*3/5-1 = 0.2
    # erosion 2: middle 2*(1+4*0.6)/5-1 = 0.36, nothing else; erosion 3: nothing
    expected = (1**2 * (1 + 4 * 0.6 + 4 * 0.2) + 2**2 * 0.36) / 25
    assert float(HausdorffERLoss()(pred, truth)) == pytest.approx(expected)
    assert float(HausdorffERLoss()(1 - pred, 1 - truth)) == pytest.approx(expected)
    assert float(HausdorffERLoss(spacing=2)(pred, truth)) == pytest.approx(2**2 * expected)
    assert float(HausdorffERLoss(erosions=1)(pred, truth)) == pytest.approx((1 + 4 * 0.6 + 4 * 0.2) / 25)


def test_slices_far_apart_are_eroded_as_often_as_the_millimetres_say():
    steps = erosion_steps((9, 9, 9), (1.5, 1.5, 10.0), 14)
    assert [k for k, axes in enumerate(steps, start=1) if 4 in axes] == [7, 14]  # 10.5 and 21 mm
    assert all(axes[:2] == (2, 3) for axes in steps)
    assert erosion_steps((9, 9), (0.7, 2.1), 3)[2] == (2, 3)  # 3 * 0.7 / 2.1 is a little below 1 in floating point
    assert erosion_steps((9, 9, 1), 1.0, 2) == [(2, 3), (2, 3)]


@pytest.mark.parametrize("spacing", [1.0, (1, 1, 2)])
def test_gradients_are_those_of_finite_differences(spacing):
    generator = torch.Generator().manual_seed(3)
    logits = (3 + 2 * torch.rand(1, 1, 4, 4, 3, generator=generator)).double()  # wrong almost everywhere
    truth = torch.zeros(1, 1, 4, 4, 3)
    loss = HausdorffERLoss(sigmoid=True, erosions=4, spacing=spacing)
    first = HausdorffERLoss(sigmoid=True, erosions=1, spacing=spacing)
    assert float(loss(logits, truth)) > 1.2 * float(first(logits, truth)) > 0
    assert torch.autograd.gradcheck(lambda x: loss(x, truth), (logits.requires_grad_(),))


def test_gradients_never_pull_the_wrong_way(balls):
    truth = balls((24, 24, 8), [7])[None].float()
    pred = balls((24, 24, 8), [7], centre=(15, 9, 3.5))[None] * 0.96 + 0.02
    pred = pred.float().requires_grad_()
    HausdorffERLoss()(pred, truth).backward()
    assert float(pred.grad.abs().max()) > 0
    assert bool((pred.grad[truth == 0] >= 0).all())  # lowering what was added ...
    assert bool((pred.grad[truth == 1] <= 0).all())  # ... and raising what was left out lowers the loss


def test_a_few_voxels_wear_off_and_a_deep_error_counts():
    truth = torch.zeros(1, 1, 24, 24, 24)
    cluster, cube = truth.clone(), truth.clone()
    cluster[..., 8:10, 8:10, 8:10] = 1
    cube[..., 4:20, 4:20, 4:20] = 1
    shallow, deep = (HausdorffERLoss(reduction="sum")(pred, truth) for pred in (cluster, cube))
    assert 0 < float(shallow) * 24**3 < 8 * 0.2  # each of the 8 voxels 2*4/7-1 = 1/7 once, then nothing
    assert float(deep) / 16**3 > 50 * float(shallow) / 8


def test_no_erosion_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        HausdorffERLoss(erosions=0)
