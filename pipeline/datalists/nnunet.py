"""Which files make up a case in nnU-Net's raw folders: CASE_0000 and so on for the channels, CASE for the labels."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.datalists.folders import entries_of, files_in, natural
from pipeline.errors import Problem
from pipeline.volumes import PICTURE_SUFFIXES

RESTORE = "Unpack the archive again, or correct dataset.json"
CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")

Found = tuple[list[dict[str, Any]], list[dict[str, Any]], list[Problem]]


def find_cases(root: Path, content: Mapping[str, Any], channels: int) -> Found:
    """The cases of dataset.json's table "dataset", else of imagesTr, labelsTr and imagesTs.

    Args:
        root: the folder that holds dataset.json; paths are relative to it.
        content: of dataset.json.
        channels: how many channels each case must have; three or four may be one colour picture.
    Returns:
        training and testing items with "image", "label" and "case", and the problems: missing or superfluous channels,
        labels without images and the reverse, names without a channel. The table's files are not looked for.
    """
    return _table(content) if isinstance(content.get("dataset"), dict) else _folders(root, content, channels)


def _table(content: Mapping[str, Any]) -> Found:
    """nnU-Net's "dataset": {case: {"images": [...], "label": ...}}."""
    items, problems = [], []
    for case, entry in sorted(content["dataset"].items(), key=lambda pair: natural(pair[0])):
        images = entry.get("images") if isinstance(entry, dict) else None
        if not isinstance(images, list) or not images or not isinstance(entry.get("label"), str):
            problems.append(Problem(f"dataset.json: {case}", "'images' and 'label'", str(entry), RESTORE))
            continue
        paths = [posixpath.normpath(image) for image in images]
        label = posixpath.normpath(entry["label"])
        items.append({"image": paths if len(paths) > 1 else paths[0], "label": label, "case": case})
    return items, [], problems


def _folders(root: Path, content: Mapping[str, Any], channels: int) -> Found:
    """nnU-Net's folders: imagesTr/CASE_0000.nii.gz and labelsTr/CASE.nii.gz, and the same for Ts."""
    ending = str(content.get("file_ending", ".nii.gz"))
    files = 1 if ending.lower() in PICTURE_SUFFIXES and channels in (3, 4) else channels  # a colour picture is one file
    training, problems = _folder(root, "Tr", ending, files, channels)
    testing, more = _folder(root, "Ts", ending, files, channels) if (root / "imagesTs").is_dir() else ([], [])
    labelled = {item["label"] for item in training if "label" in item}
    for item in training:
        if "label" not in item:
            label = root / "labelsTr" / f"{item['case']}{ending}"
            problems.append(Problem(str(label), f"the labels of {item['case']}", "no such file", RESTORE))
    for path in files_in(root / "labelsTr", ending):
        if f"labelsTr/{path.name}" not in labelled:
            problems.append(Problem(str(path), "an image of this case in imagesTr", "none", RESTORE))
    return training, testing, problems + more


def _folder(
    root: Path, side: str, ending: str, files: int, channels: int
) -> tuple[list[dict[str, Any]], list[Problem]]:
    found: dict[str, dict[int, str]] = {}
    problems = []
    for path in files_in(root / f"images{side}", ending):
        name = CHANNEL.match(path.name[: -len(ending)])
        if name is None:
            problems.append(Problem(str(path), f"the channel in the name, CASE_0000{ending}", path.name, "Rename it"))
        else:
            found.setdefault(name["case"], {})[int(name["channel"])] = f"images{side}/{path.name}"
    items = []
    for case, paths in sorted(found.items(), key=lambda pair: natural(pair[0])):
        wanted = range(channels if len(paths) > 1 else files)
        for channel in sorted(set(wanted) ^ set(paths)):
            name = root / f"images{side}" / f"{case}_{channel:04d}{ending}"
            there = "no such file" if channel in wanted else "a file too many"
            problems.append(Problem(str(name), f"{channels} channels for each case", there, RESTORE))
        ordered = [paths[channel] for channel in sorted(paths)]
        item: dict[str, Any] = {"image": ordered if len(ordered) > 1 else ordered[0]}
        if (root / f"labels{side}" / f"{case}{ending}").is_file():
            item["label"] = f"labels{side}/{case}{ending}"
        items.append(item | {"case": case})
    if not found and not problems and side == "Tr":
        where = str(root / "imagesTr")
        problems.append(Problem(where, f"images named CASE_0000{ending}", entries_of(root / "imagesTr"), RESTORE))
    return items, problems
