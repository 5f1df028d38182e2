"""Several losses as one: weights, warm-up, stages, and terms balanced against each other from epoch to epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from pipeline.errors import DataError, Problem
from pipeline.launch import attempt
from pipeline.losses.common import ImageLoss
from pipeline.losses.consistency import ramp_up

UNLABELLED = 255
STAGE = {"start": 0, "ramp": 0, "shape": "linear", "end": None}
DEFAULTS = {"weight": 1.0, **STAGE, "balance": False, "labelled_only": False}


class NegativeWeightError(DataError, ValueError):
    """A weight that the user gave: one line and exit code 2 where a bundle is started on the command line."""


class CompoundLoss(nn.Module):
    """sum of weight * share(epoch) * loss over the terms; a term that counts nothing is not computed.

    Where a term depends on the epoch or is balanced, `set_epoch` must be called at each epoch's start; the handler
    pipeline.losses.LossSchedule does it, and a forward pass without it raises RuntimeError.

    Args:
        terms: one dictionary for each term:
            loss: a module, called as loss(input, target); it may be a CompoundLoss itself.
            weight: a number (1). With 0 the term is never computed.
            start: epochs that pass before the term counts (0): with 10 it enters in the 11th.
            ramp: epochs in which its weight then grows to the full (0).
            shape: of this growth, "linear" or "exponential" (see `ramp_up`).
            end: the last epoch in which it counts (None: always). With start and end the terms are stages: another
                loss in each part of the training.
            balance: multiply by the mean of the FIRST term over the mean of this one, taken over the epoch before, so
                that both have the same mean; in its first epoch, over the iterations so far. Karimi and Salcudean,
                arXiv:1904.10030, balance the Hausdorff and the Dice term so (there the other one is multiplied; the
                direction of the sum's gradient is the same).
            labelled_only: leave out the items whose target holds UNLABELLED (255); without any labelled item the term
                is 0.

    Raises:
        ValueError: no term, an unknown key, or a balanced first term.
        NegativeWeightError: a negative weight (a ValueError, too).
    """

    context: dict | None = None  # see ImageLoss

    def __init__(self, terms: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        attempt(_check, terms)
        self.losses = nn.ModuleList(term["loss"] for term in terms)
        self.settings = [{key: term.get(key, default) for key, default in DEFAULTS.items()} for term in terms]
        self.epoch = 0
        self.ratios: dict[int, float] = {}
        self._sums: dict[int, list[torch.Tensor]] = {}

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 1."""
        self.renew_balance()
        self.epoch = int(epoch)

    def share(self, index: int) -> float:
        """The factor of term `index` in this epoch: its weight, as far as it has ramped up, or 0 outside its stage."""
        term = self.settings[index]
        if term["end"] is not None and self.epoch > term["end"]:
            return 0.0
        if not (term["start"] or term["ramp"]):
            return float(term["weight"])
        return term["weight"] * ramp_up(self.epoch - term["start"], length=term["ramp"], shape=term["shape"])

    def forward(self, input: torch.Tensor, target: torch.Tensor, **given: Any) -> torch.Tensor:
        """The weighted sum, a scalar; 0 (with zero gradients) where no term counts in this epoch.

        Args:
            input, target: as the terms want them.
            **given: image and predict, for terms that look at the image (see ImageLoss).
        """
        if self.epoch < 1 and any(map(_scheduled, self.settings)):
            raise RuntimeError("the loss does not know its epoch: add pipeline.losses.LossSchedule to the handlers")
        context = {**(self.context or {}), **given}
        total, first = None, None
        for index, loss in enumerate(self.losses):
            share = self.share(index)
            if share == 0:
                continue
            value = self._value(index, loss, input, target, context)
            if index == 0:
                first = value
            if self.settings[index]["balance"] and first is not None:
                share = share * self._ratio(index, first, value)
            total = share * value if total is None else total + share * value
        return input.sum() * 0.0 if total is None else total

    def renew_balance(self) -> None:
        """End an epoch: take the ratios of the balanced terms from its means (of all processes), for the next one."""
        for index, sums in self._sums.items():
            both = torch.stack(sums)
            if dist.is_available() and dist.is_initialized():
                dist.all_reduce(both)
            if float(both[1]) > 0:
                self.ratios[index] = float(both[0] / both[1])
        self._sums = {}

    def get_extra_state(self) -> dict[str, Any]:
        """What resuming at the end of an epoch needs beside the epoch."""
        return {"ratios": {str(index): ratio for index, ratio in self.ratios.items()}}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take up the ratios of an interrupted training."""
        self.ratios = {int(index): ratio for index, ratio in state["ratios"].items()}
        self._sums = {}

    def _value(
        self, index: int, loss: nn.Module, input: torch.Tensor, target: torch.Tensor, context: dict[str, Any]
    ) -> torch.Tensor:
        if self.settings[index]["labelled_only"]:
            labelled = target.flatten(1).amax(1) != UNLABELLED
            if not labelled.any():
                return input.sum() * 0.0
            input, target = input[labelled], target[labelled]
            if "image" in context:
                context = {**context, "image": context["image"][labelled]}
        looks = isinstance(loss, ImageLoss | CompoundLoss)
        value = loss(input, target, **context) if looks else loss(input, target)
        return value.mean()

    def _ratio(self, index: int, first: torch.Tensor, value: torch.Tensor) -> torch.Tensor | float:
        """The first term's mean over this one's; both are recorded."""
        now = [first.detach(), value.detach()]
        so_far = self._sums.get(index)
        self._sums[index] = now if so_far is None else [a + b for a, b in zip(so_far, now, strict=True)]
        if index in self.ratios:
            return self.ratios[index]
        first_sum, own_sum = self._sums[index]
        return first_sum / own_sum.clamp_min(torch.finfo(own_sum.dtype).tiny)


def _check(terms: Sequence[Mapping[str, Any]]) -> None:
    if not terms:
        raise ValueError("a CompoundLoss needs at least one term")
    for number, term in enumerate(terms, start=1):
        unknown = sorted(set(term) - {"loss", *DEFAULTS})
        if unknown:
            raise ValueError(f"a term has the keys loss, {', '.join(DEFAULTS)}; unknown: {', '.join(unknown)}")
        if not isinstance(term.get("loss"), nn.Module):
            raise ValueError(f"a term needs a loss, got {term.get('loss')!r}")
        if term.get("weight", 1.0) < 0:
            remedy = "Give 0 to leave the term out (the bundles' key is hausdorff_weight)"
            where, expected = f"term {number} of the loss", "a weight that is not negative"
            raise NegativeWeightError(Problem(where, expected, f"{term['weight']:g}", remedy))
    if terms[0].get("balance"):
        raise ValueError("the first term is what the others are balanced against")


def _scheduled(term: Mapping[str, Any]) -> bool:
    """Whether this term needs to know the epoch."""
    return term["weight"] > 0 and (term["start"] > 0 or term["ramp"] > 0 or term["end"] is not None or term["balance"])
