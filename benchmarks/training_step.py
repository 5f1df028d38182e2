"""A training step of bundles/acdc with its data pipeline against the same step on a batch that stays in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks.comparison import Row, compared, take_turns
from benchmarks.setting import ACDC, Setting

STEPS, QUICK_STEPS = 30, 3
PATIENTS = 8  # whose volumes are cached; a step costs the same with all


def rows(setting: Setting) -> list[Row]:
    """train.json's own dataset (cache filled), augmentation, loss and optimizer."""
    training = Training(setting)
    fixed = next(training.batches)
    jobs = {"pipeline": lambda _: training.step(next(training.batches)), "fixed": lambda _: training.step(fixed)}
    turns = take_turns(jobs, range(QUICK_STEPS if setting.quick else STEPS), what="training steps")
    return [
        compared(
            turns, "pipeline", "fixed", kind="cost", name="training_step",
            what="training step with a warm cache, train.json's full augmentation on",
            against="the same step on a fixed batch in memory", target=1.25,
            note=f"{tuple(fixed['image'].shape)} voxels; reading and resampling are cached",
        )
    ]  # fmt: skip


class Training:
    """The parts of train.json that a step takes.

    Attributes:
        batches: without an end, as the epochs' one after the other.
    """

    def __init__(self, setting: Setting, **overrides: Any) -> None:
        from monai.bundle import ConfigParser

        parser = ConfigParser()
        parser.read_config(str(ACDC / "train.json"))
        parser.update({
            "bundle_root": str(ACDC), "dataset_dir": str(setting.acdc_root), "datalist": self._few(setting),
            "output_dir": str(setting.work / "run"), "device": "$torch.device('cpu')", **overrides,
        })  # fmt: skip
        self.network = parser.get_parsed_content("network").train()
        self.loss = parser.get_parsed_content("loss")
        self.optimizer = parser.get_parsed_content("optimizer")
        self.inferer = parser.get_parsed_content("train#inferer")
        self.largest_norm = parser.get_parsed_content("clip_grad_norm")
        self.dataset = parser.get_parsed_content("train#dataset")
        self.batches = self._without_end(parser.get_parsed_content("train#dataloader"))

    def step(self, batch: dict[str, torch.Tensor]) -> float:
        """Forward, loss, backward, clipping and update; returns the loss."""
        self.optimizer.zero_grad()
        value = self.loss(self.inferer(batch["image"], self.network), batch["label"])
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.largest_norm)
        self.optimizer.step()
        return value.item()

    def _without_end(self, loader: Any) -> Iterator[dict[str, torch.Tensor]]:
        while True:
            self.dataset.epoch += 1
            yield from loader

    @staticmethod
    def _few(setting: Setting) -> str:
        listed = dict(setting.acdc_list)
        fold_of = {item["patient"]: item["fold"] for item in listed["training"]}
        held_out = [patient for patient in fold_of if fold_of[patient] == 0][:1]  # the list must have a validation side
        patients = [patient for patient in fold_of if fold_of[patient] != 0][:PATIENTS] + held_out
        listed["training"] = [item for item in listed["training"] if item["patient"] in patients]
        path = setting.work / "few.json"
        path.write_text(json.dumps(listed), encoding="utf-8")
        return str(path)
