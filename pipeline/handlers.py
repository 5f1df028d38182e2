"""Ignite handlers that MONAI lacks: randomness by epoch, non-finite loss, clipping, last validation, progress, log."""

from __future__ import annotations

import json
import logging
import math
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.handlers import ValidationHandler
from tqdm import tqdm

from pipeline.endings import TrainingError, rank
from pipeline.files import write_text

logger = logging.getLogger("pipeline")


class Randomness:
    """Renew every random generator from (seed, epoch) at each epoch's start, and restart the data loader with it.

    Resumed and uninterrupted runs then agree. Of several processes (torchrun) each draws differently, or a random
    sampler would give all of them the same cases. Attach to a MONAI trainer whose dataset is a SeededCacheDataset.
    """

    def __init__(self, seed: int) -> None:
        self.seed = int(seed)

    def attach(self, engine: Engine) -> None:
        """Register at the start of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed torch, numpy and random; tell the dataset its epoch; make a fresh iterator."""
        own = [rank()] if rank() else []
        epoch_seed = int(np.random.SeedSequence([self.seed, engine.state.epoch, *own]).generate_state(1)[0])
        torch.manual_seed(epoch_seed)
        np.random.seed(epoch_seed)
        random.seed(epoch_seed)
        dataset = getattr(engine.data_loader, "dataset", None)
        if hasattr(dataset, "epoch"):
            dataset.epoch = engine.state.epoch
        engine.set_data(engine.data_loader)


class StopOnNonFiniteLoss:
    """Stop before the optimizer's step when the loss is NaN or infinite, naming the cases of the batch."""

    def attach(self, engine: Engine) -> None:
        """Register where the loss is known and no gradient has been applied yet."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Raise TrainingError on a non-finite loss."""
        loss = _loss(engine)
        if not math.isfinite(loss):
            remedy = "Check these files for NaN or extreme intensities (--preflight full), or lower --learning_rate"
            raise TrainingError(f"the loss is {loss} {_where(engine)}. {remedy}")


