"""The parts of a bundle's inference.json, parsed once and called for one image at a time."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from difflib import get_close_matches
from glob import escape
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from pipeline.errors import DataError, Problem
from pipeline.files import read_json
from pipeline.metrics import lesions_among
from pipeline.overrides import unusable
from pipeline.segmentation.reasons import innermost, root_cause
from pipeline.structures import numbers_of
from pipeline.volumes import first_name, is_picture

NEEDED = ("device", "output_dir", "labels", "network", "preprocessing", "inferer", "postprocessing")
WEIGHTS = ("checkpoint", "load_weights")  # both, or neither where a network has nothing to load


@dataclass
class Work:
    """An image on its way: what its transforms made of it, the seconds of the steps so far (to read and preprocess, of
    the network, to restore and write), and in the end its mask and the other files (CASE_*) that postprocessing wrote.
    """

    item: Mapping[str, Any]
    data: dict[str, Any]
    seconds: dict[str, float]
    mask: Path | None = None
    others: list[Path] = field(default_factory=list)


class BundleRunner:
    """A bundle with its weights, ready to segment.

    Args:
        bundle: the bundle's folder (with inference.json or configs/inference.json), or such a file.
        output_dir: where the bundle's postprocessing writes its masks.
        weights: a checkpoint instead of the bundle's own, or several whose answers are averaged.
        device: "cpu", "cuda", "cuda:1" instead of the configuration's choice.
        overrides: configuration entries by id ("sw_batch_size", "inferer#overlap") instead of the file's.

    Attributes:
        labels: structure name -> number, or numbers where structures overlap (`pipeline.structures`), without the
            background.
        lesions: the bundle's `lesions` as far as its labels have them (structure -> organ that holds it).
        channels: the bundle's `in_channels`, 1 where it does not say.
        checkpoints: the files of the weights; none where the bundle has no `checkpoint`, several for an ensemble.
        precision: "float32", or what autocast made of it; known after the first call.

    Raises:
        DataError: no such bundle, an entry that is missing, unknown or cannot be built, no weights or those of another
            network, no such device.
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        output_dir: str | Path,
        weights: str | Path | Sequence[str | Path] | None = None,
        device: str | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self.config = find_config(bundle)
        self.folder = self.config.parent.parent if self.config.parent.name == "configs" else self.config.parent
        self.name = self.folder.resolve().name
        self.version = _version(self.config)
        self.output_dir = Path(output_dir)
        self._parser = self._parse(weights, device, dict(overrides or {}))
        self.checkpoints = self._find_checkpoints()
        self.weights_sha256 = _digest(self.checkpoints)
        self.device = self._usable_device()
        self.labels = self._read_labels()
        self.lesions = lesions_among(self.labels, self._read_lesions())
        self.channels = self._option("in_channels", 1)
        if not isinstance(self.channels, int) or self.channels < 1:
            problem = Problem(str(self.config), "'in_channels': a whole number", repr(self.channels), "Write 1, or 3")
            raise DataError(problem)
        self.precision = "unknown"
        self._load()

    def __call__(self, item: Mapping[str, Any]) -> Work:
        """Segment one item {"image": path or paths, "case": name}: `read`, `compute` and `write` in turn."""
        return self.write(self.compute(self.read(item)))

    def read(self, item: Mapping[str, Any]) -> Work:
        """Read and preprocess one item; may run in another thread while `compute` and `write` are at other items."""
        start = time.perf_counter()
        with torch.no_grad():
            data = self._preprocessing(dict(item))
        self._check_channels(item, data["image"])
        return Work(item, data, {"read": time.perf_counter() - start})

    def compute(self, work: Work) -> Work:
        """Let the network look at what was read."""
        start = time.perf_counter()
        image = work.data["image"]
        image = image.as_tensor() if isinstance(image, MetaTensor) else image
        with torch.no_grad(), self._autocast():
            work.data["pred"] = self._inferer(image[None].to(self.device), self._network)[0]
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        work.seconds["network"] = time.perf_counter() - start
        return work

    def write(self, work: Work) -> Work:
        """Let the bundle's own postprocessing write the mask; the work's data is given up."""
        start = time.perf_counter()
        data, work.data = work.data, {}
        with torch.no_grad():
            work.mask = Path(self._postprocessing(data)["mask"])
        files = self.output_dir.glob(f"{escape(work.item['case'])}_*")
        work.others = sorted(path for path in files if path != work.mask)
        work.seconds["write"] = time.perf_counter() - start
        return work

    def _parse(
        self, weights: str | Path | Sequence[str | Path] | None, device: str | None, overrides: dict[str, Any]
    ) -> ConfigParser:
        parser = _read(self.config)
        if "train" in parser:
            remedy = "Give the bundle's folder, or its inference.json"
            raise DataError(Problem(str(self.config), "a configuration for inference", "one for training", remedy))
        missing = [key for key in NEEDED if key not in parser]
        missing += [key for key in WEIGHTS if key not in parser and any(other in parser for other in WEIGHTS)]
        if missing:
            remedy = "Compare it with bundles/acdc/inference.json"
            raise DataError([Problem(str(self.config), f"the entry {key!r}", "none", remedy) for key in missing])
        if weights is not None and "checkpoint" not in parser:
            remedy = "Leave --weights out"
            raise DataError(Problem(str(self.config), "a bundle with weights", "one that has nothing to load", remedy))
        if weights is not None and "checkpoint" in overrides:
            remedy = "Leave one of the two out"
            raise DataError(Problem("weights", "--weights, or --set checkpoint=...", "both", remedy))
        _check_overrides(parser, overrides)
        given = {
            "checkpoint": str(weights) if isinstance(weights, str | Path) else weights and [str(w) for w in weights],
            "device": device and f"$torch.device({device!r})",
            "output_dir": str(self.output_dir),
        }
        parser["bundle_root"] = str(self.folder)
        parser.update(overrides | {key: value for key, value in given.items() if value is not None})
        return parser

    def _load(self) -> None:
        self._network = self._get("network")
        remedy = "Give the weights of this network, or the network of these weights"
        with _told(", ".join(map(str, self.checkpoints)), "weights of this bundle's network", remedy):
            if self.checkpoints:
                self._parser.get_parsed_content("load_weights")
        if isinstance(self._network, torch.nn.Module):
            self._network.eval()
            self._network.register_forward_pre_hook(self._note_precision)
        self._preprocessing = self._get("preprocessing")
        self._inferer = self._get("inferer")
        self._postprocessing = self._get("postprocessing")
        self._autocast = self._option("autocast", nullcontext)

    def _find_checkpoints(self) -> list[Path]:
        found = self._option("checkpoint", [])
        paths = [Path(str(path)) for path in (found if isinstance(found, list | tuple) else [found])]
        training = f"python -m monai.bundle run training --config_file {self.folder}/train.json"
        remedy = f"Train them ({training}) or give a file with --weights"
        if "checkpoint" in self._parser and not paths:
            raise DataError(Problem("checkpoint", "trained weights", "none", remedy))
        missing = [path for path in paths if not path.is_file()]
        if missing:
            raise DataError(Problem(str(path), "trained weights", "no such file", remedy) for path in missing)
        return paths

    def _usable_device(self) -> torch.device:
        remedy = "Choose another device, for example cpu"
        with _told(str(self._parser["device"]), "a device of this machine", remedy):
            device = torch.device(self._parser.get_parsed_content("device"))
            torch.empty(1, device=device)
            return device

    def _read_labels(self) -> dict[str, int | list[int]]:
        labels = self._get("labels")
        if not isinstance(labels, Mapping):
            expected = "'labels': each structure with its number"
            raise DataError(Problem(str(self.config), expected, repr(labels), 'Write {"RV": 1}, for example'))
        return {name: labels[name] for name in numbers_of(labels, source=str(self.config))}

    def _read_lesions(self) -> Mapping[str, str | None] | None:
        lesions = self._option("lesions", None)
        named = isinstance(lesions, Mapping) and all(isinstance(o, str | None) for o in lesions.values())
        if not named and lesions is not None:
            expected = "'lesions': each structure with the organ that holds it, or null"
            raise DataError(Problem(str(self.config), expected, repr(lesions), 'Write {"infection": "lungs"}'))
        return lesions

    def _option(self, key: str, default: Any) -> Any:
        return self._get(key) if key in self._parser else default

    def _get(self, key: str) -> Any:
        remedy = "Mend this entry, or what it refers to; the same goes for what --set gave"
        with _told(str(self.config), f"an entry {key!r} that can be built", remedy):
            return self._parser.get_parsed_content(key)

    def _check_channels(self, item: Mapping[str, Any], image: Any) -> None:
        seen = self._option("network_channels", self.channels)  # a multiple of those of the files
        channels = len(image) * self.channels // seen
        if "in_channels" not in self._parser or len(image) == seen:
            return
        file = first_name(item["image"])
        expected = f"{self.channels} channel{'s' * (self.channels > 1)} (in_channels)"
        found = f"{channels} (red, green and blue)" if channels == 3 and is_picture(file) else str(channels)
        raise DataError(Problem(str(file), expected, found, "Save it in grey, or give all files of the case"))

    def _note_precision(self, network: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        kind = self.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs[0].dtype
        self.precision = str(dtype).removeprefix("torch.")


def find_config(bundle: str | Path) -> Path:
    """The inference.json of a bundle: a file itself, or in the folder or its configs/, here or beside the package.

    Raises:
        DataError: there is none.
    """
    bundle = Path(bundle)
    for place in (bundle, Path(__file__).resolve().parents[2] / bundle):
        for config in (place, place / "inference.json", place / "configs" / "inference.json"):
            if config.is_file():
                return config
    found = "a folder without one" if bundle.is_dir() else "no such folder"
    raise DataError(Problem(str(bundle), "a bundle with inference.json", found, "Give a folder such as bundles/acdc"))


def channels_of(bundle: str | Path, overrides: Mapping[str, Any]) -> int:
    """How many channels a bundle's network takes, before it is built; 1 where that is not plainly told.

    Raises:
        DataError: there is no such bundle, or its inference.json cannot be read.
    """
    told = {"in_channels": 1, **_read(find_config(bundle)).get(), **overrides}["in_channels"]
    return told if isinstance(told, int) else 1


@contextmanager
def _told(file: str, expected: str, remedy: str) -> Iterator[None]:
    """Whatever goes wrong within the block is told as bad input; what tells itself so, in its own words."""
    try:
        yield
    except Exception as error:  # MONAI wraps whatever was raised in several of its own
        if isinstance(inner := innermost(error), DataError):
            raise DataError(inner.problems) from error
        raise DataError(Problem(file, expected, root_cause(error), remedy)) from error


def _read(config: Path) -> ConfigParser:
    parser = ConfigParser()
    try:
        parser.read_config(str(config))
    except Exception as error:
        found = f"a syntax error ({error})" if isinstance(error, json.JSONDecodeError) else root_cause(error)
        raise DataError(Problem(str(config), "a configuration that can be read", found, "Copy it again")) from error
    return parser


def _check_overrides(parser: ConfigParser, overrides: dict[str, Any]) -> None:
    known = [str(key) for key in parser.get()]
    problems = []
    for name in overrides:
        if (top := name.replace("::", "#").split("#")[0]) not in known:
            close = get_close_matches(top, known, n=1)
            remedy = f"Did you mean {close[0]!r}" if close else "See the keys of inference.json"
            problems.append(Problem(name, "an entry of inference.json", "none of that name", remedy))
    problems += unusable(overrides, parser.get())
    if problems:
        raise DataError(problems)


def _version(config: Path) -> str | None:
    metadata = config.with_name("metadata.json")
    content = read_json(metadata) if metadata.is_file() else None
    return content.get("version") if isinstance(content, dict) else None


def _digest(checkpoints: list[Path]) -> str | None:
    """The sha256 of the weights, of several files one after the other; None where there are none."""
    if not checkpoints:
        return None
    digest = hashlib.sha256()
    for checkpoint in checkpoints:
        with checkpoint.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()
