"""How the threads of one computation wait for each other where other programs use the same cores."""

from __future__ import annotations

import os

SPINS = "2000"  # turns of an empty loop; GNU OpenMP's own are 300,000 (libgomp's manual, GOMP_SPINCOUNT)


def wait_briefly() -> None:
    """Let threads that wait at the end of a parallel loop give their core away soon, unless the user says otherwise.

    It counts only before PyTorch is loaded, which reads GOMP_SPINCOUNT then. A thread that spins keeps a core from the
    one that it waits for. Measured on two cores: a cine of 12 frames takes 1.9 s on a quiet machine, with these turns
    2.0 s; beside another program with two threads more than 40 s, with these turns 4.5 s.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
