"""A bundle whose network thresholds, so that every mask is known by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

LABELS = {"RV": 1, "LV": 2}
# logits 0, x - 10, 2x - 30: background below 10, RV from 10 to 20, LV above 20
CONFIG: dict[str, Any] = {
    "bundle_root": ".",
    "dataset_dir": ".",
    "datalist": [],
    "output_dir": "masks",
    "checkpoint": "$@bundle_root + '/models/model.pt'",
    "device": "$torch.device('cpu')",
    "labels": LABELS,
    "network_def": {
        "_target_": "torch.nn.Conv3d",
        "in_channels": 1,
        "out_channels": 3,
        "kernel_size": 1,
    },
    "network": "$@network_def.to(@device)",
    "load_weights": "$@network.load_state_dict(torch.load(@checkpoint, weights_only=True))",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image", "reader": "pipeline.volumes.readers.VolumeReader"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
        ],
    },
    "inferer": {"_target_": "SimpleInferer"},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "pipeline.transforms.RestoreGridd", "keys": "pred"},
            {"_target_": "pipeline.transforms.SaveMaskd", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
}
SHAPE = (6, 5, 4)
VALUES = np.random.default_rng(0).choice(np.array([2, 15, 25], np.int16), SHAPE)
EXPECTED = np.select([VALUES == 15, VALUES == 25], [1, 2]).astype(np.uint8)


def weights(shift: float = 0) -> dict[str, torch.Tensor]:
    """Thresholds at 10 + shift and 20 + shift."""
    bias = torch.tensor([0.0, -10 - shift, -30 - 2 * shift])
    return {"weight": torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1, 1, 1), "bias": bias}


def write_bundle(
    folder: Path, config: dict[str, Any] | None = None, state: dict[str, torch.Tensor] | None = None
) -> Path:
    """A bundle folder with inference.json, metadata.json and models/model.pt."""
    (folder / "models").mkdir(parents=True)
    (folder / "inference.json").write_text(json.dumps(config or CONFIG))
    (folder / "metadata.json").write_text(json.dumps({"version": "1.2.3"}))
    torch.save(state or weights(), folder / "models" / "model.pt")
    return folder
