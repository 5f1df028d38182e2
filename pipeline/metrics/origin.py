"""Where scores come from: program, time and the command as it was typed."""

from __future__ import annotations

import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from pipeline import __version__


def origin() -> dict[str, str]:
    """Entries of "provenance" in scores.json."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"program": f"volseg {__version__}", "created": now, "command": shlex.join([*_program(), *sys.argv[1:]])}


def _program() -> list[str]:
    """What was typed to start this process, without the place that it is installed in."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return ["python", "-m", spec.parent] if spec is not None and spec.parent else [Path(sys.argv[0]).name]
