"""Names and numbers of the structures that are scored."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.metrics.overlap import ForeignLabels, as_labels
from pipeline.structures import Labels

MEAN = "mean"

NUMBERS = re.compile(r"\d+(\s*\+\s*\d+)*")


def parse_labels(text: str) -> dict[str, int | list[int]]:
    """Read "1=RV,2=MYO,3=LV" (or "RV=1,..."): name -> number, in the order given.

    "lungs=1+2,infection=2" gives lungs the numbers 1 and 2: voxels numbered 2 are infection and belong to the lungs.

    Raises:
        DataError: not of this form, or a name or a structure's own number (its first) twice.
    """
    labels: dict[str, int | list[int]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        one, _, other = (part.strip() for part in entry.partition("="))
        name, numbers = (other, one) if NUMBERS.fullmatch(one) else (one, other)
        if not NUMBERS.fullmatch(numbers) or not name or name in labels:
            raise DataError(_bad_labels(text, f"'{entry}'"))
        parts = [int(number) for number in numbers.split("+")]
        labels[name] = parts if len(parts) > 1 else parts[0]
    return structures_of(labels, source=text)


def structures_of(labels: Labels, *, source: str = "labels") -> dict[str, int | list[int]]:
    """The labels without background (number 0), checked: positive whole numbers, none called "mean".

    A structure may have several numbers, the first its own (see `pipeline.structures`); no two share their own.
    Unlike there, numbers may exceed 255: masks of other tools are scored too.

    Raises:
        DataError: no structure is left, or a label is not of this form.
    """
    structures = {name: value for name, value in labels.items() if value != 0}
    numbers = numbers_of(structures)
    own = {given[:1] for given in numbers.values()}
    whole = all(isinstance(number, int) and number > 0 for given in numbers.values() for number in given)
    if not whole or not own or () in own or MEAN in structures or len(own) != len(structures):
        raise DataError(_bad_labels(source, str(dict(labels))))
    return structures


def numbers_of(structures: Labels) -> dict[str, tuple[int, ...]]:
    """The numbers of each structure, its own first."""
    return {name: tuple(value) if isinstance(value, list | tuple) else (value,) for name, value in structures.items()}


def classes_of(structures: Labels) -> list[int]:
    """Every number that a mask may hold, background first: the classes 0, 1, 2 ... of `compact`."""
    return [0, *dict.fromkeys(number for numbers in numbers_of(structures).values() for number in numbers)]


def members_of(structures: Labels, classes: Sequence[int] | None = None) -> np.ndarray:
    """(structures, classes) booleans: which classes (default: of `classes_of`) make up each structure."""
    listed = classes_of(structures) if classes is None else classes
    return np.array([np.isin(listed, numbers) for numbers in numbers_of(structures).values()])


def compact(array: np.ndarray, structures: Labels, *, name: str = "label map") -> np.ndarray:
    """The map with the numbers of `classes_of` as 0, 1, 2, ..., as unsigned integers.

    Raises:
        ForeignLabels: it holds a value that is neither 0 nor a structure's number (the values are named).
    """
    classes = classes_of(structures)
    if classes == list(range(len(classes))):
        return as_labels(array, len(classes), name=name)
    known = np.array(classes)
    order = np.argsort(known)
    position = np.searchsorted(known[order], array).clip(max=len(known) - 1)
    matches = known[order][position] == array
    if not matches.all():
        listed = ", ".join(map(str, sorted(known.tolist())))
        raise ForeignLabels(name, listed, np.unique(array[~matches]).tolist())
    return order.astype(np.uint8 if len(known) <= 256 else np.int64)[position]


def _bad_labels(source: str, found: str) -> Problem:
    remedy = "Give each structure one name and a number of its own"
    return Problem(source, "labels such as 1=RV,2=MYO,3=LV or lungs=1+2,infection=2", found, remedy)
