"""The repository's bundles with tiny networks and random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SHALLOW = {
    "kernel_size": [[3, 3, 1]] * 3,
    "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1]],
    "upsample_kernel_size": [[2, 2, 1]] * 2,
    "filters": [4, 8, 8],
}
SMALL = {
    "acdc": {"patch_size": [48, 48, 1], "spacing": [3.0, 3.0, -1]},
    "covid19": {"patch_size": [32, 32, 8], "spacing": [8.0, 8.0, 10.0]},
    "covid19_slices": {"patch_size": [48, 48, 1]},
}


def make(name: str, folder: Path, *, weights: bool = True, seed: int = 0, **settings) -> Path:
    """FOLDER/bundles/NAME as in the repository, but tiny; `settings` are top-level keys of both configurations."""
    import torch
    from monai.bundle import ConfigParser

    from pipeline.checkpoints import save_atomically

    bundle = folder / "bundles" / name
    shutil.copytree(REPOSITORY / "bundles" / name, bundle, ignore=shutil.ignore_patterns("*.pt", "docs", "model.json"))
    for file in ("train", "inference"):
        config = json.loads((bundle / f"{file}.json").read_text(encoding="utf-8"))
        if name == "acdc":
            config["network_def"]["network"]["network"]["filters"] = [4, 8, 8, 8, 8]
        else:
            config["network_def"] |= SHALLOW
        config |= SMALL[name] | settings
        (bundle / f"{file}.json").write_text(json.dumps(config, indent=4), encoding="utf-8")
    if weights:
        torch.manual_seed(seed)
        config = json.loads((bundle / "inference.json").read_text(encoding="utf-8"))
        network = ConfigParser(config | {"device": "$torch.device('cpu')"}).get_parsed_content("network_def")
        (bundle / "models").mkdir(exist_ok=True)
        save_atomically(network.state_dict(), bundle / "models" / "model.pt")
    return bundle


def edit(path: Path, **entries) -> None:
    """Change top-level entries of a JSON file; None takes one out."""
    content = json.loads(path.read_text(encoding="utf-8")) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf-8")
