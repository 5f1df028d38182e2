"""Folders in the layout of the Medical Segmentation Decathlon, or of nnU-Net, as a datalist."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datalists import nnunet
from pipeline.datalists.assemble import assemble
from pipeline.datalists.datalist import case_name, files_of
from pipeline.datalists.folders import entries_of, files_in, some
from pipeline.datalists.nnunet import RESTORE, Found
from pipeline.datalists.numbering import listed, target_labels
from pipeline.datalists.shapes import check_shapes
from pipeline.datalists.summaries import summary
from pipeline.errors import DataError, Problem
from pipeline.files import read_json
from pipeline.volumes.names import natural

__all__ = ["build", "summary"]

LAYOUT = "dataset.json beside imagesTr/ and labelsTr/ (Medical Segmentation Decathlon, nnU-Net)"


def build(
    root: str | os.PathLike, *, labels: Mapping[str, int | Sequence[int]] | None = None, **folding: Any
) -> dict[str, Any]:
    """List what dataset.json (Decathlon) or the folders imagesTr and labelsTr (nnU-Net) hold, split into folds.

    The files of one case, with its channels, come in two forms, told by dataset.json and the names: one file for each
    case, whose fourth axis holds the channels if there are several (Decathlon: BRATS, prostate), or one file for each
    channel, CASE_0000 and so on (nnU-Net), which become "image": [files]. A fourth axis needs no transform of its own:
    LoadImaged notes it in the metadata and EnsureChannelFirstd puts it first, so the network only has to have as many
    in_channels as the list has "channels".

    Args:
        root: the folder that holds dataset.json.
        labels: structure -> number or numbers in the label files, in place of dataset.json's "labels": to train on
            some of the structures, or on several as one.
        folding: folds, seed, patient and separator, see `assemble`.
    Returns:
        the datalist. Each item's "structures" tells the label file's numbers, so that `labels` of a training may name
        any of them. provenance["notes"] tells where dataset.json's counts and its lists differ, of files that it does
        not list, and of labels that nnU-Net would ignore.
    Raises:
        DataError: no such layout (one line), or every missing, unpaired or ill-shaped file and every fault of
            dataset.json.
    """
    root = Path(root)
    source = root / "dataset.json"
    if not source.is_file():
        raise DataError(Problem(str(root), LAYOUT, entries_of(root), "Give the folder that holds dataset.json"))
    content = _read(source)
    if not isinstance(content, dict) or not isinstance(content.get("labels"), dict):
        raise DataError(Problem(str(source), "an object with 'labels'", "none", RESTORE))
    notes: list[str] = []
    structures, own = _structures(content, str(source), notes) if labels is None else (listed(labels), None)
    targets = target_labels(structures, own=own, source=str(source) if labels is None else "labels")
    channels = _in_order(content.get("channel_names", content.get("modality", {"0": "image"})))
    by_lists = isinstance(content.get("training"), list)
    find = _from_lists if by_lists else nnunet.find_cases
    training, testing, problems = find(root, content, len(channels))
    problems += _missing(root, training + testing)
    for key, items in (("numTraining", training), ("numTest", testing)):
        if str(content.get(key, len(items))) == str(len(items)):
            continue
        if by_lists or key == "numTest":  # the lists count, so a wrong number does no harm
            notes.append(f"dataset.json says {key} {content[key]}, but {len(items)} cases are there")
        else:
            expected, found = f"{content[key]} cases (numTraining)", f"{len(items)} in imagesTr"
            problems.append(Problem(str(source), expected, found, RESTORE))
    problems = problems or check_shapes(training + testing, root, channels=len(channels))
    if problems:
        raise DataError(problems)
    notes += _unlisted(root, training + testing)
    return assemble(
        [item | {"structures": structures} for item in training],
        testing=[item | ({"structures": structures} if "label" in item else {}) for item in testing],
        labels=targets,
        **folding,
        notes=notes,
        name=str(content.get("name") or root.resolve().name),
        description=str(content.get("description", "")),
        modality=", ".join(dict.fromkeys(channels)),
        channels=channels,
        reference=str(content.get("reference", "")),
        licence=str(content.get("licence", content.get("license", ""))),
    )


def _read(source: Path) -> Any:
    try:
        return read_json(source)
    except DataError as error:
        raise DataError(Problem(str(source), "JSON", error.problems[0].found, RESTORE)) from None


def _structures(
    content: Mapping[str, Any], source: str, notes: list[str]
) -> tuple[dict[str, list[int]], dict[str, int] | None]:
    """The structures of "labels" in either form, and nnU-Net's numbers for regions."""
    labels = content["labels"]
    if all(re.fullmatch(r"\d+", str(key)) for key in labels) and all(isinstance(v, str) for v in labels.values()):
        names = list(labels.values())  # the Decathlon's form: {"0": "background", "1": "edema"}
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(Problem(source, "a name for each label", f"{', '.join(twice)} twice", "Rename one"))
        labels = {name: int(key) for key, name in labels.items()}
    structures = listed(labels)
    ignored = structures.pop("ignore", None)
    if ignored is not None:
        notes.append(f"voxels labelled 'ignore' ({ignored[0]}) count as background here")
    order = content.get("regions_class_order")
    if order is None:
        return structures, None
    if not isinstance(order, list) or len(order) != len(structures):
        expected = f"'regions_class_order' with {len(structures)} numbers, one for each region"
        raise DataError(Problem(source, expected, str(order), "Correct dataset.json"))
    return structures, dict(zip(structures, order, strict=True))


