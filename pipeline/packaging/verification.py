"""What the Model Zoo's tests check of a packed bundle on a GPU, and what its users stumble over, on a CPU."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.files import read_json
from pipeline.packaging import checksums
from pipeline.packaging.loading import module_of, network_channels, network_of, parser_of
from pipeline.packaging.metadata import mask_names, problems_of, unnamed
from pipeline.packaging.names import OURS, constants, other_file, outside, strings
from pipeline.packaging.packer import differing
from pipeline.packaging.sources import imported_by
from pipeline.packaging.trust import inspect_bundle, trusted_bundle
from pipeline.packaging.unpacking import opened

NEEDED = ("configs/metadata.json", "configs/inference.json", "models/model.pt", "LICENSE", "docs/README.md")
CODE_ROOTS = ("monai", "torch", "numpy", "ignite")


@dataclass(frozen=True)
class Finding:
    """What one check came to.

    Args:
        check: its name.
        faults: what is wrong, in words; empty if the check passed.
    """

    check: str
    faults: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def __str__(self) -> str:
        return "\n".join(f"FAIL  {self.check}: {fault}" for fault in self.faults) or f"ok    {self.check}"


def verify(folder: str | Path, *, only: Collection[str] | None = None, trust: bool = False) -> list[Finding]:
    """Check a packed bundle: a folder, or the zip that holds one.

    - files: what other programs need is there, as it was packed (checksums), and no link leads elsewhere
    - trust: nothing in it would run but what `pipeline.packaging.trust` knows; else nothing of it is run here
    - paths: no configuration names a place outside the bundle, or Python that it does not carry
    - metadata: complete, and of the network and labels that the configurations have
    - training: sees what inference sees
    - weights: fit network_def
    - network: takes and gives the channels and window that the metadata tells
    - keys: MONAI's `check_properties`, with one case made for it
    - masks: labels that go in come out, uint8, on the image's own grid

    Args:
        folder: what `package` wrote.
        only: names of checks, where not all are wanted.
        trust: run it whatever it holds; the check of that name is left out.

    Returns:
        one finding for each check. Without the configurations no further check is made.

    Raises:
        DataError: there is no such folder or archive, or an archive that may not be unpacked.
    """
    with (
        opened(folder) as unpacked,
        trusted_bundle(unpacked, trust=True) as place,  # looked at below, before anything of it runs
        tempfile.TemporaryDirectory() as scratch,
    ):
        found = [_finding("files", _files, place)]
        if any("missing" in fault and ".json" in fault for fault in found[0].faults):
            return found
        if not trust and (only is None or "trust" in only):
            found.append(_finding("trust", _trust, place))
            if not found[-1].passed:
                return found
        keys, masks = partial(_keys, scratch=Path(scratch)), partial(_masks, scratch=Path(scratch))
        checks = {"paths": _paths, "metadata": _metadata, "training": _training, "weights": _weights}
        checks |= {"network": _network, "keys": keys, "masks": masks}
        found += [_finding(name, check, place) for name, check in checks.items() if only is None or name in only]
    return found


def _finding(name: str, check: Callable[[Path], Iterable[str]], folder: Path) -> Finding:
    from pipeline.segmentation.runner import root_cause

    try:
        return Finding(name, tuple(check(folder)))
    except Exception as error:  # whatever a bundle's code raises is a finding
        return Finding(name, (root_cause(error),))


def _trust(folder: Path) -> Iterable[str]:
    return map(str, inspect_bundle(folder))


def _files(folder: Path) -> Iterator[str]:
    yield from (f"{name} is missing" for name in NEEDED if not (folder / name).is_file())
    yield from (f"{path.relative_to(folder)} is a link" for path in folder.rglob("*") if path.is_symlink())
    if not checksums.read(folder):
        yield f"{checksums.NAME} is missing"
        return
    found = checksums.differences(folder)
    yield from (f"{name} is {how}" for name, how in found.items() if name not in NEEDED or how != "missing")


def _paths(folder: Path) -> Iterator[str]:
    from monai.bundle import ConfigParser

    carried = module_of(folder)
    for path in sorted((folder / "configs").glob("*.json")):
        config = ConfigParser.load_config_file(str(path))
        if path.stem == "metadata" or isinstance(config.get("training"), list):
            continue  # a datalist is no configuration
        if config.get("bundle_root", ".") != ".":
            yield f"{path.name}: bundle_root is {config['bundle_root']!r}, not '.'"
        for place, text in strings(config):
            if place == "bundle_root":
                continue
            flat = [name for name in constants(text, joined=False) if name.startswith("bundles/")]
            file = other_file(text)
            flat += [file] if file and not (folder / file).is_file() else []
            yield from (f"{path.name}: {place} names {name}, outside the bundle" for name in outside(text) + flat)
            module = text.split(".")[0] if place.endswith("_target_") and "." in text else None
            if module is not None and module not in (*CODE_ROOTS, carried):
                yield f"{path.name}: {place} names {text}, Python that the bundle does not carry"
            if re.match(rf"\$(import|from) {OURS}\b", text):
                yield f"{path.name}: {place} imports {OURS}, which the bundle does not carry"


def _metadata(folder: Path) -> Iterator[str]:
    metadata = read_json(folder / "configs" / "metadata.json")
    problems = problems_of(metadata, "metadata.json")
    yield from (f"{problem.expected}: {problem.found}" for problem in problems)
    if problems:
        return
    image, pred = _shapes(metadata)
    parser = parser_of(folder)
    outputs, window, labels = map(parser.get_parsed_content, ("out_channels", "patch_size", "labels"))
    for what, told, true in (
        ("channels of the input", image["num_channels"], network_channels(parser)),
        ("channels of the output", pred["num_channels"], outputs),
        ("window", image["spatial_shape"], window),
        ("labels", pred.get("channel_def"), mask_names(labels)),
    ):
        if told != true:
            yield f"stale: {what} {told}, but inference.json has {true}"
    module = module_of(folder)
    if module is not None:
        if not module.endswith("_" + re.sub(r"\W", "_", metadata["version"])):
            yield f"stale: version {metadata['version']}, but the Python is {module}"
        for package in unnamed(metadata, imported_by(folder / module)):
            yield f"stale: required_packages_version lacks {package}, which {module} imports"


def _shapes(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the metadata tells of the network's input and of its output."""
    shapes = metadata["network_data_format"]
    return next(iter(shapes["inputs"].values())), next(iter(shapes["outputs"].values()))


