"""Optimizers and schedules that go on from a saved state, with the settings of the configuration that resumes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

OF_THE_SCHEDULE = ("params", "lr", "initial_lr")  # of an optimizer's groups: not settings that stay
SHAPE = ("base_lrs", "total_iters", "power")  # what a polynomial decay is made of


def load_progress(item: Any, state: Mapping[str, Any]) -> None:
    """Load the state of whatever has one; of optimizers and schedules only what a training has come to.

    An optimizer keeps the weight decay (betas, momentum, ...) that it was made with. A schedule keeps its horizon and
    its first learning rate; where these are others than when the state was saved, the rate becomes the one that the new
    schedule has at this epoch.

    Raises:
        KeyError, ValueError, RuntimeError: the state is none of this item's.
    """
    if isinstance(item, Optimizer):
        _load_optimizer(item, state)
    elif isinstance(item, LRScheduler):
        _load_schedule(item, state)
    else:
        item.load_state_dict(state)


def _load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    settings = [{k: v for k, v in group.items() if k not in OF_THE_SCHEDULE} for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)


def _load_schedule(schedule: LRScheduler, state: Mapping[str, Any]) -> None:
    shape = {name: getattr(schedule, name) for name in SHAPE if hasattr(schedule, name)}
    schedule.load_state_dict(state)
    if all(getattr(schedule, name) == value for name, value in shape.items()):
        return
    vars(schedule).update(shape)
    if hasattr(schedule, "_get_closed_form_lr"):
        rates = schedule._get_closed_form_lr()
        for group, rate, first in zip(schedule.optimizer.param_groups, rates, schedule.base_lrs, strict=True):
            group.update(lr=rate, initial_lr=first)
        schedule._last_lr = list(rates)
