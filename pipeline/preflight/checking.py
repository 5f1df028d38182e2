"""`check`: every file of a datalist or a folder, every fault in one result."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import DataError, Problem, printable
from pipeline.preflight.extra_files import extra_findings
from pipeline.preflight.image_rules import image_problems, image_warnings
from pipeline.preflight.label_rules import label_problems, label_warnings
from pipeline.preflight.listing import Listing, read_listing
from pipeline.preflight.result import Finding, Result, merged
from pipeline.preflight.scan import Job, Scan
from pipeline.preflight.set_rules import set_problems, set_warnings
from pipeline.preflight.workers import scan_all
from pipeline.structures import numbers_of

Level = Literal["fast", "full"]
HANDLED = ("pixdim", "scale", "forms")  # odd, but VolSeg takes them as they are meant
logger = logging.getLogger("pipeline")


def check(
    target: str | Path,
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
        target: a datalist (.json), a folder with a datalist.json, or a folder or file as `volseg segment` takes them.
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
    names = _label_names(wanted, listing)
    wanted = {} if names else wanted
    jobs = _jobs(listing, full=level == "full")
    scans = scan_all(jobs, processes=processes if level == "full" else 1, progress=progress)
    return Result(
        source=listing.source,
        root=str(listing.root),
        level=level,
        cases=listing.listed,
        files=len(jobs),
        problems=merged([*listing.problems, *names, *_problems(listing, scans, wanted)]),
        warnings=merged(_warnings(listing, scans, wanted)),
        seconds=time.perf_counter() - start,
        datalist=listing.datalist,
    )


def preflight(target: str | Path, *, level: Literal["fast", "full", "off"] = "fast", **options: Any) -> None:
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


def look(target: str | Path, *, level: Literal["fast", "full", "off"] = "fast", **options: Any) -> Result | None:
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
    first = {finding.check: finding for finding in reversed(result.warnings)}
    for finding in (finding for finding in result.warnings if finding is first[finding.check]):
        logger.log(logging.INFO if finding.check in HANDLED else logging.WARNING, "%s", finding.problem)
    if len(result.warnings) > len(first):
        more = len(result.warnings) - len(first)
        logger.info("and %d more like these: volseg check %s", more, printable(result.source))


def _jobs(listing: Listing, *, full: bool) -> list[Job]:
    """One for each file, whatever the number of cases (slices) that it serves."""
    indices: dict[str, set[int | None]] = defaultdict(set)
    labels = {case.label for case in listing.cases if case.label not in case.images}
    for case in listing.cases:
        for path in dict.fromkeys((*case.images, case.label or case.images[0])):
            indices[path].add(case.index)
    return [Job(path, path in labels, tuple(wanted), full) for path, wanted in indices.items()]


def _label_names(labels: Mapping[str, Any], listing: Listing) -> list[Finding]:
    try:
        if labels:
            numbers_of(labels, source=f"{listing.source}: labels")
    except DataError as error:
        return [Finding("list", problem) for problem in error.problems]
    return []


def _problems(listing: Listing, scans: dict[str, Scan], labels: Mapping[str, Any]) -> Iterator[Finding]:
    for case in listing.cases:
        for check, problem in (*image_problems(case, scans), *label_problems(case, scans, labels)):
            yield Finding(check, problem, (case.name,))
    if listing.cases:
        yield from set_problems(listing, scans)


def _warnings(listing: Listing, scans: dict[str, Scan], labels: Mapping[str, Any]) -> Iterator[Finding]:
    for case in listing.cases:
        for check, problem in (*image_warnings(case, scans), *label_warnings(case, scans, labels)):
            yield Finding(check, problem, (case.name,))
    if listing.cases:
        yield from set_warnings(listing, scans)
        yield from extra_findings(listing)
