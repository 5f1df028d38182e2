"""HausdorffDTLoss against MONAI's, against distances by trying all pairs, and by hand."""

from __future__ import annotations

from itertools import product

import monai.losses
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks import one_hot

from pipeline.losses import HausdorffDTLoss
from pipeline.losses.distance_field import distance_field

ONE_EACH = {"softmax": {"softmax": True, "to_onehot_y": True}, "sigmoid": {"sigmoid": True}}


def sample(size, *, use="softmax", items=2, classes=3, seed=0):
    """Logits (items, classes, ...) and a target in the form of `use`."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(items, classes, *size, generator=generator)
    labels = torch.randint(0, classes, (items, 1, *size), generator=generator)
    return logits, labels if use == "softmax" else (one_hot(labels, classes) > 0).float()


def value_and_gradient(loss, logits, target):
    logits = logits.clone().requires_grad_()
    value = loss(logits, target)
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach(), gradient


@pytest.mark.parametrize("use", ONE_EACH)
@pytest.mark.parametrize("size", [(9, 11), (7, 9, 5)], ids=["2D", "3D"])
def test_equals_monai_at_unit_spacing(use, size):
    logits, target = sample(size, use=use)
    for background, batch, reduction, alpha in product(
        (True, False), (True, False), ("mean", "sum", "none"), (2.0, 1.3)
    ):
        settings = {**ONE_EACH[use], "include_background": background, "batch": batch, "reduction": reduction}
        ours = value_and_gradient(HausdorffDTLoss(alpha, **settings), logits, target)
        theirs = value_and_gradient(monai.losses.HausdorffDTLoss(alpha, **settings), logits, target)
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.shape == other.shape
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-8)


def test_takes_monais_arguments_by_their_names():
    logits, labels = sample((6, 7))
    named = {"include_background": True, "to_onehot_y": True, "softmax": True, "reduction": "sum", "batch": True}
    ours, theirs = HausdorffDTLoss(3.0, **named), monai.losses.HausdorffDTLoss(3.0, **named)
    assert float(ours(logits, labels)) == pytest.approx(float(theirs(logits, labels)), rel=1e-5)
    defaults = (
        HausdorffDTLoss(to_onehot_y=True, softmax=True),
        monai.losses.HausdorffDTLoss(to_onehot_y=True, softmax=True),
    )
    assert float(defaults[0](logits, labels)) == pytest.approx(float(defaults[1](logits, labels)), rel=1e-5)


@pytest.mark.parametrize("truth", ["empty", "full", "mixed"])
@pytest.mark.parametrize("pred", ["empty", "full", "mixed"])
def test_equals_monai_where_a_mask_is_empty_or_full(truth, pred):
    generator = torch.Generator().manual_seed(1)
    fill = {"empty": -0.4, "full": 0.4, "mixed": 0.0}
    p, q = (
        torch.rand(1, 1, 6, 5, 4, generator=generator).mul(0.5).add(0.25 + fill[name]).clamp(0, 1)
        for name in (truth, pred)
    )
    ours = value_and_gradient(HausdorffDTLoss(), q, (p > 0.5).float())
    with pytest.warns(UserWarning, match="single channel"):
        theirs = value_and_gradient(monai.losses.HausdorffDTLoss(), q, (p > 0.5).float())
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8)


def test_value_by_hand():
    truth = torch.tensor([1.0, 1.0, 0.0, 0.0]).reshape(1, 1, 1, 4)
    pred = torch.tensor([1.0, 0.0, 0.0, 0.0]).reshape(1, 1, 1, 4)
    # only the second voxel is wrong: one voxel (2 mm) from the truth's outside and from the prediction
    assert float(HausdorffDTLoss(spacing=(7, 2))(pred, truth)) == pytest.approx((2**2 + 2**2) / 4)
    assert float(HausdorffDTLoss(3.0, spacing=(7, 2))(pred, truth)) == pytest.approx((2**3 + 2**3) / 4)
    assert float(HausdorffDTLoss(spacing=(7, 2), two_sided=False)(pred, truth)) == pytest.approx(2**2 / 4)
    assert float(HausdorffDTLoss(spacing=2, weight=3.0)(pred, truth)) == pytest.approx(3 * 2)


def test_formula_in_millimetres(distances_by_pairs):
    spacing, alpha = (1.5, 0.7, 4.0), 1.5
    logits, labels = sample((5, 6, 4), items=1)
    p = one_hot(labels, 3).double().numpy()[0, 1:]
    q = torch.softmax(logits.double(), 1).numpy()[0, 1:]
    expected = [
        np.mean((a - b) ** 2 * sum(distances_by_pairs(mask > 0.5, spacing) ** alpha for mask in (a, b)))
        for a, b in zip(p, q, strict=True)
    ]
    found = HausdorffDTLoss(alpha, spacing=spacing, reduction="none", **ONE_EACH["softmax"])(logits.double(), labels)
    np.testing.assert_allclose(found.flatten(), expected, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    bits=st.lists(st.booleans(), min_size=24, max_size=24),
    spacing=st.tuples(*[st.floats(0.3, 12)] * 3),
    shape=st.sampled_from([(24, 1, 1), (1, 4, 6), (2, 3, 4), (4, 6), (1, 24)]),
)
def test_distance_fields_are_those_of_all_pairs(distances_by_pairs, bits, spacing, shape):
    mask = np.array(bits).reshape(shape)
    spacing = spacing[: mask.ndim]
    exact = distances_by_pairs(mask, spacing)
    masks = torch.from_numpy(np.stack([mask, ~mask]))[None]
    for side in distance_field(masks, spacing)[0]:
        np.testing.assert_allclose(side, exact, rtol=1e-4, atol=1e-4)
    backwards = torch.from_numpy(np.asfortranarray(mask))[None, None]
    np.testing.assert_allclose(distance_field(backwards, spacing)[0, 0], exact, rtol=1e-4, atol=1e-4)
    for side in distance_field(masks, spacing, squared=True)[0]:
        np.testing.assert_allclose(side, exact**2, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("two_sided", [True, False])
def test_gradients_are_those_of_finite_differences(two_sided):
    logits, labels = sample((3, 2, 2), items=1)  # no probability so close to 0.5 that a difference changes the mask
    loss = HausdorffDTLoss(softmax=True, to_onehot_y=True, spacing=(1, 2, 5), two_sided=two_sided)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), (logits.double().requires_grad_(),))


def test_a_given_field_replaces_the_truths_own():
    logits, labels = sample((8, 7, 4))
    for background, use in product((True, False), ONE_EACH.values()):
        target = labels if "softmax" in use else one_hot(labels, 3)
        field = distance_field(one_hot(labels, 3), (1, 2, 5))
        loss = HausdorffDTLoss(include_background=background, spacing=(1, 2, 5), **use)
        expected = value_and_gradient(loss, logits, target)
        for given_field in (field, field if background else field[:, 1:]):
            found = value_and_gradient(lambda x, y, f=given_field, a=loss: a(x, y, f), logits, target)
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_field_may_know_boundaries_outside_the_patch():
    volume = torch.zeros(1, 1, 1, 10)
    volume[..., 0] = 1
    field = distance_field(volume)
    patch, pred = volume[..., 4:], torch.zeros(1, 1, 1, 6)
    pred[..., 1] = 0.4  # an addition 5 voxels from the object, of which the patch shows nothing
    assert float(HausdorffDTLoss()(pred, patch)) == 0
    assert float(HausdorffDTLoss()(pred, patch, field[..., 4:])) == pytest.approx(0.4**2 * 5**2 / 6)


def test_no_distance_transform_is_left_with_a_field_and_one_side(monkeypatch):
    import pipeline.losses.hausdorff_dt as module

    logits, labels = sample((8, 7))
    field = distance_field(one_hot(labels, 3))
    monkeypatch.setattr(module, "distance_field", lambda *args, **kwargs: pytest.fail("computed"))
    HausdorffDTLoss(softmax=True, to_onehot_y=True, two_sided=False)(logits, labels, field)


def test_a_field_that_is_not_the_truths_is_refused(balls):
    labels = balls((20, 20), [6, 3], centre=(8, 9))[None].long()
    logits = torch.zeros(1, 3, 20, 20)
    field = distance_field(one_hot(labels, 3)[:, 1:], 1.5)
    loss = HausdorffDTLoss(softmax=True, to_onehot_y=True, spacing=1.5)
    loss(logits, labels, field)
    loss(logits, labels, field.half())
    loss(logits[..., 4:], labels[..., 4:], field[..., 4:])
    loss(logits, labels.flip(2), field.flip(2))
    with pytest.raises(ValueError, match="does not fit the label"):
        loss(logits, labels.flip(2), field)
    with pytest.raises(ValueError, match="does not fit the label"):
        HausdorffDTLoss(softmax=True, to_onehot_y=True)(logits, labels, field)
    with pytest.raises(ValueError, match="does not fit the label"):
        loss(logits, labels, field.flip(1))
    zoomed = torch.nn.functional.interpolate(field, scale_factor=2, mode="bilinear")
    with pytest.raises(ValueError, match="does not fit the label"):
        loss(torch.zeros(1, 3, 40, 40), labels.repeat_interleave(2, 2).repeat_interleave(2, 3), zoomed)
    with pytest.raises(ValueError, match="shape"):
        loss(logits, labels, field[..., 1:])
