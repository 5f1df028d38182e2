"""`check`: every file of a datalist or a folder, every fault in one result."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import DataError, Problem
from pipeline.preflight.extra_files import extra_findings
from pipeline.preflight.image_rules import image_problems, image_warnings
from pipeline.preflight.label_rules import label_problems, label_warnings
from pipeline.preflight.listing import Listing, Target, read_listing
from pipeline.preflight.result import Finding, Result, merged
from pipeline.preflight.scan import Job, Scan
from pipeline.preflight.set_rules import (
    channel_findings,
    duplicate_findings,
    label_twins,
    pixdim_warnings,
    scale_warnings,
    spacing_warnings,
)
from pipeline.preflight.workers import scan_all
from pipeline.structures import numbers_of

Level = Literal["fast", "full"]
HANDLED = ("pixdim", "scale", "forms")  # odd, but VolSeg takes them as they are meant
logger = logging.getLogger("pipeline")


def check(
    target: Target,
    *,
    level: Level = "full",
    dataset_dir: str | Path | None = None,
    section: Literal["training", "testing"] | None = None,
    labels: Mapping[str, Any] | None = None,
    processes: int = 1,
    progress: bool = True,
) -> Result:
    """Look at every file that a datalist names, or at every image below a folder; nothing is changed.

    Args:
        target: a datalist (.json), a folder with a datalist.json, or a folder or file as `volseg segment` takes them;
            or cases, as `pipeline.segmentation.intake.find_cases` gives them.
        level: "full" reads every voxel; "fast" only the headers, file lengths and gzip's checksums of equal files, and
            so knows nothing of values and label numbers.
        dataset_dir: what the list's paths are relative to; without it the list's own folder.
        section: look at the files of this one alone.
        labels: structure -> number or numbers, in place of the list's own "labels".
        processes: files read at the same time; each takes the memory of one volume at most (of NIfTI far less).
        progress: show a bar on stderr.

    Returns:
        all problems and warnings. A target that is none is a problem, too; nothing is raised for bad data.
    """
    if level not in ("fast", "full"):
        raise ValueError(f"no such level: {level!r}")
    if section not in ("training", "testing", None):
        raise DataError(Problem("section", "training or testing", repr(section), "Choose one of these"))
    start = time.perf_counter()
    listing = read_listing(target, dataset_dir, section=section)
    wanted = dict(labels if labels is not None else (listing.datalist or {}).get("labels") or {})
    jobs = _jobs(listing, full=level == "full")
    scans = scan_all(jobs, processes=processes if level == "full" else 1, progress=progress)
    names = list(_label_names(wanted, listing))
    wanted = {} if names else wanted
    problems = merged([*listing.problems, *names, *_problems(listing, scans, wanted)])
    warnings = merged(_warnings(listing, scans, wanted))
    return Result(
        source=listing.source,
        root=str(listing.root),
        level=level,
        cases=listing.listed,
        files=len(jobs),
        problems=problems,
        warnings=warnings,
        seconds=time.perf_counter() - start,
        datalist=listing.datalist,
    )


def preflight(target: Target, *, level: Literal["fast", "full", "off"] = "fast", **options: Any) -> None:
    """`look` before something else, problems raised together.

    Args:
        target, options: as `check` takes them.
        level: "off" looks at nothing.

    Raises:
        DataError: every problem that was found; or a level of another name.
    """
    result = look(target, level=level, **options)
    if result is not None:
        result.raise_problems()


def look(target: Target, *, level: Literal["fast", "full", "off"] = "fast", **options: Any) -> Result | None:
    """`check` before something else; the log has the first warning of each kind.

    Args:
        target, level, options: as `preflight` takes them.

    Returns:
        what was found; None where the level is "off".

    Raises:
        DataError: a level of another name.
    """
    if level not in ("fast", "full", "off"):
        raise DataError(Problem("preflight", "fast, full or off", repr(level), "Choose one of these"))
    if level == "off":
        return None
    result = check(target, level=level, **options)
    _log(result)
    return result


def _log(result: Result) -> None:
    first: dict[str, Finding] = {}
    for finding in result.warnings:
        first.setdefault(finding.check, finding)
    for finding in first.values():
        logger.log(logging.INFO if finding.check in HANDLED else logging.WARNING, "%s", finding.problem)
    if len(result.warnings) > len(first):
        more = len(result.warnings) - len(first)
        logger.info("and %d more like these: volseg check %s", more, result.source)


def _jobs(listing: Listing, *, full: bool) -> list[Job]:
    """One for each file, whatever the number of cases (slices) that it serves."""
    indices: dict[str, set[int | None]] = {}
    labels = set()
    for case in listing.cases:
        for path in case.images:
            indices.setdefault(path, set()).add(case.index)
        if case.label and case.label not in case.images:
            indices.setdefault(case.label, set()).add(case.index)
            labels.add(case.label)
    return [Job(path, path in labels, tuple(wanted), full) for path, wanted in indices.items()]


def _label_names(labels: Mapping[str, Any], listing: Listing) -> Iterator[Finding]:
    try:
        if labels:
            numbers_of(labels, source=f"{listing.source}: labels")
    except DataError as error:
        yield from (Finding("list", problem) for problem in error.problems)


def _problems(listing: Listing, scans: dict[str, Scan], labels: Mapping[str, Any]) -> Iterator[Finding]:
    for case in listing.cases:
        yield from image_problems(case, scans)
        yield from label_problems(case, scans, labels)
    if listing.cases:
        yield from (finding for apart, finding in duplicate_findings(listing, scans) if apart)
    if listing.cases and listing.is_list:
        channels = listing.datalist.get("channels")
        yield from channel_findings(listing.cases, scans, wanted=len(channels) if channels else None)


def _warnings(listing: Listing, scans: dict[str, Scan], labels: Mapping[str, Any]) -> Iterator[Finding]:
    for case in listing.cases:
        yield from image_warnings(case, scans)
        yield from label_warnings(case, scans, labels)
    if not listing.cases:
        return
    yield from (finding for apart, finding in duplicate_findings(listing, scans) if not apart)
    yield from label_twins(listing.cases, scans)
    yield from pixdim_warnings(listing, scans)
    yield from spacing_warnings(listing.cases, scans)
    if str(listing.datalist.get("modality", "")).upper() == "CT":
        yield from scale_warnings(listing.cases, scans)
    if listing.is_list:
        yield from extra_findings(listing)
