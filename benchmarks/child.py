"""Call a function in a fresh process and learn how long it took and how much memory the process held at most."""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
MARK = "benchmarks.child: "


@dataclass(frozen=True)
class Outcome:
    """What the function returned, its seconds, and the process's peak memory in MB: before the timed call (imports and
    what was prepared) and at the end."""

    result: Any
    seconds: float
    before_mb: float
    peak_mb: float


def in_child(function: str, **arguments: Any) -> Outcome:
    """Call `module:name` with JSON-like arguments in a process of its own.

    A function that prepares something first returns a callable without arguments; only that call is timed.

    Raises:
        RuntimeError: the process failed; with the end of what it printed.
    """
    command = [sys.executable, "-m", "benchmarks.child", function, json.dumps(arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not lines:
        raise RuntimeError(f"{function} ended with code {done.returncode}: {done.stderr[-2000:]}")
    return Outcome(**json.loads(lines[-1].removeprefix(MARK)))


def main() -> None:
    """The child's side."""
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    before, start = peak_mb(), time.perf_counter()
    result = function(**json.loads(sys.argv[2]))
    if callable(result):
        before, start = peak_mb(), time.perf_counter()
        result = result()
    seconds = time.perf_counter() - start
    print(MARK + json.dumps({"result": result, "seconds": seconds, "before_mb": before, "peak_mb": peak_mb()}))


def peak_mb() -> float:
    """The most memory that this process has held, in MB (2^20 bytes).

    On Linux from /proc: getrusage's value starts from that of the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines() if ":" in line)
        return int(lines["VmHWM"].split()[0]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    main()
