"""A flat bundle folder of the repository becomes the packed form that other programs take, with all that it needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.files import read_json
from pipeline.packaging import card, checksums, configs
from pipeline.packaging.loading import PREFIX, network_channels
from pipeline.packaging.metadata import filled, problems_of
from pipeline.packaging.names import our_names, renamed, with_files
from pipeline.packaging.sources import ROOT, Sources, imported_by

SAME = (
    *("network_def", "network", "preprocessing", "labels", "in_channels", "network_channels", "out_channels"),
    *("patch_size", "spacing", "neighbours", "target", "targets", "hu_window", "crop_to_body"),
)
NEEDED = ("inference", "metadata")
MOST_MEMBERS = 9
TOLD = ("labels", "in_channels", "spacing", "patch_size", "neighbours", "hu_window")  # on the page of other weights


@dataclass
class Packed:
    """What was written.

    Args:
        folder: the packed bundle.
        module: name of the Python package that it carries.
        zip: the archive, if one was asked for.
        exports: how each exported network compares with the eager one, by format.
    """

    folder: Path
    module: str
    zip: Path | None = None
    exports: dict[str, Any] = field(default_factory=dict)


def package(
    bundle: str | Path,
    output: str | Path = "dist",
    *,
    weights: str | Path | Sequence[str | Path] | None = None,
    overrides: Mapping[str, Any] | None = None,
    name: str | None = None,
    make_zip: bool = False,
    torchscript: bool = False,
    onnx: bool = False,
    overwrite: bool = False,
) -> Packed:
    """Write OUTPUT/NAME_segmentation: configs, models, docs, LICENSE, and our Python that they reach.

    The Python lies in a package that is named by bundle and version (`volseg_acdc_0_1_0`), so that several bundles
    live in one server. The folder appears whole or not at all.

    Args:
        bundle: folder with train.json, inference.json and metadata.json, e.g. bundles/acdc.
        output: folder of packed bundles.
        weights: a file instead of the bundle's models/model.pt, or several whose answers are to be averaged, e.g. those
            of all folds; what they are worth is read from the .json beside the first. The bundle's card and figures
            come along only with weights from the bundle's own folder.
        overrides: top-level keys that the weights were trained with, e.g. {"target": "both"}.
        name: what the packed bundle is called, instead of the bundle's folder.
        make_zip: also OUTPUT/NAME_segmentation_vVERSION.zip.
        torchscript, onnx: also models/model.ts, models/model.onnx, compared with the eager network.
        overwrite: replace what is there.

    Raises:
        DataError: a name that is a path, no bundle, no weights or those of another network, train.json and
            inference.json that differ in what they must share, metadata that is not complete, or an output that exists;
            everything that is found.
    """
    bundle, output = Path(bundle), Path(output)
    files = _read(bundle, dict(overrides or {}))
    weights = _weights(weights, bundle)
    own = all(file.resolve().is_relative_to(bundle.resolve()) for file in weights)
    name = _plain(name or bundle.resolve().name)
    target = output / (name if "segmentation" in name else f"{name}_segmentation")
    metadata = files.pop("metadata")
    zipped = output / f"{target.name}_v{metadata.get('version')}.zip"
    problems = [*_mismatches(files, bundle), *problems_of(metadata, str(bundle / "metadata.json"))]
    problems += _existing([target, *([zipped] if make_zip else [])], overwrite)
    problems += _weight_problems(files["inference"], weights)
    if problems:
        raise DataError(problems)
    module = re.sub(r"\W", "_", f"{PREFIX}{name}_{metadata['version']}")
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".volseg-") as scratch:
        folder = Path(scratch, target.name)
        folder.mkdir()
        packed = Packed(target, module)
        _write(bundle, folder, files, metadata, weights, module, name=None if own else target.name)
        if torchscript or onnx:
            from pipeline.packaging.export import export

            packed.exports = export(folder, torchscript=torchscript, onnx=onnx)
        checksums.write(folder)
        if make_zip:
            packed.zip = zipped
            _zip(folder, Path(scratch, zipped.name))
            os.replace(Path(scratch, zipped.name), zipped)
        if target.exists():
            os.replace(target, Path(scratch, "before"))
        os.replace(folder, target)
    return packed


def _read(bundle: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    missing = [key for key in NEEDED if not (bundle / f"{key}.json").is_file()]
    if missing:
        remedy = "Give a folder such as bundles/acdc"
        raise DataError([Problem(str(bundle), f"a bundle with {key}.json", "none", remedy) for key in missing])
    files = {path.stem: read_json(path) for path in sorted(bundle.glob("*.json"))}
    unknown = [key for key in overrides if key not in files["inference"]]
    if unknown:
        remedy = "Name a top-level key of inference.json"
        raise DataError([Problem(key, "a key of the configuration", "none of that name", remedy) for key in unknown])
    for name, config in files.items():
        if name != "metadata":
            config.update({key: value for key, value in overrides.items() if key in config})
            files[name] = with_files(config)
    return files


def differing(configs: Mapping[str, Any]) -> list[str]:
    """Keys in which train.json, if there is one, and inference.json differ, of those that they must share."""
    inference = configs["inference"]
    train = configs.get("train", inference)
    return [key for key in SAME if train.get(key) != inference.get(key)]


def _mismatches(files: Mapping[str, Any], bundle: Path) -> list[Problem]:
    where, remedy = str(bundle / "inference.json"), "Make them equal: a network must see the same at both times"
    return [Problem(where, f"{key} as in train.json", "another one", remedy) for key in differing(files)]


def _plain(name: str) -> str:
    if name in (".", "..") or Path(name).name != name:
        raise DataError(Problem("name", "the name of a folder", repr(name), "Give one without / and not . or .."))
    return name


def _existing(paths: list[Path], overwrite: bool) -> list[Problem]:
    there = [path for path in paths if path.exists()]
    foreign = [path for path in there if path.is_dir() and not (path / "configs" / "metadata.json").is_file()]
    remedy = "Choose another output or name"
    if foreign:
        return [Problem(str(path), "no folder of something else", "one", remedy) for path in foreign]
    remedy = "Ask for it to be overwritten, or choose another output"
    return [] if overwrite else [Problem(str(path), "no packed bundle yet", "one", remedy) for path in there]


def _weights(given: str | Path | Sequence[str | Path] | None, bundle: Path) -> list[Path]:
    """The files that were given, or the bundle's own: the first, and those that answer together with it."""
    from pipeline.checkpoints import further_members

    if given is None:
        first = bundle / "models" / "model.pt"
        return [first, *further_members(first)]
    files = [Path(file) for file in ([given] if isinstance(given, str | Path) else given)]
    if not 1 <= len(files) <= MOST_MEMBERS:
        raise DataError(Problem("weights", f"1 to {MOST_MEMBERS} files", str(len(files)), "Give the best of them"))
    return files


