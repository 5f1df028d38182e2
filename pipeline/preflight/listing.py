"""Which cases are to be checked: the items of a datalist with full paths, or the images of a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.datalists import check_no_leak, load_datalist
from pipeline.datalists.datalist import SECTIONS, files_of, full_path, name_of, patient_of
from pipeline.errors import DataError, Problem
from pipeline.preflight.result import Finding
from pipeline.segmentation.intake import find_cases
from pipeline.volumes import names_of


@dataclass(frozen=True, eq=False)
class Case:
    """One item of a list.

    Args:
        name: its "case", else its file's name.
        side: where it is used: "testing", or "fold N", or "training" where no folds are.
        patient: its "patient", else its name.
        images: full paths of its channels.
        label: full path of its label, if it has one.
        index: the case is this slice alone.
        structures: which of the label file's numbers make up each structure; None where they are those of "labels".
    """

    name: str
    side: str
    patient: str
    images: tuple[str, ...]
    label: str | None = None
    index: int | None = None
    structures: Mapping[str, list[int]] | None = None

    def place(self, path: str) -> str:
        """How a finding about one of its files names it: with the slice, where the case is one."""
        return path if self.index is None else f"{path}, slice {self.index}"


@dataclass
class Listing:
    """The cases of a list or a folder.

    `problems` holds what the list itself gets wrong, files that are missing too; `listed` counts the items, also those
    that are no `cases` for lack of a file; `named` holds every file that the whole list names and that is there.
    """

    source: str
    root: Path
    datalist: dict[str, Any] | None = None
    cases: list[Case] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    listed: int = 0
    named: set[str] = field(default_factory=set)

    @property
    def is_list(self) -> bool:
        """Whether it was read from a datalist, so that files beside it may be missing from it."""
        return self.source.lower().endswith(".json")


def read_listing(
    target: str | Path, dataset_dir: str | Path | None = None, *, section: Literal["training", "testing"] | None = None
) -> Listing:
    """The cases of a datalist (or of a folder with a datalist.json), else the images below a folder.

    Args:
        target: the list, the folder or a single image.
        dataset_dir: what the list's paths are relative to; without it the list's own folder.
        section: look at this one alone; leaks are looked for in the whole list all the same.

    Returns:
        cases whose files are all there; the others are told among its problems.
    """
    path = Path(target)
    if (path / "datalist.json").is_file():
        path = path / "datalist.json"
    is_list = path.suffix.lower() == ".json"
    listing = Listing(str(path), Path(dataset_dir or (path.parent if is_list or path.is_file() else path)))
    try:
        listing.datalist = load_datalist(path) if is_list else _images_of(path)
    except DataError as error:
        listing.problems = [Finding("list", problem) for problem in error.problems]
        return listing
    if is_list and not listing.root.is_dir():
        remedy = "Name the folder that the list's paths start from by --dataset-dir"
        problem = Problem(str(listing.root), "the folder of the data set", "no such folder", remedy)
        listing.problems.append(Finding("missing", problem))
        return listing
    _add_cases(listing, SECTIONS if section is None else (section,))
    if not listing.listed:
        problem = Problem(str(path), f"cases in {section or 'the list'}", "none", "Choose another section or list")
        listing.problems.append(Finding("list", problem))
    return listing


def _images_of(path: Path) -> dict[str, Any]:
    """Images without labels, as what is to be segmented."""
    return {"training": [], "testing": [{**case, "image": os.path.abspath(case["image"])} for case in find_cases(path)]}


def _add_cases(listing: Listing, sections: Iterable[str]) -> None:
    missing: list[Finding] = []
    listed = [(section, item) for section in sections for item in listing.datalist[section]]
    names = Counter(name_of(item) for _, item in listed)
    listing.listed = len(listed)
    everything = [item for section in SECTIONS for item in listing.datalist[section]]
    found = {path: _full(path, listing.root) for item in everything for path in files_of(item)}
    listing.named = set(filter(None, found.values()))
    for section, item in listed:
        absent = [path for path in files_of(item) if found[path] is None]
        missing += [_missing(path, listing, name_of(item)) for path in absent]
        if not absent:
            images = [found[path] for path in names_of(item["image"])]
            listing.cases.append(_case(item, section, images, found.get(item.get("label"))))
    if missing and not listing.cases:
        expected = f"the files that {listing.source} lists"
        remedy = "Name the folder that the list's paths start from by --dataset-dir"
        problem = Problem(str(listing.root), expected, f"for none of its {len(listed)} cases", remedy)
        missing = [Finding("missing", problem, tuple(names))]
    listing.problems += missing
    remedy = "Give each item a 'case' of its own, or masks overwrite one another"
    listing.problems += [
        Finding("list", Problem(name, "one item for each case", f"{count} items", remedy), (name,))
        for name, count in names.items()
        if count > 1
    ]
    try:
        check_no_leak(listing.datalist)
    except DataError as error:
        listing.problems += [Finding("leak", one, _leaking(one.file, listing)) for one in error.problems]


def _case(item: Mapping[str, Any], section: str, images: list[str], label: str | None) -> Case:
    side = f"fold {item['fold']}" if section == "training" and "fold" in item else section
    return Case(name_of(item), side, patient_of(item), tuple(images), label, item.get("slice"), item.get("structures"))


def _leaking(patient: str, listing: Listing) -> tuple[str, ...]:
    """The patient's cases on all sides but one: testing is kept, else the side with most of them."""
    own = [case for case in listing.cases if case.patient == patient]
    count = Counter(case.side for case in own)
    kept = max(count, key=lambda side: (side == "testing", count[side]), default=None)
    return tuple(case.name for case in own if case.side != kept)


def _missing(path: str, listing: Listing, case: str) -> Finding:
    expected = f"a file, since {Path(listing.source).name} lists it"
    remedy = "Copy it there, or take the case out of the list"
    return Finding("missing", Problem(str(listing.root / path), expected, "no such file", remedy), (case,))


def _full(path: str, root: Path) -> str | None:
    """The full path, None where nothing is there."""
    full = full_path(path, root)
    return full if os.path.exists(full) else None
