"""What the label of a case must be: on its image's grid, whole numbers, those that the list names, none empty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.datalists.folders import some
from pipeline.errors import Problem
from pipeline.preflight.geometry import grid_problem, scan_problems
from pipeline.preflight.listing import Case
from pipeline.preflight.result import Told
from pipeline.preflight.scan import Scan
from pipeline.preflight.voxels import Piece
from pipeline.structures import numbers_of

TINY = 10  # voxels; a structure with fewer is rarely meant
MOST_NUMBER = 255  # labels are kept as uint8
RENUMBER = "Correct the mask, or name the structure in the list's labels"


def label_problems(case: Case, scans: Mapping[str, Scan], labels: Mapping[str, Any]) -> Iterator[Told]:
    """What makes a label unfit for training and scoring.

    Args:
        case: with a label, or nothing is found.
        scans: by path.
        labels: structure -> number or numbers; empty where nobody has named them.
    """
    if case.label is None:
        return
    if case.label in case.images:
        yield "list", Problem(case.label, "an image and its mask", "one file named as both", "Correct the list")
        return
    scan, image = scans[case.label], scans[case.images[0]]
    yield from scan_problems(scan)
    if scan.problems:
        return
    problem = None if image.problems else grid_problem(scan, image)
    if problem:
        yield "grid", problem
    if case.index in scan.pieces:
        yield from _number_problems(case, scan, scan.pieces[case.index], labels)


def label_warnings(case: Case, scans: Mapping[str, Scan], labels: Mapping[str, Any]) -> Iterator[Told]:
    """Structures that are empty or tiny, and numbers that the item's structures leave out."""
    scan = scans.get(case.label) if case.label not in case.images else None
    piece = scan.pieces.get(case.index) if scan else None
    if piece is None or piece.broken or piece.many or not piece.counts:
        return
    file = case.place(case.label)
    left_out = [] if case.structures is None else sorted(set(piece.counts) - _known(case, scan, piece, labels))
    if left_out and min(left_out) >= 0:
        remedy = "Nothing if they are background; else name them in the item's structures"
        expected = "only " + some(sorted({n for numbers in case.structures.values() for n in numbers}))
        yield "unnamed", Problem(file, expected, "also " + some(left_out), remedy)
    for name, numbers in _structures(case, scan, piece, labels).items():
        voxels = sum(piece.counts[number] for number in set(numbers))
        if voxels == 0:
            remedy = "Nothing if the case lacks it: its scores count as undefined; else look at the mask"
            yield "empty", Problem(file, f"voxels of {name}", "none", remedy)
        elif voxels < TINY:
            remedy = "Look whether they are stray voxels"
            yield "tiny", Problem(file, f"{TINY} voxels of {name} or more", f"{voxels}", remedy)


def _number_problems(case: Case, scan: Scan, piece: Piece, labels: Mapping[str, Any]) -> Iterator[Told]:
    file = case.place(scan.file)
    if piece.bad or piece.broken:
        kinds = {"NaN or infinite": piece.bad, "with fractions": piece.broken}
        found = "voxels " + " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        remedy = "Save the mask as whole numbers; resample masks by nearest neighbour only"
        yield "labels", Problem(file, "whole label numbers", found, remedy)
        return
    if piece.many:
        remedy = "Look whether the list names an image as the mask"
        found = f"more than 256 different values, up to {piece.high:g}"
        yield "labels", Problem(file, "label numbers", found, remedy)
        return
    wild = sorted(number for number in piece.counts if not 0 <= number <= MOST_NUMBER)
    if wild:
        yield "labels", Problem(file, f"label numbers from 0 to {MOST_NUMBER}", some(wild), RENUMBER)
    known = _known(case, scan, piece, labels)
    foreign = sorted(set(piece.counts) - known - set(wild))
    if case.structures is None and labels and foreign:
        yield "labels", Problem(file, "only the labels " + some(sorted(known)), "also " + some(foreign), RENUMBER)
    missing = [] if case.structures is None else [name for name in _numbers(labels) if name not in case.structures]
    if missing:
        remedy = "Name its numbers in the item's structures, or take it out of the list's labels"
        found = "structures that tell only " + ", ".join(case.structures)
        yield "labels", Problem(file, "a mask of " + " and ".join(missing), found, remedy)


def _structures(case: Case, scan: Scan, piece: Piece, labels: Mapping[str, Any]) -> Mapping[str, Any]:
    """The file's numbers of each wanted structure."""
    numbers = _numbers(labels)
    if case.structures is not None:
        return {name: case.structures[name] for name in numbers or case.structures if name in case.structures}
    return dict.fromkeys(numbers, (255,)) if _black_and_white(scan, piece, numbers) else numbers


def _known(case: Case, scan: Scan, piece: Piece, labels: Mapping[str, Any]) -> set[int]:
    listed = case.structures or _structures(case, scan, piece, labels)
    return {0, *(number for numbers in listed.values() for number in numbers)}


def _black_and_white(scan: Scan, piece: Piece, numbers: Mapping[str, Any]) -> bool:
    """Whether 255 stands for the only structure, as it does in a black and white picture."""
    return not scan.has_geometry and len(numbers) == 1 and 255 in piece.counts and set(piece.counts) <= {0, 255}


def _numbers(labels: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return numbers_of(labels) if labels else {}
