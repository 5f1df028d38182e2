"""Memory that a process has freed stays with it, so that the kernel need not hand it over page by page again."""

from __future__ import annotations

import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
NEVER = -1


def keep_freed_memory() -> bool:
    """Let glibc's allocator serve large tensors from memory that it kept, instead of mapping them anew each time.

    By default every tensor above 32 MB is mapped when it is made and unmapped when it is freed, and the kernel clears
    each of its pages in between. Measured on two Zen 4 cores, U-Net of width 64, 8 slices of 256 x 256, bf16: a
    training step takes 6.7 s instead of 9.6 s. Peak memory grows by what fragments: the process's size is not given
    back before it ends.

    `VOLSEG_KEEP_MEMORY=0` in the environment leaves the allocator as it is.

    Returns:
        whether it was done: only glibc has these settings, and they concern CPU memory alone.
    """
    if not sys.platform.startswith("linux") or os.environ.get("VOLSEG_KEEP_MEMORY") == "0":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, NEVER), mallopt(M_TOP_PAD, 64 * 2**20)])
