"""What the image of a case must be: readable, finite, with contrast, its channels on one grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.errors import Problem
from pipeline.preflight.geometry import grid_problem, scan_problems, scan_warnings
from pipeline.preflight.listing import Case
from pipeline.preflight.result import Finding
from pipeline.preflight.scan import Scan
from pipeline.preflight.voxels import Piece

HUGE = 1e6  # no scanner writes such values; float32 statistics suffer from them
FEW = 8  # an image with fewer different values than that is likely a mask


def file_problems(scan: Scan, case: Case) -> Iterator[Finding]:
    """That a file of a case (image or label) can be read, and its axes."""
    for problem in scan.problems:
        yield Finding("readable", problem, (case.name,))
    if not scan.problems:
        for check, problem in scan_problems(scan):
            yield Finding(check, problem, (case.name,))


def image_problems(case: Case, scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """What makes an image unfit; `scans` by path."""
    readable = [scans[path] for path in case.images if not scans[path].problems]
    for path in case.images:
        yield from file_problems(scans[path], case)
    for scan in readable:
        depth = (*scan.shape, 1)[2] if len(scan.shape) < 4 else 0
        if case.index is not None and case.index >= depth:
            expected = f"a volume with a slice {case.index}, counted from 0"
            found = "shape " + " x ".join(map(str, scan.shape))
            yield Finding("slice", Problem(scan.file, expected, found, "Build the datalist again"), (case.name,))
            continue
        piece = scan.pieces.get(case.index)
        for problem in _value_problems(case.place(scan.file), piece) if piece else ():
            yield Finding("values", problem, (case.name,))
    for scan in readable[1:]:
        problem = grid_problem(scan, readable[0])
        if problem:
            yield Finding("grid", problem, (case.name,))


def image_warnings(case: Case, scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """What is odd about an image."""
    for path in case.images:
        scan = scans[path]
        if scan.problems:
            continue
        for check, problem in scan_warnings(scan):
            yield Finding(check, problem, (case.name,))
        piece = scan.pieces.get(case.index)
        for problem in _value_warnings(case.place(path), piece) if piece else ():
            yield Finding("values", problem, (case.name,))


def _value_problems(file: str, piece: Piece) -> Iterator[Problem]:
    if piece.bad:
        found = f"{piece.bad} voxels that are NaN or infinite"
        yield Problem(file, "finite intensities", found, "Repair the file or leave it out")
    elif piece.low == piece.high:
        yield Problem(file, "an image with contrast", f"the value {piece.low:g} everywhere", "Check the export")


def _value_warnings(file: str, piece: Piece) -> Iterator[Problem]:
    if not piece.low < piece.high:
        return
    if max(-piece.low, piece.high) > HUGE:
        found = f"values from {piece.low:g} to {piece.high:g}"
        yield Problem(file, "intensities of a scanner", found, "Look for a wrong scale in the header, or cut them off")
    if 0 < piece.levels < FEW:
        found = f"only {piece.levels} different values"
        yield Problem(file, "an image in grey levels", found, "Look whether the list names a mask as the image")