class ClipGradients:
    """Scale the gradients of the whole network down to a largest Euclidean norm; stop where they are not finite.

    With a scaler (float16 on CUDA) infinite gradients are usual: it skips such a step by itself.

    Args:
        max_norm: the largest norm; zero or None scales nothing down.
    """

    def __init__(self, max_norm: float | None) -> None:
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Register between the backward pass and the optimizer's step."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Clip; gradients of scaled losses (CUDA) are unscaled first, as torch.amp asks for.

        Raises:
            TrainingError: NaN or infinity in a gradient, without a scaler.
        """
        if engine.scaler is not None:
            if not self.max_norm:
                return
            engine.scaler.unscale_(engine.optimizer)
        parameters = [one for one in engine.network.parameters() if one.grad is not None]
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_norm or math.inf)
        if engine.scaler is None and not math.isfinite(norm.item()):
            found = f"the gradient is not finite {_where(engine)}, though the loss is {_loss(engine):.3g}"
            # https://github.com/pytorch/pytorch/issues/169688
            remedy = "Give --precision fp32 (bf16 convolutions with outputs one voxel wide can do that on a CPU)"
            raise TrainingError(f"{found}. {remedy}, or lower --learning_rate")


class Validation(ValidationHandler):
    """MONAI's ValidationHandler by epochs, and once more after the last epoch where the interval misses it."""

    def attach(self, engine: Engine) -> None:
        """Register at the end of the epochs that validate."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._maybe_validate)

    def _maybe_validate(self, engine: Engine) -> None:
        if engine.state.epoch % self.interval == 0 or engine.state.epoch == engine.state.max_epochs:
            self(engine)


class Progress:
    """One progress bar over all iterations of a run, with the remaining time, the loss and the best score so far.

    Args:
        description: what stands before the bar.
        validator: the evaluator whose best key metric is shown.
        enabled: e.g. whether this is the first of several processes.
    """

    def __init__(self, description: str = "training", validator: Engine | None = None, enabled: bool = True) -> None:
        self.description = description
        self.validator = validator
        self.enabled = enabled
        self._bar: tqdm | None = None

    def attach(self, engine: Engine) -> None:
        """Register on start, each iteration and the end."""
        if self.enabled:
            engine.add_event_handler(Events.STARTED, self._open)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
            engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._close)

    def _open(self, engine: Engine) -> None:
        total = engine.state.max_epochs * engine.state.epoch_length
        self._bar = tqdm(total=total, initial=engine.state.iteration, desc=self.description, mininterval=1)

    def _step(self, engine: Engine) -> None:
        shown = {}
        if isinstance(engine.state.output, dict) and "loss" in engine.state.output:
            shown = {"epoch": f"{engine.state.epoch}/{engine.state.max_epochs}", "loss": f"{_loss(engine):.3f}"}
        if self.validator is not None and self.validator.state.best_metric_epoch > 0:
            shown["best"] = f"{self.validator.state.best_metric:.4f}@{self.validator.state.best_metric_epoch}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def _close(self, engine: Engine) -> None:
        self._bar.close()


class EpochLog:
    """Append one JSON line for each epoch to a file: loss, learning rate, seconds, validation scores.

    Args:
        path: e.g. RUN/log.jsonl; lines of an earlier part of the same run stay, but for epochs that are trained again.
        validator: the evaluator that ran in this epoch, if any; its metrics are written by their names.
        enabled: e.g. whether this is the first of several processes.
    """

    def __init__(self, path: str, validator: Engine | None = None, enabled: bool = True) -> None:
        self.path = Path(path)
        self.validator = validator
        self.enabled = enabled
        self._losses: list[float] = []
        self._started = time.perf_counter()

    def attach(self, engine: Engine) -> None:
        """Register on epochs and iterations; attach after the validation handler so that its scores are there."""
        if not self.enabled:
            return
        engine.add_event_handler(Events.STARTED, self._keep_earlier)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: self._losses.append(_loss(e)))
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _keep_earlier(self, engine: Engine) -> None:
        """Drop what an earlier part of the run wrote of epochs that are trained again, and a line that was cut off."""
        if not self.path.is_file():
            return
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [line for line in lines if _epoch_of(line) <= engine.state.epoch]
        if kept != lines:
            write_text(self.path, "".join(f"{line}\n" for line in kept), overwrite=True)

    def _start(self, engine: Engine) -> None:
        self._losses = []
        self._started = time.perf_counter()

    def _write(self, engine: Engine) -> None:
        seconds = time.perf_counter() - self._started
        line: dict[str, Any] = {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            "loss": float(np.mean(self._losses)) if self._losses else None,
            "lr": engine.optimizer.param_groups[0]["lr"],
            "seconds": round(seconds, 3),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        state = self.validator.state if self.validator is not None else None
        if state is not None and state.epoch == engine.state.epoch and state.metrics:
            line |= {name: float(value) for name, value in state.metrics.items()}
            line["best"] = state.best_metric_epoch == engine.state.epoch
            line["val_seconds"] = round(state.times["COMPLETED"], 3)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class LearningCurves:
    """Draw the log as a picture when the training ends.

    Args:
        log: the file that EpochLog writes.
        picture: the PNG to write.
    """

    def __init__(self, log: str, picture: str, enabled: bool = True) -> None:
        self.log = log
        self.picture = picture
        self.enabled = enabled

    def attach(self, engine: Engine) -> None:
        """Register on the end of training; attach after EpochLog."""
        if self.enabled:
            engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the picture."""
        from pipeline.report import learning_curves

        learning_curves(self.log, self.picture)


def _loss(engine: Engine) -> float:
    output = engine.state.output
    return (output if isinstance(output, dict) else output[0])["loss"].item()


def _where(engine: Engine) -> str:
    cases = sorted(set(map(str, engine.state.batch.get("case", ["unknown"]))))
    return f"at epoch {engine.state.epoch}, iteration {engine.state.iteration}, for the cases {', '.join(cases)}"


def _epoch_of(line: str) -> float:
    """The epoch of a line of the log; infinite for what is none."""
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return math.inf
