"""What the three Hausdorff losses promise alike: types, reductions, spacing, empty, full and single-voxel classes."""

from __future__ import annotations

import pytest
import torch
from monai.networks import one_hot

from pipeline.losses import HausdorffCVLoss, HausdorffDTLoss, HausdorffERLoss

KINDS = {
    "dt": HausdorffDTLoss,
    "er": HausdorffERLoss,
    "cv": lambda **settings: HausdorffCVLoss(
        **{"radii": [n * min(_listed(settings.get("spacing", 1.0))) for n in (2, 4)], **settings}
    ),
}
SOFTMAX = {"softmax": True, "to_onehot_y": True, "include_background": False}

each = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def _listed(spacing):
    return list(spacing) if isinstance(spacing, (list, tuple)) else [spacing]


@pytest.fixture
def sample(balls):
    """Confident logits (2, 3, ...) of balls beside the true ones, and the true label numbers."""

    def draw(size=(14, 12, 6), dtype=torch.float32):
        labels = torch.stack([balls(size, [4, 2]), balls(size, [5, 3], centre=[5] * len(size))]).long()
        noise = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        logits = 6 * one_hot(labels.roll((3, 2), (2, 3)), 3) - 3 + noise
        return logits.to(dtype), labels

    return draw


@each
def test_a_worse_prediction_costs_more_and_a_perfect_one_nothing(kind, sample):
    logits, labels = sample()
    loss = kind(**SOFTMAX)
    perfect = 60.0 * one_hot(labels, 3)
    near = 6 * one_hot(labels.roll(1, 2), 3) - 3
    assert float(loss(perfect, labels)) == pytest.approx(0, abs=1e-6)
    assert 0 < float(loss(near, labels)) < float(loss(logits, labels))


@each
def test_reductions(kind, sample):
    logits, labels = sample()
    parts = kind(**SOFTMAX, reduction="none")(logits, labels)
    assert parts.shape == (2, 2, 1, 1, 1)
    assert float(kind(**SOFTMAX)(logits, labels)) == pytest.approx(float(parts.mean()), rel=1e-5)
    assert float(kind(**SOFTMAX, reduction="sum")(logits, labels)) == pytest.approx(float(parts.sum()), rel=1e-5)
    together = kind(**SOFTMAX, reduction="none", batch=True)(logits, labels)
    torch.testing.assert_close(together, parts.mean(0, keepdim=True), rtol=1e-5, atol=1e-8)
    single = [kind(**SOFTMAX, reduction="none")(logits[[i]], labels[[i]]) for i in range(2)]
    torch.testing.assert_close(torch.cat(single), parts, rtol=1e-5, atol=1e-8)
    weighted = kind(**SOFTMAX, reduction="none", weight=[2.0, 0.0])(logits, labels)
    torch.testing.assert_close(weighted, parts * torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1, 1))


@each
def test_background_is_one_more_channel(kind, sample):
    logits, labels = sample()
    without = kind(**SOFTMAX, reduction="none")(logits, labels)
    with_it = kind(**{**SOFTMAX, "include_background": True}, reduction="none")(logits, labels)
    assert with_it.shape[1] == 3
    torch.testing.assert_close(with_it[:, 1:], without, rtol=1e-5, atol=1e-7)


@each
def test_labels_and_channels_are_the_same_truth(kind, sample):
    logits, labels = sample()
    probabilities = torch.softmax(logits, 1)
    plain = kind(include_background=False)(probabilities, one_hot(labels, 3))
    assert float(kind(**SOFTMAX)(logits, labels)) == pytest.approx(float(plain), rel=1e-5)


@each
def test_bfloat16_is_computed_in_float32(kind, sample):
    logits, labels = sample(dtype=torch.bfloat16)
    rough = logits.requires_grad_()
    value = kind(**SOFTMAX)(rough, labels)
    assert value.dtype == torch.float32
    value.backward()
    assert rough.grad.dtype == torch.bfloat16
    exact = kind(**SOFTMAX)(logits.detach().double(), labels)
    assert value.item() == pytest.approx(float(exact), rel=1e-4)


@each
def test_a_slice_costs_the_same_as_a_volume_of_depth_one(kind, sample):
    logits, labels = sample((14, 12))
    flat = kind(**SOFTMAX, spacing=(1.5, 2.0))(logits, labels)
    deep = kind(**SOFTMAX, spacing=(1.5, 2.0, 1.5))(logits[..., None], labels[..., None])
    assert float(flat) == pytest.approx(float(deep), rel=1e-5)


@each
def test_millimetres(kind, sample):
    logits, labels = sample()
    unit = float(kind(**SOFTMAX, alpha=1.5)(logits, labels))
    tripled = float(kind(**SOFTMAX, alpha=1.5, spacing=3.0)(logits, labels))
    assert tripled == pytest.approx(3**1.5 * unit, rel=1e-5)
    moved = kind(**SOFTMAX, spacing=(5, 1, 2))(logits.permute(0, 1, 4, 2, 3), labels.permute(0, 1, 4, 2, 3))
    assert float(moved) == pytest.approx(float(kind(**SOFTMAX, spacing=(1, 2, 5))(logits, labels)), rel=1e-5)
    with pytest.raises(ValueError, match="spacing"):
        kind(**SOFTMAX, spacing=(1, 2))(logits, labels)


@each
@pytest.mark.parametrize("size", [(6, 5), (6, 5, 3)], ids=["2D", "3D"])
@pytest.mark.parametrize("truth", ["empty", "full", "one voxel"])
@pytest.mark.parametrize("pred", ["empty", "full", "one voxel", "undecided"])
def test_empty_full_and_single_voxel_masks_stay_finite(kind, size, truth, pred):
    voxel = torch.zeros(1, 1, *size)
    voxel[0, 0, 2, 2] = 1
    masks = {"empty": torch.zeros_like(voxel), "full": torch.ones_like(voxel), "one voxel": voxel}
    logits = (24 * masks.get(pred, torch.full_like(voxel, 0.5)) - 12).requires_grad_()
    value = kind(sigmoid=True)(logits, masks[truth])
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()
    if pred == truth:
        assert value.item() == pytest.approx(0, abs=1e-6)


def test_what_no_distance_can_tell_is_left_to_the_other_loss():
    wrong, nothing = torch.full((1, 1, 6, 6), 0.45), torch.zeros(1, 1, 6, 6)
    assert float(HausdorffDTLoss()(wrong, nothing)) == 0
    assert float(HausdorffERLoss()(wrong, nothing)) == 0
    assert float(HausdorffCVLoss(radii=[2])(wrong, nothing)) > 0


@each
def test_shapes_that_do_not_fit_are_refused(kind):
    with pytest.raises(ValueError, match="shape"):
        kind()(torch.rand(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))
