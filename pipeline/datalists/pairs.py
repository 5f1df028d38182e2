"""A folder of images and a folder of masks as a datalist: matched by name, label numbers as found in the masks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalists.assemble import assemble
from pipeline.datalists.numbering import listed, target_labels
from pipeline.datalists.partners import find_files, pair
from pipeline.datalists.shapes import check_shapes
from pipeline.datalists.summaries import summary
from pipeline.errors import DataError, Problem
from pipeline.volumes import names_of

__all__ = ["build", "root_of", "summary"]

MOST_NAMELESS = 20  # more label numbers than this without a name are grey values, or a smeared mask


def build(
    images: str | os.PathLike,
    masks: str | os.PathLike,
    *,
    labels: Mapping[str, int | Sequence[int]] | None = None,
    foreground: str = "foreground",
    match: str | None = None,
    **folding: Any,
) -> dict[str, Any]:
    """Match images and masks by name, look up the label numbers, and split the cases into folds.

    An image and its mask have the same name below their folders, apart from the suffix and from endings such as _mask,
    _seg, _gt, _label or _segmentation (masks) and _image, _img or _ct (images); several images named MASK_0000,
    MASK_0001 and so on are the channels of one case (nnU-Net). Where the two folders are one, the files with such a
    mask ending are the masks.

    Args:
        images: folder of 2D pictures or 3D volumes, searched with its subfolders.
        masks: the same for the masks; label numbers, exact, so no JPEG.
        labels: structure -> the number or numbers in the masks, background left out. By default a single number (1
            or 255, say) is `foreground`, and several are "label 1", "label 2", ...
        foreground: the name of the only structure where `labels` is not given.
        match: regular expression found in the names of images and masks; its first part in brackets, or all that it
            matches, is what they share. In place of the rule above: r"\\d+" pairs volume-3.nii with segmentation-3.nii.
        folding: folds, seed, patient and separator, see `assemble`; the patient is looked for in the image's name.
    Returns:
        the datalist; paths are relative to `root_of(images, masks)`. The targets are numbered 1, 2, ...; each item's
        "structures" tells the numbers in the masks.
    Raises:
        DataError: no such folder; every image without a mask and mask without an image, several of one name, images
            of another shape than their mask, unreadable masks, numbers that `labels` does not name.
    """
    images, masks = Path(images), Path(masks)
    root = root_of(images, masks)
    items, problems = pair(images, masks, *find_files(images, masks), match=match)
    if problems:
        raise DataError(problems)
    items = [_relative(item, root) for item in items]
    problems = check_shapes(items, root)
    numbers, unreadable = _numbers(root, items)
    named = {problem.file for problem in problems}
    problems += [problem for problem in unreadable if problem.file not in named]
    if problems:
        raise DataError(problems)
    structures, notes = _structures(numbers, labels, foreground)
    return assemble(
        [item | {"structures": structures} for item in items],
        labels=target_labels(structures),
        **folding,
        notes=notes,
        name=root.resolve().name,
        description=f"Pairs of {images.name} and {masks.name}",
        channels=[str(number) for number, _ in enumerate(names_of(items[0]["image"]))],
    )


def root_of(images: str | os.PathLike, masks: str | os.PathLike) -> Path:
    """The folder that holds both, which the paths of the list are relative to; relative itself if both are."""
    common = os.path.commonpath([os.path.abspath(images), os.path.abspath(masks)])
    return Path(common if os.path.isabs(images) or os.path.isabs(masks) else os.path.relpath(common))


def _relative(item: Mapping[str, Any], root: Path) -> dict[str, Any]:
    *images, label = (Path(os.path.relpath(path, root)).as_posix() for path in [*item["image"], item["label"]])
    return {**item, "image": images if len(images) > 1 else images[0], "label": label}


def _numbers(root: Path, items: Sequence[Mapping[str, Any]]) -> tuple[dict[int, str], list[Problem]]:
    """The label numbers in the masks, background left out, each with a mask that holds it; and unreadable masks."""
    from tqdm import tqdm

    from pipeline import volumes

    example: dict[int, str] = {}
    problems: list[Problem] = []
    for item in tqdm(items, desc="reading masks", unit="file", leave=False):
        try:
            for number in np.unique(volumes.read_mask(root / item["label"])).tolist():
                example.setdefault(number, item["label"])
        except DataError as error:
            problems += error.problems
        except ValueError as error:
            remedy = "Save it with the label numbers themselves"
            problems.append(Problem(str(root / item["label"]), "label numbers from 0 to 255", str(error), remedy))
    example.pop(0, None)
    return example, problems


def _structures(
    found: Mapping[int, str], labels: Mapping[str, int | Sequence[int]] | None, foreground: str
) -> tuple[dict[str, list[int]], list[str]]:
    """The masks' numbers by structure, and a note for each structure that no mask shows."""
    if labels is not None:
        structures = listed(labels)
        known = {number for numbers in structures.values() for number in numbers}
        unknown = [number for number in sorted(found) if number not in known]
        if unknown:
            expected = "only the label numbers " + ", ".join(map(str, sorted(known)))
            remedy = "Name every number by --labels, or correct the mask"
            raise DataError([Problem(found[number], expected, str(number), remedy) for number in unknown])
        absent = [name for name, numbers in structures.items() if not any(number in found for number in numbers)]
        return structures, [f"no mask shows {name}" for name in absent]
    if not found:
        raise DataError(Problem("masks", "label numbers other than 0", "none", "Check that these are the masks"))
    if len(found) > MOST_NAMELESS:
        expected = f"label numbers, at most {MOST_NAMELESS} without names"
        remedy = "Check that these are the masks, saved without loss; or name the numbers by --labels"
        raise DataError(Problem("masks", expected, f"{len(found)} different values", remedy))
    if len(found) == 1:
        return {foreground: list(found)}, []
    return {f"label {number}": [number] for number in sorted(found)}, []
