"""The images below a folder, for inference, where no datalist names them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.datalists.datalist import case_name
from pipeline.datalists.folders import files_below
from pipeline.errors import DataError, Problem
from pipeline.volumes.names import ITK_SUFFIXES, NIFTI_SUFFIXES, PICTURE_SUFFIXES, suffix_of

SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES, *PICTURE_SUFFIXES)
NO_IMAGES = ("_gt", "_seg", "_segmentation", "_mask", "_label", "_pred", "_instances", "_entropy", "_preview")
MASK_FOLDERS = ("labels", "labelstr", "labelsts", "masks")


def list_images(
    folder_or_file: str | os.PathLike, *, without: Iterable[str | os.PathLike] = ()
) -> list[dict[str, str]]:
    """Every volume and every picture below a folder, or the one file given.

    Left out below a folder: names and folders that begin with a dot, masks and what is made of them (stems that end in
    _gt, _seg, _segmentation, _mask, _label, _pred, _instances, _entropy or _preview, and what lies below a folder
    called labels, labelsTr, labelsTs or masks), and a cine file `X_4d` beside frames `X_frameNN` of it.

    Args:
        folder_or_file: a folder, searched with all its subfolders, or one image.
        without: folders below it that are not searched.
    Returns:
        [{"image": path, "case": name}], sorted by path. The case is the file's stem; stems that occur more than once
        are preceded by their folders, so that names are unique.
    Raises:
        DataError: no such path, or no image there.
    """
    root = Path(folder_or_file)
    looked_for = "an image (" + ", ".join(SUFFIXES) + ")"
    if root.is_file() and not suffix_of(root):
        remedy = "Convert it to NIfTI, or give the folder that holds a DICOM series"
        raise DataError(Problem(str(root), looked_for, "another kind of file", remedy))
    if root.is_file():
        return [{"image": str(root), "case": case_name(root)}]
    if not root.is_dir():
        raise DataError(Problem(str(root), "a folder or an image", "no such path", "Check how it is spelt"))
    files = sorted(files_below(root, without=without))
    found = [path for path in files if suffix_of(path) and not _is_mask(path, root)]
    found = [path for path in found if not has_frames(path, found)]
    if not found:
        raise DataError(Problem(str(root), looked_for, "none below it", "Give the folder that holds the images"))
    return [{"image": str(path), "case": case} for path, case in zip(found, _unique_names(found, root), strict=True)]


def joined(images: Iterable[dict[str, Any]], channels: int) -> list[dict[str, Any]]:
    """The images, CASE_0000, CASE_0001 and so on of one folder as one case, as nnU-Net names its channels.

    Args:
        images: items as `list_images` gives them.
        channels: how many the network takes; only groups of just so many, 2 or more, are channels of a case. Others
            stay as they are.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for item in images:
        stem = case_name(item["image"])
        number = re.fullmatch(r".+_(\d{4})", stem)
        place = os.path.join(os.path.dirname(item["image"]), stem)
        groups.setdefault(f"{place[:-5]}*{suffix_of(item['image'])}" if number else place, []).append(item)
    return [item for group in groups.values() for item in _case_of(group, channels)]


def _case_of(group: list[dict[str, Any]], channels: int) -> list[dict[str, Any]]:
    group = sorted(group, key=lambda item: case_name(item["image"]))
    wanted = [f"_{channel:04d}" for channel in range(channels)]
    if channels < 2 or [case_name(item["image"])[-5:] for item in group] != wanted:
        return group
    return [{"image": [item["image"] for item in group], "case": group[0]["case"][:-5]}]


def _is_mask(path: Path, root: Path) -> bool:
    folders = path.relative_to(root).parts[:-1]
    return case_name(path).endswith(NO_IMAGES) or any(name.lower() in MASK_FOLDERS for name in folders)


def has_frames(path: Path, found: Iterable[Path]) -> bool:
    """Whether a file is a cine X_4d, and its frames X_frameNN are among those that were found beside it."""
    stem = case_name(path)
    frames = stem.removesuffix("_4d") + "_frame"
    beside = (other.name for other in found if other.parent == path.parent)
    return stem.endswith("_4d") and any(name.startswith(frames) for name in beside)


def _unique_names(paths: list[Path], root: Path) -> list[str]:
    def with_folders(path: Path) -> str:
        return "_".join([*path.relative_to(root).parts[:-1], case_name(path)])

    def with_suffix(path: Path) -> str:
        return with_folders(path) + "_" + path.name[len(case_name(path)) :].strip(".").replace(".", "_")

    names = [case_name(path) for path in paths]
    for longer in (with_folders, with_suffix):
        count = Counter(names)
        names = [longer(path) if count[name] > 1 else name for path, name in zip(paths, names, strict=True)]
    twice = [name for name, number in Counter(names).items() if number > 1]
    if twice:
        remedy = "Rename one of the files or segment the folders one by one"
        raise DataError([Problem(name, "one image of this name", "several", remedy) for name in twice])
    return names