def _training(folder: Path) -> Iterable[str]:
    paths = (folder / "configs" / f"{name}.json" for name in ("train", "inference"))
    configs = {path.stem: read_json(path) for path in paths if path.is_file()}
    return (f"train.json and inference.json differ in {key}" for key in differing(configs))


def _weights(folder: Path) -> Iterable[str]:
    network_of(folder)
    return ()


def _network(folder: Path) -> Iterator[str]:
    import torch

    image, pred = _shapes(read_json(folder / "configs" / "metadata.json"))
    window = torch.rand(1, image["num_channels"], *image["spatial_shape"])
    with torch.no_grad():
        logits = network_of(folder)(window)
    expected = (1, pred["num_channels"], *pred["spatial_shape"])
    if tuple(logits.shape) != expected:
        yield f"gives {tuple(logits.shape)} for a window {tuple(window.shape)}; the metadata tells {expected}"
    if not bool(torch.isfinite(logits).all()):
        yield "gives values that are not finite"


def _keys(folder: Path, scratch: Path) -> Iterator[str]:
    from monai.bundle import ConfigWorkflow

    from pipeline.packaging.trial import make_case

    case = make_case(folder, scratch)
    labelled = {key: case[key] for key in ("image", "label")}  # all that a server gives
    common = {"bundle_root": str(folder), "dataset_dir": str(scratch), "device": "$torch.device('cpu')"}
    given = {
        "inference": {"datalist": [case], "output_dir": str(scratch / "out")},
        "train": {
            "train#dataset#data": [labelled],
            "validate#dataset#data": [labelled],
            "output_dir": str(scratch / "run"),
        },
    }
    for kind, overrides in given.items():
        config = folder / "configs" / f"{kind}.json"
        if not config.is_file():
            continue
        workflow = ConfigWorkflow(
            config_file=str(config), workflow_type=kind, logging_file=False, **common, **overrides
        )
        workflow.initialize()
        yield from (f"{config.name}: {name} is missing or misnamed" for name in workflow.check_properties() or [])
        if not workflow.parser.get("run"):
            yield f"{config.name}: run is missing"


def _masks(folder: Path, scratch: Path) -> Iterable[str]:
    from pipeline.packaging.trial import make_case, round_trip

    return round_trip(folder, make_case(folder, scratch), scratch)
