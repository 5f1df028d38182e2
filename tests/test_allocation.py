"""Freed memory that stays: in a process of its own, since it cannot be undone."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from pipeline.allocation import keep_freed_memory

def layers():  # tensors of different sizes that outlive each other, as a network's do
    held = [torch.ones(n * 2**20, dtype=torch.uint8) for n in (64, 96, 80)]
    del held[1]
    held += [torch.ones(n * 2**20, dtype=torch.uint8) for n in (90, 40)]

kept = keep_freed_memory() if sys.argv[1] == "keep" else None
for _ in range(10):
    layers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    layers()
pages = 5 * 370 * 2**20 / resource.getpagesize()
print(kept, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / pages)
"""


def run(what):
    words = [sys.executable, "-c", SCRIPT, what]
    kept, share = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return kept, float(share)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator has these settings")
def test_large_tensors_are_cleared_by_the_kernel_at_first_and_not_each_time():
    """Counted by page faults, as a share of all pages that the tensors have."""
    assert run("as it is")[1] > 0.9
    kept, share = run("keep")
    assert kept == "True"
    assert share < 0.3


def test_a_system_without_these_settings_is_left_alone(monkeypatch):
    from pipeline import allocation

    monkeypatch.setattr(allocation.sys, "platform", "darwin")
    assert allocation.keep_freed_memory() is False


def test_the_environment_can_leave_the_allocator_as_it_is(monkeypatch):
    monkeypatch.setenv("VOLSEG_KEEP_MEMORY", "0")
    assert run("keep") == ("False", pytest.approx(1, abs=0.1))
