"""What the image of a case must be: readable, finite, with contrast, its channels on one grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.errors import Problem
from pipeline.preflight.geometry import grid_problem, scan_problems, scan_warnings
from pipeline.preflight.listing import Case
from pipeline.preflight.result import Told
from pipeline.preflight.scan import Scan
from pipeline.preflight.voxels import Piece
from pipeline.volumes.faults import range_fault, slice_fault

HUGE = 1e6  # no scanner writes such values; float32 statistics suffer from them
FEW = 8  # an image with fewer different values than that is likely a mask


def image_problems(case: Case, scans: Mapping[str, Scan]) -> Iterator[Told]:
    """What makes an image unfit; `scans` by path."""
    readable = [scans[path] for path in case.images if not scans[path].problems]
    for path in case.images:
        yield from scan_problems(scans[path])
    for scan in readable:
        piece = scan.pieces.get(case.index)
        if fault := slice_fault(scan.shape, case.index):
            yield "slice", Problem(scan.file, *fault)
        elif piece and (fault := range_fault(piece.low, piece.high, piece.bad)):
            yield "values", Problem(case.place(scan.file), *fault)
    for scan in readable[1:]:
        problem = grid_problem(scan, readable[0])
        if problem:
            yield "grid", problem


def image_warnings(case: Case, scans: Mapping[str, Scan]) -> Iterator[Told]:
    """What is odd about an image."""
    for scan in (scans[path] for path in case.images):
        yield from scan_warnings(scan)
        if case.index in scan.pieces:
            yield from _value_warnings(case.place(scan.file), scan.pieces[case.index])


def _value_warnings(file: str, piece: Piece) -> Iterator[Told]:
    if piece.low < piece.high and max(-piece.low, piece.high) > HUGE:
        found, remedy = (
            f"values from {piece.low:g} to {piece.high:g}",
            "Look for a wrong scale in the header, or cut them off",
        )
        yield "values", Problem(file, "intensities of a scanner", found, remedy)
    if piece.low < piece.high and 0 < piece.levels < FEW:
        found, remedy = f"only {piece.levels} different values", "Look whether the list names a mask as the image"
        yield "values", Problem(file, "an image in grey levels", found, remedy)
