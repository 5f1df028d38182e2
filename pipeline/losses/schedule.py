"""Tells a loss during training what MONAI's engine does not: the epoch, the image, and how to ask the network again."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.utils import CommonKeys

from pipeline.losses.common import ImageLoss
from pipeline.losses.compound import CompoundLoss
from pipeline.losses.deep_supervision import finest


class LossSchedule:
    """Handler for MONAI's SupervisedTrainer; for a loss that needs none of it, it does nothing.

    Each CompoundLoss within `loss` gets the epoch at its start and renews its balance at its end, before checkpoints
    are saved; the epoch is the engine's, so a resumed training goes on in the right stage. Each loss that looks at the
    image (ImageLoss) gets it, with a function that calls the network as the engine does, in the same precision.

    Args:
        loss: the engine's loss function.
    """

    def __init__(self, loss: Any) -> None:
        modules = list(loss.modules()) if isinstance(loss, torch.nn.Module) else []
        self.compounds = [module for module in modules if isinstance(module, CompoundLoss)]
        self.watching = [module for module in modules if isinstance(module, CompoundLoss | ImageLoss)]

    def attach(self, engine: Engine) -> None:
        """Register on epochs, and around the computation of the loss."""
        if self.compounds:
            engine.add_event_handler(Events.EPOCH_STARTED, self._begin)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._end)
        if self.watching:
            engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._provide)
            engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._forget)

    def _begin(self, engine: Engine) -> None:
        for compound in self.compounds:
            compound.set_epoch(engine.state.epoch)

    def _end(self, engine: Engine) -> None:
        for compound in self.compounds:
            compound.renew_balance()

    def _provide(self, engine: Engine) -> None:
        def predict(image: torch.Tensor, network: torch.nn.Module | None = None) -> torch.Tensor:
            return finest(engine.inferer(image, engine.network if network is None else network), image)

        context = {"image": engine.state.output[CommonKeys.IMAGE], "predict": predict}
        for module in self.watching:
            module.context = context

    def _forget(self, engine: Engine) -> None:
        for module in self.watching:
            module.context = None
