"""The values of a file in one pass: range, NaN, label numbers, and a digest that equal voxels share."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.metrics.masks import label_pictures
from pipeline.volumes import has_geometry, is_nifti, is_picture, read_image
from pipeline.volumes.faults import type_fault
from pipeline.volumes.nifti import nifti_parts

MOST = 256  # different numbers of a label, or values of an image, that are kept


@dataclass
class Piece:
    """What is known of the values of a volume, or of one slice of it.

    Args:
        low, high: of the finite values.
        bad: how many are NaN or infinite.
        broken: how many are no whole numbers (of labels).
        counts: how often each number occurs (of labels; up to 256 numbers).
        many: whether there are more numbers than that.
        levels: how many different values were met, at most 256 are told apart (of images).
        digest: equal for equal values.
    """

    low: float = np.inf
    high: float = -np.inf
    bad: int = 0
    broken: int = 0
    counts: Counter[int] = field(default_factory=Counter)
    many: bool = False
    levels: int = 0
    digest: str = ""


def measure(
    path: str | Path, shape: tuple[int, ...], *, indices: tuple[int | None, ...] = (None,), is_label: bool = False
) -> dict[int | None, Piece]:
    """Read every voxel once.

    Args:
        path: an image or a label.
        shape: of the file.
        indices: slices (third axis) that are measured one by one, None for the whole. Those beyond the end come empty.
        is_label: count label numbers.

    Returns:
        {index: values}

    Raises:
        DataError: unreadable, truncated, damaged, or more than one real number per voxel.
    """
    meters = {index: _Meter(is_label) for index in indices}
    size, first = int(np.prod(shape[:2])), 0
    for part in _parts(Path(path), is_label):
        fault = type_fault(part.dtype)
        if fault:
            raise DataError(Problem(str(path), *fault))
        slices = part.reshape(-1, size)
        for index, meter in meters.items():
            if index is None:
                meter.update(part)
            elif first <= index < first + len(slices):
                meter.update(slices[index - first])
        first += len(slices)
    return {index: meter.result() for index, meter in meters.items()}


def quick_digest(path: str | Path) -> str:
    """What equal files share, without unpacking them: of gzip its checksum and length, of a picture all its bytes.

    "" for everything else.
    """
    path = Path(path)
    if path.is_dir():
        return ""
    if path.name.lower().endswith(".gz"):
        with path.open("rb") as stream:
            stream.seek(-8, 2)
            return stream.read(8).hex()
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest() if is_picture(path) else ""


def _parts(path: Path, is_label: bool) -> Iterator[np.ndarray]:
    """Flat arrays of whole slices, first axis fastest."""
    if is_nifti(path):
        yield from nifti_parts(path)
    elif is_label and not has_geometry(path):
        yield label_pictures(path).ravel(order="F")
    else:
        yield read_image(path).ravel(order="F")


class _Meter:
    """Adds up what parts of a volume hold."""

    def __init__(self, is_label: bool) -> None:
        self._is_label = is_label
        self._piece = Piece()
        self._levels: set[float] = set()
        self._hash: Any = hashlib.blake2b(digest_size=16)

    def update(self, part: np.ndarray) -> None:
        if not part.size:
            return
        self._hash.update(np.ascontiguousarray(part, "<f4"))
        piece = self._piece
        finite = part
        if part.dtype.kind == "f":
            known = np.isfinite(part)
            if not known.all():
                finite = part[known]
                piece.bad += part.size - finite.size
        if not finite.size:
            return
        piece.low, piece.high = min(piece.low, float(finite.min())), max(piece.high, float(finite.max()))
        if self._is_label:
            self._count(finite)
        elif len(self._levels) < MOST:
            sample = finite[:: max(1, finite.size // 2**18)]
            self._levels.update(np.unique(sample)[:MOST].tolist())

    def result(self) -> Piece:
        self._piece.digest = self._hash.hexdigest()
        self._piece.levels = len(self._levels)
        return self._piece

    def _count(self, values: np.ndarray) -> None:
        piece = self._piece
        if values.dtype == bool:
            values = values.view(np.uint8)
        if values.dtype.kind == "f":
            whole = values == np.rint(values)
            if not whole.all():
                piece.broken += int(values.size - np.count_nonzero(whole))
                values = values[whole]
        if values.dtype == np.uint8:
            counts = np.bincount(values, minlength=256)
            numbers = np.flatnonzero(counts)
            counts = counts[numbers]
        else:
            numbers, counts = np.unique(values, return_counts=True)
        for number, count in zip(numbers[:MOST].tolist(), counts[:MOST].tolist(), strict=True):
            piece.counts[int(number)] += int(count)
        piece.many |= len(piece.counts) > MOST or len(numbers) > MOST
