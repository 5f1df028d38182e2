"""What every loss of pipeline.losses promises alike: shapes, types, reductions, empty and full classes, gradients."""

from __future__ import annotations

import pytest
import torch
from monai.networks import one_hot

from pipeline.losses.active_contour import ActiveContourLoss
from pipeline.losses.combo import ComboLoss
from pipeline.losses.consistency import ConsistencyLoss
from pipeline.losses.distance_penalised_ce import DistancePenalisedCELoss
from pipeline.losses.exponential_logarithmic import ExponentialLogarithmicLoss
from pipeline.losses.mumford_shah import MumfordShahLoss
from pipeline.losses.sensitivity_specificity import SensitivitySpecificityLoss

SUPERVISED = [
    ActiveContourLoss,
    ComboLoss,
    DistancePenalisedCELoss,
    ExponentialLogarithmicLoss,
    SensitivitySpecificityLoss,
]
ALL = [*SUPERVISED, ConsistencyLoss, MumfordShahLoss]
SOFTMAX = {"softmax": True, "to_onehot_y": True}
SIGMOID = {"sigmoid": True}
SIZE = (5, 4, 3)

by_name = pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
supervised_by_name = pytest.mark.parametrize("kind", SUPERVISED, ids=lambda kind: kind.__name__)
both_uses = pytest.mark.parametrize("use", [SOFTMAX, SIGMOID], ids=["softmax", "sigmoid"])


