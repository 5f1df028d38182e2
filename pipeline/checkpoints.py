"""What a training leaves behind: the state to resume from, the best and the final weights, and what they are worth."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from pipeline.errors import DataError, Problem
from pipeline.resumption import load_progress
from pipeline.state_files import load_file, save_atomically

logger = logging.getLogger("pipeline")

STATE_FILE = "last.pt"
EARLIER_FILE = "last_prev.pt"
BEST_FILE = "model.pt"
FINAL_FILE = "model_final.pt"
PREVIOUS_FILE = "model_prev.pt"
HEADS = re.compile(r"\b(deep_supervision_heads|super_head)\.")  # of MONAI's DynUNet


class Checkpoints:
    """Save after every epoch, keep the best weights, and go on where a killed run stopped.

    In `ckpt_dir`: last.pt (model, optimizer, scheduler, epoch, best score: everything that resuming needs; random
    generators are renewed from (seed, epoch)), last_prev.pt (the same of the epoch before, in case last.pt is
    damaged), model.pt (best validation score, weights alone), model.json (what model.pt is worth), model_final.pt
    (weights after the last epoch). Every file is written to a temporary name and renamed, so that a kill at any moment
    leaves the previous one whole.

    A model.pt that lies there already is replaced only by a better score on the same datalist and fold; where the two
    cannot be compared it is kept as model_prev.pt, and the log says so.

    Args:
        ckpt_dir: folder; made where it is missing.
        network: the network, or its DistributedDataParallel wrapper.
        objects: what else has a state, by name: optimizer, lr_scheduler.
        validator: the evaluator whose key metric chooses the best epoch (higher is better).
        identity: what makes scores comparable, e.g. {"datalist": digest, "fold": 0, "labels": {"LV": 1}}; a run is not
            resumed with another one.
        enabled: whether this process writes (the first of several).
    """

    def __init__(
        self,
        *,
        ckpt_dir: str,
        network: torch.nn.Module,
        objects: Mapping[str, Any],
        validator: Engine,
        identity: Mapping[str, Any],
        enabled: bool = True,
    ) -> None:
        self.folder = Path(ckpt_dir)
        self.network = getattr(network, "module", network)
        self.objects = dict(objects)
        self.validator = validator
        self.identity = dict(identity)
        self.enabled = enabled
        self._own_best = False
        self._whole = False  # whether last.pt is known to be, so that it may become last_prev.pt

    def attach(self, engine: Engine) -> None:
        """Register at the end of each epoch and of the training; attach after the validation handler."""
        if self.enabled:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
            engine.add_event_handler(Events.COMPLETED, self._finish)

    def resume(self, engine: Engine) -> bool:
        """Continue the run in `ckpt_dir`, if there is one; with more epochs the learning rate decays over all of them.

        Returns:
            whether a state was loaded; without one the training starts from the beginning.

        Raises:
            DataError: neither last.pt nor last_prev.pt can be read, or the state belongs to another identity or
            network.
        """
        path, state = self._last_state()
        if state is None:
            logger.info("nothing to resume in %s: starting from the beginning", self.folder)
            return False
        saved = state.get("identity") or {}
        if other := _differing(saved, self.identity):
            remedy = "Resume it with its own data and settings, or give another --output_dir"
            wanted, found = _sentence(self.identity, other), _sentence(saved, other)
            raise DataError(Problem(str(path), f"a run with {wanted}", f"one with {found}", remedy))
        load_state(self.network, state["model"], path)
        for name, item in self.objects.items():
            try:
                load_progress(item, state[name])
            except (KeyError, ValueError, RuntimeError) as error:
                remedy = f"Resume it with its own {name}, or give another --output_dir"
                raise DataError(Problem(str(path), f"a state of this {name}", "that of another one", remedy)) from error
        if "scaler" in state:  # MONAI's trainer makes it when it starts

            def take_up(engine: Engine) -> None:
                if getattr(engine, "scaler", None) is not None:
                    engine.scaler.load_state_dict(state["scaler"])

            engine.add_event_handler(Events.STARTED, take_up)
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["epoch"] * engine.state.epoch_length
        self.validator.state.best_metric = state["best_metric"]
        self.validator.state.best_metric_epoch = state["best_metric_epoch"]
        self._own_best = state["best_metric_epoch"] > 0
        if engine.state.epoch >= engine.state.max_epochs:
            logger.info("this run is finished: %d of %d epochs", engine.state.epoch, engine.state.max_epochs)
            if self.enabled:
                self._finish(engine)  # it may have been stopped just before this
        else:
            logger.info("resuming after epoch %d of %d", engine.state.epoch, engine.state.max_epochs)
        return True

    def _save(self, engine: Engine) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        best = self.validator.state
        if best.best_metric_epoch == engine.state.epoch:
            self._save_best(float(best.best_metric), engine.state.epoch)
        state = {
            "model": self.network.state_dict(),
            **{name: item.state_dict() for name, item in self.objects.items()},
            "epoch": engine.state.epoch,
            "best_metric": float(best.best_metric),
            "best_metric_epoch": best.best_metric_epoch,
            "identity": self.identity,
        }
        if getattr(engine, "scaler", None) is not None:
            state["scaler"] = engine.scaler.state_dict()
        earlier = self.folder / EARLIER_FILE if self._whole else None
        save_atomically(state, self.folder / STATE_FILE, earlier=earlier)
        self._whole = True

    def _last_state(self) -> tuple[Path, dict[str, Any] | None]:
        """The newest state that can be read; a damaged one is named, and none is no state."""
        problems = []
        for path in (self.folder / STATE_FILE, self.folder / EARLIER_FILE):
            if not path.is_file():
                continue
            try:
                state = load_file(path)
            except DataError as error:
                problems += error.problems
                continue
            self._whole = path.name == STATE_FILE
            for problem in problems:
                logger.warning("%s is damaged (%s): going on from %s", problem.file, problem.found, path.name)
            return path, state
        if problems:
            raise DataError(problems)
        return self.folder / STATE_FILE, None

    def _save_best(self, score: float, epoch: int) -> None:
        path = self.folder / BEST_FILE
        if not self._own_best and path.is_file() and not self._may_replace(path, score):
            return
        self._own_best = True
        save_atomically(self.network.state_dict(), path)
        worth = {"metric": self.validator.state.key_metric_name, "score": score, "epoch": epoch, **self.identity}
        temporary = path.with_suffix(".json.tmp")
        temporary.write_text(json.dumps(worth, indent=4) + "\n", encoding="utf-8")
        os.replace(temporary, path.with_suffix(".json"))

    def _may_replace(self, path: Path, score: float) -> bool:
        """Whether another run's model.pt makes way: if it is worse, or kept aside where no comparison is possible."""
        card = path.with_suffix(".json")
        worth = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
        if "score" in worth and all(worth.get(key) == value for key, value in self.identity.items()):
            if worth["score"] >= score:
                logger.info("%s stays: its score %.4f is not below this run's %.4f", path, worth["score"], score)
                return False
            return True
        os.replace(path, path.with_name(PREVIOUS_FILE))
        logger.warning("%s was trained on other data or with other settings: kept as %s", path, PREVIOUS_FILE)
        return True

    def _finish(self, engine: Engine) -> None:
        save_atomically(self.network.state_dict(), self.folder / FINAL_FILE)


