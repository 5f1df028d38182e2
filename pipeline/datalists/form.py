"""Whether a datalist has the form that all code here relies on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.errors import Problem

SECTIONS = ("training", "testing")


def form_problems(datalist: Any, source: str) -> Iterable[Problem]:
    """Every fault of a list's form, and cases that are listed twice; `source` is how the list is named."""
    remedy = "Correct the list, or build it again by `volseg datalist`"
    if not isinstance(datalist, dict) or not isinstance(datalist.get("training"), list):
        yield Problem(source, "an object with a list 'training'", type(datalist).__name__, remedy)
        return
    for section in SECTIONS:
        entries = datalist.get(section, [])
        if not isinstance(entries, list):
            yield Problem(f"{source}: {section}", "a list", type(entries).__name__, remedy)
            continue
        for index, item in enumerate(entries):
            for expected, found in _item_faults(item, section):
                yield Problem(f"{source}: {section}[{index}]", expected, found, remedy)
    entries = [item for section in SECTIONS for item in datalist.get(section, []) if isinstance(item, dict)]
    for case, count in Counter(item["case"] for item in entries if _is_path(item.get("case"))).items():
        if count > 1:
            yield Problem(f"{source}: {case}", "one item for each case", f"{count} items", remedy)


def _item_faults(item: Any, section: str) -> Iterable[tuple[str, str]]:
    if not isinstance(item, dict):
        yield "an object", repr(item)
        return
    image = item.get("image")
    if not (_is_path(image) or (isinstance(image, list) and image and all(map(_is_path, image)))):
        yield "'image': a path or a list of paths", repr(image)
    if section == "training" and not _is_path(item.get("label")):
        yield "'label': a path", repr(item.get("label"))
    for key, (expected, holds) in OPTIONAL.items():
        if key in item and not holds(item[key]):
            yield f"'{key}': {expected}", repr(item[key])
    for key in item:
        if key.startswith(("image_", "label_")):  # MONAI 1.6's Spacingd calls .update on every such value
            yield "no key that begins with image_ or label_", key


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_file_name(value: Any) -> bool:
    """Masks are called so: one that leads into another folder would be written there."""
    return _is_path(value) and not value.startswith(".") and not set(value) & set("/\\\0")


def _are_structures(value: Any) -> bool:
    """{"lungs": [1, 2, 3], "infection": [3]}"""
    return isinstance(value, dict) and all(
        isinstance(numbers, list) and numbers and all(isinstance(number, int) for number in numbers)
        for numbers in value.values()
    )


OPTIONAL: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "case": ("a text that may be a file's name: no folder, no dot at its head", _is_file_name),
    "fold": ("a whole number", lambda value: type(value) is int),
    "slice": (
        "the number of a slice along the third axis, counted from 0",
        lambda value: type(value) is int and value >= 0,
    ),
    "structures": ("for each structure the label's numbers that belong to it", _are_structures),
    "reversed": ("true or false", lambda value: type(value) is bool),
}