def _weight_problems(inference: dict[str, Any], weights: Sequence[Path]) -> list[Problem]:
    from monai.bundle import ConfigParser

    from pipeline.checkpoints import load_weights

    problems: list[Problem] = []
    for file in weights:
        try:
            load_weights(ConfigParser(dict(inference)).get_parsed_content("network_def"), file)
        except DataError as error:
            problems += error.problems
    return problems


def _write(
    bundle: Path,
    folder: Path,
    files: dict[str, Any],
    metadata: dict[str, Any],
    weights: Sequence[Path],
    module: str,
    *,
    name: str | None,
) -> None:
    """All files; with a name those of weights that are not the bundle's own."""
    from monai.bundle import ConfigParser

    roots = [Path.cwd(), *bundle.resolve().parents[1:2], ROOT.parent]
    carried = configs.carried_files(files.values(), roots)
    packed = configs.pack(files, carried)
    Sources(set().union(*map(our_names, packed.values()))).write(folder, module)
    _copy(bundle, folder, weights, carried.values(), documents=name is None)
    for kind, config in packed.items():
        _dump(renamed(config, module), folder / "configs" / f"{kind}.json")
    parser = ConfigParser(dict(files["inference"]))
    worth = folder / "models" / "model.json"
    score = read_json(worth) if worth.is_file() else None
    told = {key: parser.get_parsed_content(key) for key in ("labels", "out_channels", "patch_size")}
    told |= {"in_channels": network_channels(parser), "imported": imported_by(folder / module)}
    page = card.own_page(bundle, metadata)
    if name is not None:
        metadata = card.other_metadata(metadata, told["labels"], name=name, in_channels=told["in_channels"])
        settings = {key: parser.get_parsed_content(key) for key in TOLD if key in parser}
        page = card.other_page(metadata, settings | {"score": score or card.UNKNOWN})
    _dump(filled(metadata, score=score, **told), folder / "configs" / "metadata.json")
    page += card.how_to_use(module, metadata["version"])
    (folder / "docs" / "README.md").write_text(page, encoding="utf-8")


def _copy(bundle: Path, folder: Path, weights: Sequence[Path], carried: Iterable[Path], *, documents: bool) -> None:
    """What a packed bundle has as the repository has it, where it is there."""
    (folder / "docs").mkdir()
    if documents and (bundle / "docs").is_dir():
        shutil.copytree(bundle / "docs", folder / "docs", dirs_exist_ok=True)
    places = {path: f"configs/{path.name}" for path in (*carried, bundle / "logging.conf")}
    places |= {weights[0].with_suffix(".json"): "models/model.json", weights[0]: "models/model.pt"}
    places |= {file: f"models/model_{number}.pt" for number, file in enumerate(weights[1:], start=2)}
    places[bundle / "LICENSE"] = "LICENSE"
    if documents:
        places[bundle / "data_license.txt"] = "docs/data_license.txt"
    for path, place in places.items():
        (folder / place).parent.mkdir(exist_ok=True)
        if path.is_file():
            shutil.copyfile(path, folder / place)


def _dump(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _zip(folder: Path, path: Path) -> None:
    """Equal folders give equal archives: no times are stored."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted([*checksums.files_of(folder), checksums.NAME]):
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", (1980, 1, 1, 0, 0, 0))
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, (folder / name).read_bytes())
