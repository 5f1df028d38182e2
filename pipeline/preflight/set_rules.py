"""What only the whole set shows: one image twice, a mask of another case, cases unlike the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence

from pipeline.errors import Problem
from pipeline.intensity_scale import scale_of
from pipeline.preflight.geometry import unlike_pixdim
from pipeline.preflight.label_rules import TINY
from pipeline.preflight.listing import Case, Listing
from pipeline.preflight.result import Finding
from pipeline.preflight.scan import Scan
from pipeline.preflight.voxels import Piece
from pipeline.volumes import is_picture


def duplicate_findings(listing: Listing, scans: Mapping[str, Scan]) -> Iterator[tuple[bool, Finding]]:
    """Cases with the same image, and whether that is a problem: it is where they are on different sides of a split.

    It is none where the list's provenance names them ("identical_images"): a split that others have fixed. The first
    case stays (one of testing before all others), so that it is the others that a quarantine leaves out.
    """
    declared = [set(names) for names in (listing.datalist.get("provenance") or {}).get("identical_images", [])]
    same: dict[Hashable, list[Case]] = defaultdict(list)
    for case in listing.cases:
        key = _image_key(case, scans)
        if key is not None:
            same[key].append(case)
    for group in same.values():
        group.sort(key=lambda case: case.side != "testing")
        first = group[0]
        for other in group[1:]:
            known = any({first.name, other.name} <= names for names in declared)
            yield first.side != other.side and not known, _duplicate(first, other)


def _duplicate(first: Case, other: Case) -> Finding:
    file, found = other.place(other.images[0]), f"that of {first.name} ({first.place(first.images[0])})"
    if first.side == other.side:
        remedy = "Keep them on one side, or leave one out"
        return Finding("duplicate", Problem(file, "an image of its own", found, remedy), (other.name,))
    found += f", in {other.side} and {first.side}"
    expected, remedy = "an image that no other side of the split has", "Put both on one side, or leave one out"
    return Finding("duplicate", Problem(file, expected, found, remedy), (other.name,))


def label_twins(cases: Sequence[Case], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """One mask (of 10 voxels or more) for two different images: often a file that was copied under a wrong name."""
    seen: dict[Hashable, Case] = {}
    for case in cases:
        scan = scans.get(case.label) if case.label else None
        piece = scan.pieces.get(case.index) if scan is not None and not scan.problems else None
        if piece is None or sum(count for number, count in piece.counts.items() if number) < TINY:
            continue
        first = seen.setdefault((scan.shape, piece.digest), case)
        if first is not case and _image_key(first, scans) != _image_key(case, scans):
            remedy = "Look which image the mask belongs to"
            problem = Problem(
                case.place(case.label),
                "a mask of its own",
                f"that of {first.name} ({first.place(first.label)})",
                remedy,
            )
            yield Finding("duplicate", problem, (first.name, case.name))


def channel_findings(cases: Sequence[Case], scans: Mapping[str, Scan], *, wanted: int | None) -> Iterator[Finding]:
    """Cases with another number of channels than the list says, or than most have; colour of pictures is no channel."""
    numbers = {}
    for case in cases:
        readable = not any(scans[path].problems for path in case.images)
        if readable and not is_picture(case.images[0]):
            shape = scans[case.images[0]].shape
            numbers[case] = len(case.images) * (shape[3] if len(shape) > 3 else 1)
    if not numbers:
        return
    usual = wanted or Counter(numbers.values()).most_common(1)[0][0]
    whose = "as the list says" if wanted else "as most cases have"
    for case, number in numbers.items():
        if number != usual:
            remedy = "Name all of its channels, or split a series in time into volumes"
            expected = f"{usual} channel{'s' * (usual > 1)}, {whose}"
            yield Finding("channels", Problem(case.images[0], expected, f"{number}", remedy), (case.name,))


def scale_warnings(cases: Sequence[Case], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """CT in other units than most cases: windowed grey levels among Hounsfield units."""
    scales = {}
    for case in cases:
        piece = _piece(case, scans)
        if piece is not None and piece.low < piece.high:
            scales[case] = scale_of(piece.low, piece.high)
    count = Counter(scales.values()).most_common()
    for scale, number in count[1:]:
        case = next(case for case, own in scales.items() if own == scale)
        piece = _piece(case, scans)
        found = f"{scale} in {number} of {len(scales)} cases (first {case.name}: {piece.low:g} to {piece.high:g})"
        remedy = "Nothing for the CT bundles, which tell them apart by their values; else convert them"
        names = tuple(case.name for case, own in scales.items() if own == scale)
        problem = Problem(case.images[0], f"one scale in all cases: {count[0][0]}", found, remedy)
        yield Finding("scale", problem, names)


def spacing_warnings(cases: Sequence[Case], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """Volumes of exactly 1 x 1 x 1 mm among others: a converter may have lost the spacing."""
    known = [case for case in cases if scans[case.images[0]].has_geometry and not scans[case.images[0]].problems]
    bare = [case for case in known if scans[case.images[0]].spacing == (1.0, 1.0, 1.0)]
    if not bare or 2 * len(bare) > len(known):
        return
    for case in bare:
        remedy = "Compare it with the original file: a converter may have lost it"
        expected = "a measured spacing, as most cases have"
        yield Finding("spacing", Problem(case.images[0], expected, "1 x 1 x 1 mm", remedy), (case.name,))


def pixdim_warnings(listing: Listing, scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """Images whose affine has other distances than pixdim; one finding where most have them, as in ACDC."""
    odd = {case: unlike_pixdim(scans[case.images[0]]) for case in listing.cases if not scans[case.images[0]].problems}
    odd = {case: found for case, found in odd.items() if found}
    remedy = "Nothing: VolSeg takes pixdim. Tools that take the affine get wrong millimetres"
    expected = "affines with the distances of pixdim"
    if 2 * len(odd) <= len(listing.cases) or len(odd) == 1:
        for case, found in odd.items():
            yield Finding("pixdim", Problem(case.images[0], expected, found, remedy), (case.name,))
    else:
        case, found = next(iter(odd.items()))
        found = f"others in {len(odd)} of {len(listing.cases)} cases (in {case.name} {found})"
        yield Finding("pixdim", Problem(str(listing.root), expected, found, remedy))


def _image_key(case: Case, scans: Mapping[str, Scan]) -> Hashable | None:
    """What cases with equal images share; None where it is not known."""
    parts: list[Hashable] = []
    for path in case.images:
        scan = scans[path]
        piece = scan.pieces.get(case.index)
        if scan.problems:
            return None
        if piece is not None:
            parts.append((scan.shape[:2] if case.index is not None else scan.shape, piece.digest))
        else:
            parts.append((scan.digest or path, case.index))
    return tuple(parts)


def _piece(case: Case, scans: Mapping[str, Scan]) -> Piece | None:
    scan = scans[case.images[0]]
    return None if scan.problems else scan.pieces.get(case.index)
