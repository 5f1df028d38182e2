"""Whether the files of each case have one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import volumes
from pipeline.datalists.datalist import files_of
from pipeline.errors import DataError, Problem


def check_shapes(items: Sequence[Mapping[str, Any]], root: Path, *, channels: int = 1) -> list[Problem]:
    """Every file of a case must have the same shape; only headers are read.

    Args:
        items: with paths relative to `root`.
        channels: values per voxel that a case has; a file may hold them in its fourth axis.
    Returns:
        one problem for each file that differs from its case's first image, or that cannot be read.
    """
    from tqdm import tqdm

    problems: list[Problem] = []
    for item in tqdm(items, desc="comparing shapes", unit="case", leave=False):
        try:
            problems += _shape_faults(item, root, channels)
        except DataError as error:
            problems += error.problems
    return problems


def _shape_faults(item: Mapping[str, Any], root: Path, channels: int) -> Iterable[Problem]:
    image, *others = [root / path for path in files_of(item)]
    first = volumes.shape(image)
    several, inside = isinstance(item["image"], list), first[3] if len(first) > 3 else 1
    if not several and channels > 1 and inside != channels and not volumes.is_picture(image):
        expected = f"{channels} channels in the fourth axis"
        yield Problem(str(image), expected, _size(first), "Correct the file or the list")
    if (several or channels == 1) and inside > 1:
        yield Problem(str(image), "a volume with three axes", _size(first), "Split its fourth axis into files")
    wanted = (*first, 1)[:3]
    for path in others:
        found = volumes.shape(path)
        if volumes.trimmed((*found, 1, 1)) != wanted:
            expected = f"the shape of {image.name}, {_size(wanted)}"
            yield Problem(str(path), expected, _size(found), "Pair each image with the mask that was drawn on it")


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
