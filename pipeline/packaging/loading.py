"""A packed bundle in this process: its Python on the module path, its configuration, its network with weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.files import read_json

if TYPE_CHECKING:
    from monai.bundle import ConfigParser
    from torch import nn

PREFIX = "volseg_"


def module_of(folder: Path) -> str | None:
    """Name of the Python package that a packed bundle carries, None where it has none."""
    found = sorted(path.parent.name for path in folder.glob(f"{PREFIX}*/__init__.py"))
    return found[0] if found else None


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    """Let a packed bundle's Python be found; afterwards it is forgotten again."""
    module = module_of(folder)
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        for name in [name for name in sys.modules if module and name.split(".")[0] == module]:
            del sys.modules[name]


def parser_of(folder: Path, **overrides: Any) -> ConfigParser:
    """The inference.json of a packed bundle, with `bundle_root` set to its folder; used within `on_path`."""
    from monai.bundle import ConfigParser

    return ConfigParser(read_json(folder / "configs" / "inference.json") | {"bundle_root": str(folder)} | overrides)


def network_channels(parser: ConfigParser) -> int:
    """How many channels the network takes: more than the images have (`in_channels`) where it sees neighbours, too."""
    return int(parser.get_parsed_content("network_channels" if "network_channels" in parser else "in_channels"))


def network_of(folder: Path) -> nn.Module:
    """The `network_def` of a packed bundle with its weights, on the CPU and in evaluation mode.

    Raises:
        DataError: the weights are missing, or those of another network.
    """
    from pipeline.checkpoints import load_weights

    network = parser_of(folder, device="$torch.device('cpu')").get_parsed_content("network_def")
    return load_weights(network, folder / "models" / "model.pt").eval()