def sample(size=SIZE, classes=3, dtype=torch.float64, use=SOFTMAX, seed=0):
    """Logits (2, classes, ...), a target in the form that `use` asks for, and an image."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, classes, *size, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (2, 1, *size), generator=generator)
    image = torch.randn(2, 1, *size, generator=generator, dtype=torch.float64)
    target = labels if use is SOFTMAX else (torch.rand(2, classes, *size, generator=generator) > 0.5).to(torch.uint8)
    return logits.to(dtype), target, image.to(dtype)


def compute(loss, logits, target, image):
    """The loss with whatever it needs; what a network would say of a turned image stands in for the second pass."""
    if isinstance(loss, MumfordShahLoss):
        return loss(logits, target, image=image)
    if isinstance(loss, ConsistencyLoss):
        torch.manual_seed(1)
        channels = torch.arange(1, logits.shape[1] + 1, dtype=image.dtype).reshape(1, -1, *[1] * (image.ndim - 2))
        return loss(logits, target, image=image, predict=lambda x, network: x * channels)
    return loss(logits, target)


@by_name
@both_uses
@pytest.mark.parametrize("size", [(3, 4), (3, 2, 2)], ids=["2D", "3D"])
def test_gradients_are_those_of_finite_differences(kind, use, size):
    logits, target, image = sample(size, use=use)
    loss = kind(**use)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: compute(loss, x, target, image), (logits,), fast_mode=True)


@by_name
@both_uses
def test_a_slice_costs_the_same_as_a_volume_of_depth_one(kind, use):
    logits, target, image = sample((5, 4), use=use)
    flat = compute(kind(**use), logits, target, image)
    deep = compute(kind(**use), logits[..., None], target[..., None], image[..., None])
    assert float(flat) == pytest.approx(float(deep), rel=1e-12)


@by_name
@both_uses
def test_bfloat16_is_computed_in_float32(kind, use):
    logits, target, image = sample(use=use, dtype=torch.bfloat16)
    rough = compute(kind(**use), logits, target, image)
    exact = compute(kind(**use), logits.double(), target, image.double())
    assert rough.dtype == torch.float32
    assert float(rough) == pytest.approx(float(exact), rel=1e-4)


@by_name
@both_uses
def test_reductions_agree(kind, use):
    logits, target, image = sample(use=use)
    each = compute(kind(reduction="none", **use), logits, target, image)
    assert each.shape[0] == 2
    assert each.shape[2:] == (1, 1, 1)
    assert float(each.mean()) == pytest.approx(float(compute(kind(**use), logits, target, image)))
    assert float(each.sum()) == pytest.approx(float(compute(kind(reduction="sum", **use), logits, target, image)))


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not DistancePenalisedCELoss])  # distances: by item
@both_uses
def test_a_batch_may_count_as_one_volume(kind, use):
    logits, target, image = sample((5, 4), use=use)
    together = compute(kind(batch=True, **use), logits, target, image)
    side_by_side = [torch.cat(tuple(x), dim=1)[None] for x in (logits, target, image)]
    if kind in (ActiveContourLoss, MumfordShahLoss):  # the seam between the two halves has a gradient of its own
        regions = {"spacing": 1e9, "eps": 1e-30}
        together = compute(kind(batch=True, **regions, **use), logits, target, image)
        assert float(together) == pytest.approx(float(compute(kind(**regions, **use), *side_by_side)))
    elif kind is ConsistencyLoss:
        assert float(together) == pytest.approx(float(compute(kind(**use), logits, target, image)))
    else:
        assert float(together) == pytest.approx(float(compute(kind(**use), *side_by_side)))


@by_name
@both_uses
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("scale", [1.0, 1e3], ids=["unsure", "sure"])
def test_empty_and_full_classes_give_finite_losses_and_gradients(kind, use, number, scale):
    logits, target, image = sample(use=use, dtype=torch.float32)
    target = torch.full_like(target, number) if use is SOFTMAX else torch.full_like(target, number % 2)
    logits = (scale * logits).requires_grad_()
    loss = compute(kind(**use), logits, target, image)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


@supervised_by_name
@both_uses
@pytest.mark.parametrize("empty", [False, True], ids=["present", "empty"])
def test_steps_down_the_gradient_lower_the_loss_and_the_truth_costs_least(kind, use, empty):
    logits, target, image = sample(use=use)
    target = torch.zeros_like(target) if empty else target
    loss = kind(**use)
    x = logits.clone().requires_grad_()
    value = compute(loss, x, target, image)
    value.backward()
    before, norm = float(value.detach()), x.grad.norm()
    assert norm > 0
    assert float(compute(loss, x.detach() - 0.01 * x.grad / norm, target, image)) < before
    truth = one_hot(target, 3) if use is SOFTMAX else target
    certain = 40 * (2 * truth.double() - 1)
    right, wrong = (float(compute(loss, x, target, image)) for x in (certain, -certain))
    assert right < before
    assert right < wrong


@supervised_by_name
def test_probabilities_may_be_given_instead_of_logits(kind):
    logits, target, image = sample(use=SOFTMAX)
    given = compute(kind(sigmoid=True), logits, one_hot(target, 3), image)
    p = torch.sigmoid(logits)
    assert float(kind()(p, one_hot(target, 3))) == pytest.approx(float(given))
    assert float(kind(other_act=torch.sigmoid)(logits, one_hot(target, 3))) == pytest.approx(float(given))


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not MumfordShahLoss])  # its regions fill the image
def test_the_background_may_be_left_out(kind):
    logits, target, image = sample(use=SOFTMAX)
    each = compute(kind(reduction="none", **SOFTMAX), logits, target, image)
    inner = compute(kind(reduction="none", include_background=False, **SOFTMAX), logits, target, image)
    if kind is DistancePenalisedCELoss:  # one value for all classes, less the background's share
        assert (inner < each).all()
    elif kind is ExponentialLogarithmicLoss:
        assert inner.shape[1] == 2
    else:
        assert torch.equal(inner, each[:, 1:])


@by_name
def test_weights_multiply_channels(kind):
    logits, target, image = sample(use=SIGMOID)
    each = compute(kind(reduction="none", **SIGMOID), logits, target, image)
    weighted = compute(kind(reduction="none", weight=[1.0, 0.0, 2.0], **SIGMOID), logits, target, image)
    if kind is ExponentialLogarithmicLoss:  # its weights belong to the voxels
        assert (weighted != each).any()
    else:
        assert torch.allclose(weighted, each * torch.tensor([1.0, 0.0, 2.0]).reshape(1, 3, 1, 1, 1))


@by_name
def test_what_does_not_fit_is_refused(kind):
    logits, target, image = sample(use=SOFTMAX)
    with pytest.raises(ValueError, match="sigmoid"):
        kind(sigmoid=True, softmax=True)
    with pytest.raises(ValueError, match="negative"):
        kind(weight=[-1.0], **SOFTMAX)
    if kind in SUPERVISED:
        with pytest.raises(ValueError, match="sigmoid=True"):
            kind(softmax=True)(logits[:, :1], target)
        with pytest.raises(ValueError, match="shape"):
            kind(sigmoid=True)(logits, target)
    if kind is not ExponentialLogarithmicLoss:
        with pytest.raises(ValueError, match="2 weights for 3 channels"):
            compute(kind(weight=[1.0, 1.0], **SIGMOID), logits, one_hot(target, 3), image)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@by_name
@both_uses
def test_a_gpu_computes_the_same(kind, use):
    logits, target, image = sample(use=use, dtype=torch.float32)
    values = [compute(kind(**use), *(x.to(device) for x in (logits, target, image))) for device in ("cpu", "cuda")]
    assert values[1].device.type == "cuda"
    assert float(values[1]) == pytest.approx(float(values[0]), rel=1e-4)
