"""Whether an image fits into memory, judged before any voxel of it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.errors import DataError, Problem
from pipeline.volumes.sizes import Size, check_length, claimed_size

GB = 10**9
WORKING_BYTES = 5  # of each voxel beside the stored value: one float32 for the network, one byte of the mask
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def check_memory(files: Sequence[str | Path], *, most: float | None = None) -> None:
    """Refuse an image whose voxels cannot fit into memory, and a file that is too short for its own header.

    The estimate is the least that any network needs, (stored bytes + 5) x voxels: the image as it is stored, as
    float32, and its mask. What a network takes beside that depends on its window and classes.

    Args:
        files: the channels of one image.
        most: gigabytes (10^9 bytes) that may be taken; default what is free now (`free_memory`).

    Raises:
        DataError: naming the voxels that the header claims, the estimate and the limit; or a truncated file.
    """
    sizes = [(file, claimed_size(file)) for file in files]
    needed = sum(estimate(size) for _, size in sizes)
    limit = free_memory() if most is None else most * GB
    if limit is not None and needed > limit:
        file, size = max(sizes, key=lambda item: estimate(item[1]))
        free = "free" if most is None else "allowed"
        found = f"{size} voxels, which need at least {_amount(needed)} ({_amount(limit)} {free})"
        remedy = "Check the header, crop or resample the image; --max-memory GB sets another limit"
        raise DataError(Problem(str(file), "an image that fits into memory", found, remedy))
    for file, size in sizes:
        check_length(file, size)


def estimate(size: Size) -> int:
    """The least bytes that segmenting an image of this size takes."""
    return size.voxels * (size.voxel_bytes + WORKING_BYTES)


def free_memory() -> int | None:
    """Bytes that this process may still take: the least of what the machine has, its container allows, and its own
    limit (ulimit -v); None where the system does not say."""
    return min(_limits(), default=None)


def _limits() -> Iterator[int]:
    with suppress(OSError, ValueError, IndexError):  # no Linux: whatever is physically there
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, IndexError):
        yield _meminfo("/proc/meminfo", "MemAvailable")
    for limit, used in CGROUPS:
        with suppress(OSError, ValueError):  # "max" is no number: no limit
            yield max(0, int(Path(limit).read_text()) - int(Path(used).read_text()) + _page_cache(Path(limit).parent))
    with suppress(ImportError, OSError, ValueError, IndexError):
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            yield max(0, soft - _meminfo("/proc/self/status", "VmSize"))


def _meminfo(file: str, name: str) -> int:
    lines = [line for line in Path(file).read_text().splitlines() if line.startswith(f"{name}:")]
    return int(lines[0].split()[1]) * 1024


def _page_cache(group: Path) -> int:
    """Bytes of files that a container holds in memory and gives back when asked."""
    for line in (group / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _amount(count: float) -> str:
    for unit, size in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 10**6:.2f} MB"