def _in_order(names: Any) -> list[str]:
    """{"0": "FLAIR", "1": "T1w"} as a list."""
    if isinstance(names, dict):
        return [str(names[key]) for key in sorted(names, key=natural)] or ["image"]
    return [str(name) for name in names] if isinstance(names, list) and names else [str(names)]


def _from_lists(root: Path, content: Mapping[str, Any], channels: int) -> Found:
    """The Decathlon's lists; nnU-Net's first version wrote the same, with _0000 left out of the names."""
    problems: list[Problem] = []
    sections: list[list[dict[str, Any]]] = []
    for section in ("training", "test"):
        items = []
        entries = content.get(section) or []
        if not isinstance(entries, list):
            problems.append(Problem(f"dataset.json: {section}", "a list", str(entries), RESTORE))
            entries = []
        for index, entry in enumerate(entries):
            entry = entry if isinstance(entry, dict) else {"image": entry}
            label = entry.get("label") or ("" if section == "test" else None)
            if not isinstance(entry.get("image"), str) or not isinstance(label, str):
                wanted = "'image' and 'label', names" if section == "training" else "'image', a name"
                problems.append(Problem(f"dataset.json: {section}[{index}]", wanted, str(entry), RESTORE))
                continue
            image = posixpath.normpath(entry["image"])
            item = {"image": _existing(root, image, channels)}
            if label:
                item["label"] = posixpath.normpath(label)
            items.append(item | {"case": case_name(image)})
        sections.append(items)
    return sections[0], sections[1], problems


def _existing(root: Path, image: str, channels: int) -> str | list[str]:
    """The file as listed, or CASE_0000 and so on where only these are there."""
    stem = case_name(image)
    suffix = posixpath.basename(image)[len(stem) :]
    numbered = [f"{posixpath.dirname(image)}/{stem}_{number:04d}{suffix}" for number in range(channels)]
    if (root / image).exists() or not (root / numbered[0]).exists():
        return image
    return numbered if channels > 1 else numbered[0]


def _missing(root: Path, items: Iterable[Mapping[str, Any]]) -> list[Problem]:
    return [
        Problem(str(root / path), f"a file of case {item['case']}", "no such file", RESTORE)
        for item in items
        for path in files_of(item)
        if not (root / path).exists()
    ]


def _unlisted(root: Path, items: Iterable[Mapping[str, Any]]) -> list[str]:
    known = {path for item in items for path in files_of(item)}
    extra = [path.name for path in files_in(root / "imagesTr", "") if f"imagesTr/{path.name}" not in known]
    return [f"{len(extra)} files in imagesTr are not used: {some(extra, 3)}"] if extra else []
