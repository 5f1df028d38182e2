"""The configurations of a repository's bundle, as a packed bundle has them: nothing outside its folder is named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.packaging.names import constants, mapped, strings

SERVING = "pipeline.packaging.serving"
IMPORT = f"$import {SERVING} as serving"
TRAINING = ("train", "multi_gpu_train")
SERVER_GIVES = re.compile(r"\b(datalist|dataset_dir|section|fold)=@\w+(, )?")  # a server trains on its own cases
WITHIN_INFERER = re.compile(r"@inferer(#|::)")
SERVED = {
    "pipeline.transforms.SaveMaskd": f"{SERVING}.SaveImageMaskd",
    "pipeline.handlers.Validation": f"{SERVING}.Validation",
}
RUN = {
    "train": "$serving.run_folder(@bundle_root)",
    "inference": "$@bundle_root + '/runs/masks'",
}
CASES = "$serving.check_cases(@train#dataset#data, @validate#dataset#data, @labels)"
DIGEST = "$serving.digest(@train#dataset#data, @validate#dataset#data)"
PUBLISH = "$serving.publish(@ckpt_dir, @bundle_root)"


def pack(configs: Mapping[str, dict[str, Any]], carried: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Packed forms of train, inference and their overlays, by name.

    - `bundle_root` is "."; runs are written below it; a committed datalist lies beside the configurations.
    - What `initialize` did comes first in `run`: MONAI puts the bundle on the module path only there, and
      `monai.bundle.load` initializes without data.
    - The network is made slice-wise by the inferer, since servers build `network_def` alone.
    - A server's cases need no datalist; its trainings have folders of their own and end with new weights.

    Args:
        configs: contents of the bundle's files by name (train, inference, evaluate, multi_gpu_train).
        carried: files that `carried_files` finds, as the expressions name them.
    """
    train_run = configs.get("train", {}).get("run", [])
    return {name: _packed(name, config, train_run, carried) for name, config in configs.items()}


def carried_files(configs: Iterable[Any], roots: Iterable[Path]) -> dict[str, Path]:
    """Files of the repository that expressions name (a committed datalist): the text as it stands, and the file."""
    code = (text for config in configs for _, text in strings(config) if text.startswith("$"))
    names = {name for text in code for name in constants(text) if "/" in name and not name.startswith(("/", "."))}
    return {name: root / name for root in reversed(list(roots)) for name in sorted(names) if (root / name).is_file()}


def _packed(name: str, config: dict[str, Any], train_run: list[str], carried: Iterable[str]) -> dict[str, Any]:
    config = mapped(config, lambda text: _with_own_files(text, carried))
    if "bundle_root" in config:
        config["bundle_root"] = "."
    if "output_dir" in config and name in RUN:
        config["output_dir"] = RUN[name]
    if "imports" in config:
        config["imports"] = [*config["imports"], IMPORT]
    config = mapped(config, lambda text: SERVED.get(text, text))
    if name == "train":
        _for_servers(config)
    config = mapped(config, lambda text: WITHIN_INFERER.sub(r"\g<0>inferer\1", text))  # it is one level deeper now
    if "inferer" in config:
        config["inferer"] = {"_target_": f"{SERVING}.InPlaneInferer", "inferer": config["inferer"]}
    first = config.pop("initialize", [])
    if name in TRAINING:
        first = [SERVER_GIVES.sub("", text) if text.startswith("$launch.check(") else text for text in first]
        first.insert(1, CASES)
    last = [PUBLISH] if name in TRAINING else []
    if first or "run" in config:
        config["run"] = [*first, *config.get("run", train_run), *last]
    return config


def _for_servers(config: dict[str, Any]) -> None:
    config["checkpoints"]["identity"] = {"cases": DIGEST}
    for step in _steps(config, "SelectItemsd"):
        step["allow_missing_keys"] = True  # a server's items have an image and a label, and no case


def _steps(config: Any, target: str) -> Iterator[dict[str, Any]]:
    if isinstance(config, dict):
        if config.get("_target_") == target:
            yield config
        config = list(config.values())
    for part in config if isinstance(config, list) else ():
        yield from _steps(part, target)


def _with_own_files(text: str, carried: Iterable[str]) -> str:
    """`'data_lists/acdc.json'` as `@bundle_root + '/configs/acdc.json'`, where that file is carried."""
    for name in carried if text.startswith("$") else ():
        text = re.sub(rf"(['\"]){re.escape(name)}\1", f"@bundle_root + '/configs/{Path(name).name}'", text)
    return text
