"""What a packed bundle needs beyond its repository's code: it is carried along, and MONAI Label and Deploy call it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.inferers import Inferer
from monai.transforms import LoadImage, SaveImaged

from pipeline import handlers
from pipeline.checkpoints import further_members
from pipeline.endings import rank
from pipeline.errors import DataError, Problem
from pipeline.files import write_bytes
from pipeline.launch import on_command_line
from pipeline.networks import in_plane
from pipeline.structures import Labels, numbers_of, own_numbers
from pipeline.transforms import SaveMaskd
from pipeline.volumes.readers import VolumeReader

logger = logging.getLogger("pipeline")

SERVER_CONFIG = "monailabel_train.json"  # the name that MONAI Label gives the file of a training on several GPUs


class SaveImageMaskd(SaveMaskd, SaveImaged):
    """`SaveMaskd` that a server leaves out, since it writes its answers itself.

    MONAI Label drops what is a SaveImaged, MONAI Deploy what has SaveImage in its name.
    """


class InPlaneInferer(Inferer):
    """Let the network compute its in-plane convolutions slice by slice (`pipeline.networks.in_plane`), then infer.

    A server builds `network_def` by itself, and would otherwise compute 2.5 times as long, and round otherwise.
    """

    def __init__(self, inferer: Inferer) -> None:
        super().__init__()
        self.inferer = inferer

    def __call__(self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any) -> Any:
        """Logits of `network` for `inputs` (B, C, X, Y, Z)."""
        if isinstance(network, torch.nn.Module) and not isinstance(network, torch.jit.ScriptModule):
            in_plane(network)
        return self.inferer(inputs, network, *args, **kwargs)


class Validation(handlers.Validation):
    """The training's validation, left out where there is nothing to validate on."""

    def attach(self, engine: Engine) -> None:
        """Register at the end of the epochs that validate."""
        if len(self.validator.data_loader.dataset) > 0:
            super().attach(engine)
        else:
            logger.warning("no cases for validation: the weights after the last epoch are kept")


def check_cases(
    train: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]] = (),
    labels: Labels | None = None,
) -> None:
    """There must be something to train on, and in a server, whose labels nobody looked at, the labels' numbers must be
    the bundle's.

    3D Slicer numbers segments by their order; in a server with several bundles it lists those of all bundles, so that
    the second bundle's structures get other numbers than it knows.

    Args:
        train, validation: cases with "image" and "label".
        labels: structure -> number or numbers; None: the labels are not read.

    Raises:
        ValueError: there is nothing: a server may be asked to train before a label was saved.
        DataError: every file of labels with other numbers.
    """
    if len(train) == 0:
        raise ValueError("nothing to train on: save the labels of at least two images first")
    if labels is None or not in_server():
        return
    names = ", ".join(f"{number} {name}" for name, number in own_numbers(labels).items())
    known = {0, *(number for numbers in numbers_of(labels).values() for number in numbers)}
    load = LoadImage(reader=VolumeReader(labels=True), image_only=True)
    remedy = "Serve this bundle alone, keep the order of its segments, and submit the label again"
    problems = []
    for label in (item["label"] for item in [*train, *validation]):
        unknown = sorted({int(value) for value in torch.unique(load(label)).tolist()} - known)
        if unknown:
            problems.append(Problem(str(label), f"the numbers 0 background, {names}", str(unknown)[1:-1], remedy))
    if problems:
        raise DataError(problems)


def digest(train: Iterable[Mapping[str, Any]], validation: Iterable[Mapping[str, Any]]) -> str:
    """A short name for what is trained and validated on: equal for equal cases, wherever they lie."""
    sides = [sorted(_name(item) for item in items) for items in (train, validation)]
    return hashlib.sha256(json.dumps(sides).encode()).hexdigest()[:12]


def in_server() -> bool:
    """Whether a program calls this bundle, and not its command line."""
    return not on_command_line() or any(SERVER_CONFIG in word for word in sys.argv)


def run_folder(bundle_root: str) -> str:
    """BUNDLE/runs/train; in a server a new folder for each training, BUNDLE/runs/20260101-120000."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}" if in_server() else "train"
    return str(Path(bundle_root, "runs", name))


def publish(ckpt_dir: str, bundle_root: str) -> None:
    """In a server, let the trained weights take the place of BUNDLE/models/model.pt, which becomes model_prev.pt.

    The best weights where the training validated, else those after the last epoch. What answered together with the
    earlier ones (model_2.pt ...) was not trained on and becomes model_prev_2.pt ... On the command line nothing is
    replaced: `--checkpoint` names other weights.
    """
    if not in_server() or rank() != 0:
        return
    best, final = Path(ckpt_dir, "model.pt"), Path(ckpt_dir, "model_final.pt")
    trained = best if best.is_file() else final
    models = Path(bundle_root, "models")
    for file in further_members(models / "model_prev.pt"):
        file.unlink()
    for file in further_members(models / "model.pt"):
        os.replace(file, file.with_stem(f"model_prev_{file.stem[-1]}"))
    for name, source in (("model.pt", trained), ("model.json", trained.with_suffix(".json"))):
        target = models / name
        if target.is_file():
            os.replace(target, target.with_stem("model_prev"))
        if source.is_file():
            write_bytes(target, source.read_bytes())
    logger.info("%s now holds the weights of %s; the earlier ones are model_prev.pt", models / "model.pt", ckpt_dir)


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("case", item["image"] if isinstance(item["image"], list) else Path(str(item["image"])).name))
