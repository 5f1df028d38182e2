"""What only the whole set shows: one image twice, a mask of another case, cases unlike the others."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence

from pipeline.errors import Problem
from pipeline.intensity_scale import scale_of, unknown_scale
from pipeline.preflight.geometry import unlike_pixdim
from pipeline.preflight.label_rules import TINY
from pipeline.preflight.listing import Case, Listing
from pipeline.preflight.result import Finding
from pipeline.preflight.scan import Scan
from pipeline.volumes import is_picture


def set_problems(listing: Listing, scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """One image on two sides of a split, and other numbers of channels than the rest of a list has."""
    yield from (finding for apart, finding in _duplicates(listing, scans) if apart)
    if listing.is_list:
        yield from _channels(listing, scans)
    if _is_ct(listing):
        yield from _unknown_scales(listing.cases, scans)


def set_warnings(listing: Listing, scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """What is odd about some cases beside the others."""
    yield from (finding for apart, finding in _duplicates(listing, scans) if not apart)
    yield from _label_twins(listing.cases, scans)
    yield from _pixdims(listing, scans)
    yield from _spacings(listing.cases, scans)
    if _is_ct(listing):
        yield from _scales(listing.cases, scans)


def _is_ct(listing: Listing) -> bool:
    return str(listing.datalist.get("modality", "")).upper() == "CT"


def _duplicates(listing: Listing, scans: Mapping[str, Scan]) -> Iterator[tuple[bool, Finding]]:
    """Cases with the same image, and whether that is a problem: it is where they are on different sides of a split.

    It is none where the list's provenance names them ("identical_images"): a split that others have fixed. The first
    case stays (one of testing before all others), so that it is the others that a quarantine leaves out.
    """
    declared = [set(names) for names in (listing.datalist.get("provenance") or {}).get("identical_images", [])]
    same: dict[Hashable, list[Case]] = defaultdict(list)
    for case in listing.cases:
        same[_image_key(case, scans) or case].append(case)
    for group in same.values():
        first, *others = sorted(group, key=lambda case: case.side != "testing")
        for other in others:
            known = any({first.name, other.name} <= names for names in declared)
            yield first.side != other.side and not known, _duplicate(first, other)


def _duplicate(first: Case, other: Case) -> Finding:
    found = f"that of {first.name} ({first.place(first.images[0])})"
    expected, remedy = "an image of its own", "Keep them on one side, or leave one out"
    if first.side != other.side:
        found += f", in {other.side} and {first.side}"
        expected, remedy = "an image that no other side of the split has", "Put both on one side, or leave one out"
    return Finding("duplicate", Problem(other.place(other.images[0]), expected, found, remedy), (other.name,))


def _label_twins(cases: Sequence[Case], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """One mask (of 10 voxels or more) for two different images: often a file that was copied under a wrong name."""
    seen: dict[Hashable, Case] = {}
    for case in cases:
        scan = scans.get(case.label) if case.label else None
        piece = scan.pieces.get(case.index) if scan else None
        if piece is None or sum(count for number, count in piece.counts.items() if number) < TINY:
            continue
        first = seen.setdefault((scan.shape, piece.digest), case)
        if first is not case and _image_key(first, scans) != _image_key(case, scans):
            remedy = "Look which image the mask belongs to"
            found = f"that of {first.name} ({first.place(first.label)})"
            problem = Problem(case.place(case.label), "a mask of its own", found, remedy)
            yield Finding("duplicate", problem, (first.name, case.name))


def _channels(listing: Listing, scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """Cases with another number of channels than the list says, or than most have; colour of pictures is no channel."""
    wanted = len(listing.datalist.get("channels") or ())
    numbers = {}
    for case in listing.cases:
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


def _unknown_scales(cases: Sequence[Case], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """CT whose numbers are neither Hounsfield units nor grey levels of 8 bits; the bundles refuse it."""
    for case in cases:
        path = case.images[0]
        piece = scans[path].pieces.get(case.index)
        if piece is not None:
            problem = unknown_scale(path, piece.low, piece.high, is_picture=not scans[path].has_geometry)
            yield from [Finding("scale", problem, (case.name,))] if problem else []


def _scales(cases: Sequence[Case], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """CT in other units than most cases: windowed grey levels among Hounsfield units."""
    pieces = {case: scans[case.images[0]].pieces.get(case.index) for case in cases}
    same: dict[str, list[Case]] = defaultdict(list)
    for case, piece in pieces.items():
        if piece is not None and piece.low < piece.high:
            same[scale_of(piece.low, piece.high)].append(case)
    usual, *others = sorted(same, key=lambda scale: -len(same[scale])) or [""]
    total = sum(map(len, same.values()))
    for scale in others:
        case, piece = same[scale][0], pieces[same[scale][0]]
        found = f"{scale} in {len(same[scale])} of {total} cases (first {case.name}: {piece.low:g} to {piece.high:g})"
        remedy = "Nothing for the CT bundles, which tell them apart by their values; else convert them"
        problem = Problem(case.images[0], f"one scale in all cases: {usual}", found, remedy)
        yield Finding("scale", problem, tuple(case.name for case in same[scale]))


def _spacings(cases: Sequence[Case], scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """Volumes of exactly 1 x 1 x 1 mm among others: a converter may have lost the spacing."""
    images = {case: scans[case.images[0]] for case in cases}
    known = [case for case, scan in images.items() if scan.has_geometry]
    bare = [case for case in known if images[case].spacing == (1.0, 1.0, 1.0)]
    for case in bare if 2 * len(bare) <= len(known) else ():
        remedy = "Compare it with the original file: a converter may have lost it"
        expected = "a measured spacing, as most cases have"
        yield Finding("spacing", Problem(case.images[0], expected, "1 x 1 x 1 mm", remedy), (case.name,))


def _pixdims(listing: Listing, scans: Mapping[str, Scan]) -> Iterator[Finding]:
    """Images whose affine has other distances than pixdim; one finding where most have them, as in ACDC."""
    told = {case: unlike_pixdim(scans[case.images[0]]) for case in listing.cases}
    odd = {case: found for case, found in told.items() if found}
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
