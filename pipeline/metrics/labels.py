"""Names and numbers of the structures that are scored."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.metrics.overlap import ForeignLabels, as_labels

MEAN = "mean"


def parse_labels(text: str) -> dict[str, int]:
    """Read "1=RV,2=MYO,3=LV" (or "RV=1,..."): name -> number, in the order given.

    Raises:
        DataError: not of this form, or a name or number twice.
    """
    labels: dict[str, int] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        one, _, other = (part.strip() for part in entry.partition("="))
        name, number = (other, one) if one.isdigit() else (one, other)
        if not number.isdigit() or not name or name in labels or int(number) in labels.values():
            raise DataError(_bad_labels(text, f"'{entry}'"))
        labels[name] = int(number)
    return structures_of(labels, source=text)


def structures_of(labels: Mapping[str, int], *, source: str = "labels") -> dict[str, int]:
    """The labels without background (number 0), checked: positive whole numbers, each once, none called "mean".

    Raises:
        DataError: no structure is left, or a label is not of this form.
    """
    structures = {name: number for name, number in labels.items() if number != 0}
    whole = all(isinstance(number, int) and number > 0 for number in structures.values())
    unique = len(set(structures.values())) == len(structures)
    if not structures or not whole or not unique or MEAN in structures:
        raise DataError(_bad_labels(source, str(dict(labels))))
    return structures


def compact(array: np.ndarray, structures: Mapping[str, int], *, name: str = "label map") -> np.ndarray:
    """The map with structures numbered 1, 2, ... in the order of `structures`, as unsigned integers.

    Raises:
        ForeignLabels: it holds a value that is neither 0 nor a structure's number (the values are named).
    """
    numbers = list(structures.values())
    if numbers == list(range(1, len(numbers) + 1)):
        return as_labels(array, len(numbers) + 1, name=name)
    known = np.array([0, *numbers])
    order = np.argsort(known)
    position = np.searchsorted(known[order], array).clip(max=len(known) - 1)
    matches = known[order][position] == array
    if not matches.all():
        listed = ", ".join(map(str, sorted(known.tolist())))
        raise ForeignLabels(name, listed, np.unique(array[~matches]).tolist())
    return order.astype(np.uint8 if len(known) <= 256 else np.int64)[position]


def _bad_labels(source: str, found: str) -> Problem:
    return Problem(source, "labels such as 1=RV,2=MYO,3=LV", found, "Give each structure one name and one number")
