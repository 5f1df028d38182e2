"""What a packed bundle says of its weights: the bundle's own card or, of other weights, only what is known of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.packaging.metadata import mask_names
from pipeline.structures import Labels

UNKNOWN = "not told by who packed the weights"

_USE = """
## This package
Version {version}. It needs what `configs/metadata.json` names (`required_packages_version`) and nothing else; its own
Python is `{module}`. `sha256sum -c checksums.sha256` checks its files. In its folder:
```
python -m monai.bundle run --config_file configs/inference.json --dataset_dir IMAGES --output_dir MASKS
python -m monai.bundle run training --config_file configs/train.json --dataset_dir DATA --output_dir RUN
```
"""

_OTHER = """# {name}

{description}

**Research use only. Not a medical device.** Nothing is known here of the data that the weights were trained on, nor of
how well they do. Say so in this page and in `configs/metadata.json` before others use them.

| setting | value |
|---|---|
{settings}
"""


def own_page(bundle: Path, metadata: Mapping[str, Any]) -> str:
    """The bundle's model card, its paths as the packed folder has them."""
    readme, name = bundle / "README.md", bundle.resolve().name
    text = readme.read_text(encoding="utf-8") if readme.is_file() else f"# {name}\n\n{metadata['description']}\n"
    return text.replace("](docs/", "](").replace(f"bundles/{name}/", "configs/").replace("configs/models/", "models/")


def other_page(metadata: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """A page that tells the settings of weights that are not the bundle's own."""
    rows = "\n".join(f"| `{key}` | {json.dumps(value)} |" for key, value in settings.items())
    return _OTHER.format(name=metadata["name"], description=metadata["description"], settings=rows)


def how_to_use(module: str, version: str) -> str:
    """The end of either page."""
    return _USE.format(module=module, version=version)


def other_metadata(metadata: Mapping[str, Any], labels: Labels, *, name: str, in_channels: int) -> dict[str, Any]:
    """The metadata without what holds of the bundle's own weights and data."""
    names = mask_names(labels)
    structures = ", ".join(list(names.values())[1:])
    classes = ", ".join(f"{number} {structure}" for number, structure in names.items())
    shapes = {kind: dict(entries) for kind, entries in metadata["network_data_format"].items()}
    shapes["inputs"] = {
        key: {**entry, "channel_def": {str(n): f"channel {n}" for n in range(in_channels)}}
        for key, entry in shapes["inputs"].items()
    }
    return {
        **metadata,
        "name": name,
        "changelog": {metadata["version"]: f"weights of its own, with the configuration of '{metadata['name']}'"},
        "task": f"Segmentation of {structures}",
        "description": f"Segments {structures}; trained by the configuration of '{metadata['name']}'.",
        **dict.fromkeys(("authors", "copyright", "data_source", "image_classes"), UNKNOWN),
        "label_classes": f"single channel label map: {classes}",
        "pred_classes": "channels of logits in the order of the structures",
        "references": [],
        "network_data_format": shapes,
    }
