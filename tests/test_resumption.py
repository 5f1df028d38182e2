"""What a resumed training takes from its saved state, and what from its configuration."""

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR, PolynomialLR

from pipeline.resumption import load_progress


def parts(*, lr=0.1, weight_decay=0.01, epochs=10, steps=0):
    """An optimizer and its schedule after some epochs of one step each."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=lr, weight_decay=weight_decay)
    schedule = PolynomialLR(optimizer, total_iters=epochs, power=0.9)
    for _ in range(steps):
        weight.grad = torch.ones(3)
        optimizer.step()
        schedule.step()
    return optimizer, schedule


def resumed(saved, **settings):
    optimizer, schedule = parts(**settings)
    load_progress(optimizer, saved[0].state_dict())
    load_progress(schedule, saved[1].state_dict())
    return optimizer, schedule


def rate(optimizer):
    return optimizer.param_groups[0]["lr"]


def test_with_the_same_settings_nothing_is_touched():
    saved = parts(steps=4)
    optimizer, schedule = resumed(saved)
    assert rate(optimizer) == rate(saved[0]), "to the last bit"
    schedule.step()
    saved[1].step()
    assert rate(optimizer) == rate(saved[0])


@pytest.mark.parametrize("done", [4, 10])
def test_more_epochs_decay_over_all_of_them(done):
    """Also after the last one, when the rate was 0."""
    optimizer, schedule = resumed(parts(steps=done), epochs=20)
    for epoch in range(done, 20):
        assert rate(optimizer) == pytest.approx(0.1 * (1 - epoch / 20) ** 0.9)
        optimizer.step()
        schedule.step()
    assert rate(optimizer) == 0


def test_another_learning_rate_and_weight_decay_take_effect():
    saved = parts(steps=4)
    optimizer, schedule = resumed(saved, lr=0.001, weight_decay=0.5)
    assert rate(optimizer) == pytest.approx(0.001 * 0.6**0.9)
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    schedule.step()
    assert rate(optimizer) == pytest.approx(0.001 * 0.5**0.9)


def test_what_was_learned_comes_from_the_state():
    saved = parts(steps=4)
    optimizer, schedule = resumed(saved, lr=0.001)
    assert schedule.last_epoch == 4
    for name, value in saved[0].state_dict()["state"][0].items():
        assert torch.equal(optimizer.state_dict()["state"][0][name], value)


def test_a_schedule_of_another_kind_goes_on_as_it_was():
    optimizer, _ = parts()
    schedule = ExponentialLR(optimizer, gamma=0.5)
    for _ in range(3):
        optimizer.step()
        schedule.step()
    other, _ = parts()
    fresh = ExponentialLR(other, gamma=0.5)
    load_progress(other, optimizer.state_dict())
    load_progress(fresh, schedule.state_dict())
    assert (rate(other), fresh.last_epoch) == (rate(optimizer), 3)


def test_anything_else_is_loaded_by_itself():
    module, other = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    load_progress(other, module.state_dict())
    assert torch.equal(other.weight, module.weight)
