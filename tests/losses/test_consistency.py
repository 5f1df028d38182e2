"""ConsistencyLoss: zero for what turns with the image, the squared difference otherwise, and who learns from it."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from pipeline.losses.consistency import ConsistencyLoss


def ask(network):
    return lambda image, other: (network if other is None else other)(image)


@pytest.mark.parametrize("size", [(6, 6), (6, 6, 3), (5, 6, 3)])
def test_a_network_that_turns_with_the_image_costs_nothing(size):
    torch.manual_seed(0)
    image = torch.randn(2, 1, *size)
    pointwise = lambda x: torch.cat([x, -x, x**2], dim=1)  # noqa: E731
    loss = ConsistencyLoss(softmax=True)
    for _ in range(20):
        assert float(loss(pointwise(image), image=image, predict=ask(pointwise))) == pytest.approx(0, abs=1e-12)


def test_the_value_is_the_mean_squared_difference_for_every_turn():
    torch.manual_seed(0)
    image = torch.randn(1, 1, 4, 4)
    lopsided = nn.Conv2d(1, 2, 3, padding=1)
    logits = lopsided(image).detach()
    expected = set()
    for k, mirrored in itertools.product(range(4), (False, True)):
        turn = lambda x, k=k, m=mirrored: torch.rot90(x.flip(2) if m else x, k, (2, 3))  # noqa: E731
        difference = torch.sigmoid(turn(logits)) - torch.sigmoid(lopsided(turn(image)))
        if k or mirrored:
            expected.add(round(float(difference.detach().square().mean()), 6))
    loss = ConsistencyLoss(sigmoid=True)
    found = {round(float(loss(logits, image=image, predict=ask(lopsided))), 6) for _ in range(100)}
    assert found == expected, "all seven turns, and never the one that changes nothing"


def test_unequal_sides_are_never_exchanged_and_flips_may_be_chosen():
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    seen = []
    loss = ConsistencyLoss(axes=[1])
    loss(image, image=image, predict=lambda x, _: seen.append(x) or x)
    assert torch.equal(seen[0], image.flip(3))
    loss = ConsistencyLoss()
    for _ in range(20):
        loss(image, image=image, predict=lambda x, _: seen.append(x) or x)
    assert {tuple(x.shape) for x in seen} == {(1, 1, 3, 4)}


def test_both_sides_learn_or_only_the_student():
    torch.manual_seed(0)
    image = torch.randn(1, 1, 5, 5)
    student, teacher = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(1, 2, 3, padding=1)
    torch.manual_seed(1)
    loss = ConsistencyLoss(softmax=True, teacher=teacher)
    loss(student(image), image=image, predict=ask(student)).backward()
    assert teacher.weight.grad is None
    one_sided = student.weight.grad.clone()
    assert one_sided.abs().max() > 0
    student.zero_grad()
    torch.manual_seed(1)
    ConsistencyLoss(softmax=True)(student(image), image=image, predict=ask(student)).backward()
    assert not torch.equal(student.weight.grad, one_sided)


def test_the_teacher_is_saved_with_the_loss():
    teacher = nn.Conv2d(1, 1, 1)
    assert set(ConsistencyLoss(teacher=teacher).state_dict()) == {"teacher.weight", "teacher.bias"}


def test_noise_is_added_to_what_the_other_side_sees():
    torch.manual_seed(0)
    image, seen = torch.zeros(1, 1, 64, 64), []
    ConsistencyLoss(noise=0.3)(image, image=image, predict=lambda x, _: seen.append(x) or x)
    assert float(seen[0].std()) == pytest.approx(0.3, rel=0.05)


def test_random_turns_come_from_torchs_generator():
    image = torch.randn(1, 1, 4, 4)

    def draws():
        seen = []
        torch.manual_seed(7)
        for _ in range(5):
            ConsistencyLoss()(image, image=image, predict=lambda x, _: seen.append(x) or x)
        return torch.stack(seen)

    assert torch.equal(draws(), draws())
