"""The metadata of a packed bundle: versions that are installed, packages that are imported, what the network gives."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata as installed
from pathlib import Path
from typing import Any

from pipeline.errors import Problem
from pipeline.files import read_json
from pipeline.structures import Labels, own_numbers

SCHEMA = Path(__file__).with_name("metadata_schema.json")
OWN_KEYS = {"torch": "pytorch_version", "monai": "monai_version", "numpy": "numpy_version"}
COMMAND_LINE = ("fire", "PyYAML")  # `python -m monai.bundle`


def filled(
    metadata: Mapping[str, Any],
    *,
    imported: Iterable[str],
    labels: Labels,
    in_channels: int,
    out_channels: int,
    patch_size: Iterable[int],
    score: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The metadata of the repository's bundle, completed.

    `channel_def` of the output names the numbers of the masks, background included, which is what MONAI Label takes
    from it; `pred_classes` describes the network's own channels.

    Args:
        metadata: as it stands in the repository.
        imported: top-level modules that the carried code imports.
        labels: structure -> number or numbers.
        in_channels, out_channels: of the network.
        patch_size: of a window.
        score: {"metric": name, "score": number, "fold": number} of the weights, if it is known; left out where the
            fold is "all": it is that of patients who were trained on.
    """
    named = [*map(_distribution, imported), *COMMAND_LINE, *metadata.get("required_packages_version", {})]
    required = {_canonical(name): name for name in named if name not in OWN_KEYS}
    meta = {
        **metadata,
        **{key: _version(package) for package, key in OWN_KEYS.items()},
        "required_packages_version": {name: _version(name) for _, name in sorted(required.items())},
    }
    if score and "score" in score and score.get("fold") != "all":
        meta["eval_metrics"] = {score.get("metric", "score"): round(float(score["score"]), 4)}
    names = mask_names(labels)
    shapes, window = meta["network_data_format"], {"spatial_shape": list(patch_size)}
    taken, given = {"num_channels": in_channels}, {"num_channels": out_channels, "channel_def": names}
    inputs = {name: entry | window | taken for name, entry in shapes["inputs"].items()}
    outputs = {name: entry | window | given for name, entry in shapes["outputs"].items()}
    mask = {
        "type": "image",
        "format": "segmentation",
        "num_channels": 1,
        "spatial_shape": ["*", "*", "*"],
        "dtype": "uint8",
        "value_range": [0, max(map(int, names))],
        "is_patch_data": False,
        "channel_def": names,
    }
    processed = dict.fromkeys(outputs, mask)
    meta["network_data_format"] = {"inputs": inputs, "outputs": outputs, "post_processed_outputs": processed}
    return meta


def mask_names(labels: Labels) -> dict[str, str]:
    """What the numbers of the masks mean, background included: "1" -> "RV"."""
    return {"0": "background"} | {str(number): name for name, number in own_numbers(labels).items()}


def problems_of(metadata: Mapping[str, Any], source: str) -> list[Problem]:
    """What is wrong with some metadata by MONAI's schema and by its own version and changelog; no network is used."""
    import jsonschema

    validator = jsonschema.Draft202012Validator(read_json(SCHEMA))
    found = [
        Problem(source, "metadata as MONAI's bundle specification asks for", _sentence(error), "Correct the entry")
        for error in validator.iter_errors(dict(metadata))
    ]
    version = metadata.get("version")
    if version is not None and version not in metadata.get("changelog", {}):
        remedy = "Say there what the version changes"
        found.append(Problem(source, f"version {version} in the changelog", "none of that version", remedy))
    return found


def unnamed(metadata: Mapping[str, Any], imported: Iterable[str]) -> list[str]:
    """Packages that some code imports (top-level modules) and the metadata does not name, in order."""
    named = {_canonical(name) for name in (*OWN_KEYS, *metadata.get("required_packages_version", {}))}
    return sorted(name for name in {_distribution(module) for module in imported} if _canonical(name) not in named)


def _sentence(error: Any) -> str:
    place = "#".join(map(str, error.absolute_path))
    return f"{place}: {error.message}" if place else error.message


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


_distributions = cache(installed.packages_distributions)  # reads the records of all that is installed: half a second


def _distribution(module: str) -> str:
    return _distributions().get(module, [module])[0]


def _version(package: str) -> str:
    return installed.version(package).split("+")[0]
