"""Which image belongs to which mask, by their names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.datalists.assemble import compiled
from pipeline.datalists.datalist import case_name
from pipeline.datalists.folders import entries_of, files_below
from pipeline.errors import DataError, Problem
from pipeline.volumes.names import natural, suffix_of

MASK_ENDINGS = ("segmentation", "groundtruth", "labels", "label", "masks", "mask", "seg", "gt")
IMAGE_ENDINGS = ("images", "image", "img", "ct")
KINDS = "NIfTI, .mha, .nrrd, .png, .jpg, .bmp, .tif"


def find_files(images: Path, masks: Path) -> tuple[list[Path], list[Path]]:
    """The files below both folders; a folder inside the other one does not belong to it.

    Where they are one folder, files whose names end in one of MASK_ENDINGS are the masks.

    Raises:
        DataError: no such folder, or nothing in it that is an image by its name.
    """
    if os.path.realpath(images) == os.path.realpath(masks):
        paths = _below(images)
        found_masks = [path for path in paths if _ending(case_name(path), MASK_ENDINGS)]
        found_images = [path for path in paths if path not in set(found_masks)]
    else:
        found_images, found_masks = _below(images, masks), _below(masks, images)
    problems = [
        Problem(str(folder), f"{what} ({KINDS})", entries_of(folder), "Give the folder that holds them")
        for folder, what, paths in ((images, "images", found_images), (masks, "masks", found_masks))
        if not paths
    ]
    if problems:
        raise DataError(problems)
    return found_images, found_masks


def pair(
    images: Path, masks: Path, found_images: Sequence[Path], found_masks: Sequence[Path], *, match: str | None = None
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """Match by name, and see that no file is left over.

    Args:
        images, masks: the folders, below which partners lie in the same place.
        found_images, found_masks: their files.
        match: regular expression; partners are those in whose names its first part in brackets, or all that it
            matches, is the same, in whatever folder.
    Returns:
        items: "image", the paths (one, or NAME_0000, NAME_0001, ...: channels of the mask NAME), "label" and
        "case", the image's name without the channel, in all with their folders where names occur twice; and the
        problems.
    """
    rule = compiled(match, "match")
    whole = {_place(path, images) for path in found_images}
    partners: dict[str, list[Path]] = {}
    for path in found_masks:
        partners.setdefault(_mask_key(path, masks, rule, whole), []).append(path)
    members: dict[str, list[Path]] = {}
    problems = []
    for path in found_images:
        key = next((key for key in _image_keys(path, images, rule) if key in partners), None)
        if key is None:
            problems.append(Problem(str(path), f"a mask of it in {masks}", "none", "Add it, or take the image away"))
        else:
            members.setdefault(key, []).append(path)
    problems += _left_over(images, members, partners)
    items = [_item(images, paths, partners[key][0]) for key, paths in members.items()]
    problems += _uneven(items)
    return _with_short_names(items), problems


def _below(folder: Path, *without: Path) -> list[Path]:
    return sorted((path for path in files_below(folder, without=without) if suffix_of(path)), key=natural)


def _place(path: Path, folder: Path) -> str:
    return str(path.parent.relative_to(folder) / case_name(path))


def _mask_key(path: Path, folder: Path, rule: re.Pattern[str] | None, whole: set[str]) -> str:
    name = _place(path, folder)
    if rule is not None:
        return _found(rule, case_name(path)) or name
    ending = _ending(name, MASK_ENDINGS)
    return name if name in whole or not ending else name[: -len(ending)]


def _image_keys(path: Path, folder: Path, rule: re.Pattern[str] | None) -> Iterable[str]:
    """What the mask may be called: the whole name, the name without its ending, the name without its channel."""
    name = _place(path, folder)
    if rule is not None:
        return [found] if (found := _found(rule, case_name(path))) else []
    ending = _ending(name, IMAGE_ENDINGS)
    return [name, *([name[: -len(ending)]] if ending else []), *([name[:-5]] if _is_channel(name) else [])]


def _found(rule: re.Pattern[str], stem: str) -> str | None:
    found = rule.search(stem)
    return found.group(1 if rule.groups else 0) if found else None


def _ending(name: str, endings: Iterable[str]) -> str | None:
    """The ending of a name with its separator: "_mask" of "a_mask"; None of "amask"."""
    found = re.search(rf"(?<=[^/])[_-]({'|'.join(endings)})$", name, re.IGNORECASE)
    return found.group() if found else None


def _is_channel(name: str) -> bool:
    return re.search(r"[^/]_\d{4}$", name) is not None


def _left_over(images: Path, members: dict[str, list[Path]], partners: dict[str, list[Path]]) -> Iterable[Problem]:
    for key, paths in partners.items():
        if key not in members:
            yield Problem(str(paths[0]), f"an image of it in {images}", "none", "Add it, or take the mask away")
        if len(paths) > 1:
            there = " and ".join(path.name for path in paths)
            yield Problem(str(paths[0]), "one mask for each image", there, "Keep one, or give --match")
    for key, paths in members.items():
        if len(paths) > 1 and not _are_numbered(paths):
            there = " and ".join(path.name for path in paths)
            remedy = "Number its channels _0000, _0001, ..., or say by --match what an image shares with its mask"
            yield Problem(str(paths[0]), f"one image for {partners[key][0].name}", there, remedy)


def _are_numbered(paths: Sequence[Path]) -> bool:
    return [case_name(path)[-5:] for path in paths] == [f"_{number:04d}" for number in range(len(paths))]


def _uneven(items: list[dict[str, Any]]) -> list[Problem]:
    usual = Counter(len(item["image"]) for item in items).most_common(1)
    remedy = "Add the missing files, or take the case away"
    return [
        Problem(item["case"], f"{usual[0][0]} channels, as in most cases", str(len(item["image"])), remedy)
        for item in items
        if len(item["image"]) != usual[0][0] and (len(item["image"]) == 1 or _are_numbered(item["image"]))
    ]


def _item(images: Path, paths: list[Path], mask: Path) -> dict[str, Any]:
    name = _place(paths[0], images)
    numbered = len(paths) > 1 or (_is_channel(name) and not case_name(mask).startswith(case_name(paths[0])))
    return {"image": paths, "label": mask, "case": name[:-5] if numbered else name}


def _with_short_names(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases called by their file or, where a name would occur twice, all of them by its folders and their file: a rule
    for patients must see names of one form."""
    short = [os.path.basename(item["case"]) for item in items]
    long = [item["case"].replace(os.sep, "_") for item in items]
    names = short if len(set(short)) == len(items) else long
    return [{**item, "case": name} for item, name in zip(items, names, strict=True)]
