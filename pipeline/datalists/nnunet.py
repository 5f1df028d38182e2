"""Which files make up a case in nnU-Net's raw folders: CASE_0000 and so on for the channels, CASE for the labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.datalists.folders import entries_of, files_in
from pipeline.errors import Problem
from pipeline.volumes import PICTURE_SUFFIXES

RESTORE = "Unpack the archive again, or correct dataset.json"
CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")

Found = tuple[list[dict[str, Any]], list[dict[str, Any]], list[Problem]]


def find_cases(root: Path, content: Mapping[str, Any], channels: int) -> Found:
    """The cases of imagesTr with labelsTr, and of imagesTs.

    Args:
        root: the folder that holds dataset.json; paths are relative to it.
        content: of dataset.json.
        channels: how many channels each case must have; three or four may be one colour picture.
    Returns:
        training and testing items with "image", "label" and "case", and the problems: missing or superfluous channels,
        labels without images, names without a channel. Whether training's labels are there is not looked for.
    """
    ending = str(content.get("file_ending", ".nii.gz"))
    files = 1 if ending.lower() in PICTURE_SUFFIXES and channels in (3, 4) else channels  # a colour picture is one file
    training, problems = _folder(root, "Tr", ending, files, channels)
    testing, more = _folder(root, "Ts", ending, files, channels)
    known = {item["label"] for item in training}
    for path in files_in(root / "labelsTr", ending):
        if f"labelsTr/{path.name}" not in known:
            problems.append(Problem(str(path), "an image of this case in imagesTr", "none", RESTORE))
    if not training and not problems:
        where = root / "imagesTr"
        problems.append(Problem(str(where), f"images named CASE_0000{ending}", entries_of(where), RESTORE))
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
    for case, paths in found.items():
        wanted = range(channels if len(paths) > 1 else files)
        for channel in sorted(set(wanted) ^ set(paths)):
            name = root / f"images{side}" / f"{case}_{channel:04d}{ending}"
            there = "no such file" if channel in wanted else "a file too many"
            problems.append(Problem(str(name), f"{channels} channels for each case", there, RESTORE))
        images, label = [paths[channel] for channel in sorted(paths)], f"labels{side}/{case}{ending}"
        drawn = {"label": label} if side == "Tr" or (root / label).is_file() else {}
        items.append({"image": images if len(images) > 1 else images[0], **drawn, "case": case})
    return items, problems