def digest(datalist: str | os.PathLike) -> str:
    """A short name for what a datalist trains and validates on: equal for equal cases and folds, wherever they lie."""
    items = json.loads(Path(datalist).read_text(encoding="utf-8"))["training"]
    rows = sorted([str(item.get("case", item["image"])), str(item.get("fold"))] for item in items)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


def members(models: str | os.PathLike) -> str | list[str]:
    """A bundle's `checkpoint`: model.pt of its folder `models`; with model_2.pt, model_3.pt ... beside it all of them.

    They are weights of one network_def, whose answers are averaged (`pipeline.ensembles.EnsembleInferer`).
    """
    first = Path(models, BEST_FILE)
    further = further_members(first)
    return [str(path) for path in (first, *further)] if further else str(first)


def further_members(weights: Path) -> list[Path]:
    """NAME_2.pt, NAME_3.pt ... beside NAME.pt, up to NAME_9.pt."""
    return sorted(weights.parent.glob(f"{escape(weights.stem)}_[2-9].pt"))


def load_weights(network: torch.nn.Module, path: str | os.PathLike) -> torch.nn.Module:
    """Load a model.pt into `network`, strictly, without executing anything that the file may contain.

    Heads of deep supervision, which serve a training alone, are left out where the network has none, and stay as they
    are where the file has none.

    Raises:
        DataError: the file is missing, is no file of weights, or belongs to another network.
    """
    path = Path(path)
    if not path.is_file():
        remedy = "Train first (README), or give the weights of a finished run, RUN/models/model.pt"
        raise DataError(Problem(str(path), "a file of weights", "none", remedy))
    inner, state = getattr(network, "module", network), load_file(path)
    own, state = inner.state_dict(), state.get("model", state)
    fitting = {key: value for key, value in state.items() if key in own or not HEADS.search(key)}
    load_state(inner, {key: value for key, value in own.items() if HEADS.search(key)} | fitting, path)
    return network


def load_state(network: torch.nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load `state` strictly; a mismatch is reported as one line that names the first parameter that differs."""
    own = network.state_dict()
    wrong = [f"{key} {tuple(own[key].shape)}" for key in own if key not in state or state[key].shape != own[key].shape]
    wrong += [f"unknown {key}" for key in state if key not in own]
    if wrong:
        found = f"{len(wrong)} parameters that are missing or differ, the first {wrong[0]}"
        remedy = "Use the network_def that these weights were trained with"
        raise DataError(Problem(str(path), "weights of this network_def", found, remedy))
    network.load_state_dict(state)


def _differing(saved: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Keys in which two identities differ; what a state of an earlier version does not tell is not asked."""
    if not set(saved) & set(own):
        return list(own)
    return [key for key in own if key in saved and saved[key] != own[key]]


def _sentence(identity: Mapping[str, Any], keys: list[str]) -> str:
    return ", ".join(f"{key} {identity[key]}" for key in keys if key in identity) or "unknown data"
