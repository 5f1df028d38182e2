"""Structures and their label numbers: one each, or several where a structure holds another (lungs and infection)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem

Labels = Mapping[str, int | Sequence[int]]


def numbers_of(labels: Labels, *, source: str = "labels") -> dict[str, tuple[int, ...]]:
    """The label numbers that make up each structure, background (number 0) left out.

    Args:
        labels: name -> number, or name -> numbers: {"lungs": [1, 2], "infection": 2} says that voxels numbered 2 are
            infection and belong to the lungs too (what nnU-Net calls regions). The first number of a structure is its
            own: voxels that are in this structure and in none of those named after it.
        source: where the labels come from, for the error.

    Raises:
        DataError: no structure is left, a number is not whole and from 1 to 255, or two structures share their own.
    """
    numbers = {name: _listed(value) for name, value in labels.items() if value != 0}
    whole = all(isinstance(n, int) and 0 < n < 256 for given in numbers.values() for n in given)
    own = [given[0] for given in numbers.values() if given]
    if not numbers or not whole or len(set(own)) != len(numbers):
        expected = "structures with one number each, such as RV=1, or several, such as lungs=[1,2]"
        raise DataError(Problem(source, expected, str(dict(labels)), "Give each structure a number of its own"))
    return numbers


def own_numbers(labels: Labels) -> dict[str, int]:
    """The number that a mask holds where a structure is, and nothing inside it: the first of its numbers."""
    return {name: numbers[0] for name, numbers in numbers_of(labels).items()}


def members(array: np.ndarray, numbers: Iterable[int]) -> np.ndarray:
    """Where an array holds one of the numbers: `np.isin`, for masks of 8 bits in a tenth of its time."""
    numbers = list(numbers)
    return np.isin(np.arange(256), numbers)[array] if array.dtype == np.uint8 else np.isin(array, numbers)


def count_voxels(array: np.ndarray, length: int) -> np.ndarray:
    """How often each of 0 to `length` - 1 occurs: `np.bincount` part by part, which takes 8 bytes for each voxel."""
    parts = np.moveaxis(array, int(np.argmax(np.abs(array.strides))), 0)  # along the memory
    return sum((np.bincount(part.ravel(order="K"), minlength=length) for part in parts), np.zeros(length, int))


def painting_order(numbers: Mapping[str, Iterable[int]]) -> list[str]:
    """The structures as given, unless one would be hidden under a later one that holds it: then what holds others
    comes before them."""
    sets = {name: frozenset(given) for name, given in numbers.items()}
    names = list(sets)
    if not any(sets[one] < sets[later] for index, one in enumerate(names) for later in names[index:]):
        return names
    return sorted(names, key=lambda name: -sum(sets[name] > sets[other] for other in names))


def structure_masks(array: np.ndarray, labels: Labels) -> np.ndarray:
    """Boolean masks (structures, *array.shape) in the order of `labels`; structures may overlap."""
    return np.stack([members(array, numbers) for numbers in numbers_of(labels).values()])


def relabel_item(
    array: np.ndarray, item: Mapping[str, Any], labels: Labels, *, source: str = "label", is_picture: bool = False
) -> np.ndarray:
    """The label map of a datalist's item in the numbers of `labels`.

    Args:
        array: label numbers as the file has them.
        item: tells by "structures" which numbers belong to each structure (others are background), or by "listed" that
            the file has the numbers of the list (and no others); else it has those of `labels`.
        labels, source: as for `relabel`.
        is_picture: 255 is the only structure's number where a picture is black and white, whatever is listed.

    Raises:
        DataError: as `relabel`, or numbers that the list does not name.
    """
    if item.get("structures"):
        return relabel(array, item["structures"], labels, source=source)
    wanted = [_listed(numbers) for numbers in labels.values() if numbers != 0]
    if is_picture and len(wanted) == 1 and _is_black_and_white(array):
        return np.where(array == 255, wanted[0][0], 0)
    if not item.get("listed"):
        return array
    known = sorted({0, *(number for numbers in item["listed"].values() for number in numbers)})
    if (foreign := ~members(array, known)).any():
        found = ", ".join(f"{number:g}" for number in np.unique(array[foreign])[:5])
        remedy = "Name them in the list's labels, or the item's structures"
        raise DataError(Problem(source, f"only the listed labels {known}", found, remedy))
    return relabel(array, item["listed"], labels, source=source)


def relabel(
    array: np.ndarray, values: Mapping[str, Iterable[int]] | None, labels: Labels, *, source: str = "label"
) -> np.ndarray:
    """A label map in a file's own numbers as one in the numbers of `labels`.

    Args:
        array: label numbers as the file has them, any shape.
        values: for each structure the file's numbers that belong to it (a datalist item's "structures"), e.g.
            {"lungs": [1, 2, 3], "infection": [3]}; None where the file uses the numbers of `labels` already.
        labels: the wanted structures; later ones are painted over earlier ones, but none over one that it holds.
        source: the file, for the error.

    Returns:
        uint8 map of `array`'s shape, 0 where no wanted structure is; `array` itself where `values` is None.

    Raises:
        DataError: the file does not tell one of the wanted structures.
    """
    if values is None:
        return array
    missing = [name for name in numbers_of(labels) if name not in values]
    if missing:
        remedy = "Choose another target, or a dataset in which these structures were drawn"
        found = "only " + ", ".join(values)
        raise DataError(Problem(source, "a mask of " + " and ".join(missing), found, remedy))
    mapped = np.zeros(array.shape, np.uint8)
    number = own_numbers(labels)
    for name in painting_order({name: values[name] for name in number}):
        mapped[members(array, values[name])] = number[name]
    return mapped


def remove_small_components(mask: np.ndarray, labels: Labels, fewest: int) -> np.ndarray:
    """The label map without pieces of fewer than `fewest` voxels; each structure is looked at on its own."""
    import cc3d

    cleaned = np.zeros_like(mask)
    numbers, own = numbers_of(labels), own_numbers(labels)
    for name in painting_order(numbers):
        structure = np.asfortranarray(members(mask, numbers[name]))
        # as numbers, since cc3d 4.1.1 fails on booleans such as [1, 0, 1]
        kept = cc3d.dust(structure.view(np.uint8), threshold=fewest, connectivity=26)
        cleaned[kept.astype(bool)] = own[name]
    return cleaned


def _is_black_and_white(array: np.ndarray) -> bool:
    white = array == 255
    return bool(white.any()) and not array[~white].any()


def _listed(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
