"""Many files looked at by several processes; one that dies on a file does not take the others with it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from pipeline.errors import Problem
from pipeline.preflight.scan import Job, Scan, scan, unread


def scan_all(jobs: Sequence[Job], *, processes: int = 1, progress: bool = True) -> dict[str, Scan]:
    """Look at every file, with a bar on stderr; the results by path, in the order of the jobs."""
    from tqdm import tqdm

    scans = _scans(jobs, processes) if processes > 1 and len(jobs) > 1 else map(scan, jobs)
    bar = tqdm(scans, total=len(jobs), desc="Checking", unit="file", leave=False, disable=not progress)
    found = {one.file: one for one in bar}
    return {job.file: found[job.file] for job in jobs}


def _scans(jobs: Sequence[Job], processes: int) -> Iterator[Scan]:
    left = list(jobs)
    while left:
        done = set()
        for one in _run(left, processes):
            done.add(one.file)
            yield one
        left = [job for job in left if job.file not in done]
        # a process died: on one of those that were being read or about to be. Each gets a process of its own
        suspects, left = left[: 2 * processes + 1], left[2 * processes + 1 :]
        for job in suspects:
            yield from list(_run([job], 1)) or [_killed(job)]


def _run(jobs: Sequence[Job], processes: int) -> Iterator[Scan]:
    """Results as they come; none for the files that were left when a process died."""
    context = multiprocessing.get_context("spawn")  # a fork of a process that holds threads may hang
    with ProcessPoolExecutor(min(processes, len(jobs)), mp_context=context) as pool:
        try:
            for future in as_completed([pool.submit(scan, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool:
            return


def _killed(job: Job) -> Scan:
    found = "one that ended the process which read it (memory, or a fault of the library)"
    return unread(job.file, [Problem(job.file, "a readable image", found, "Convert the file again, or leave it out")])
