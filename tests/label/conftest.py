"""A real MONAI Label server; these tests run by `make label-test`, which names its Python, and not by `make test`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # server.py

collect_ignore_glob = [] if os.environ.get("VOLSEG_LABEL_PYTHON") else ["test_*.py"]

COMPARED = pytest.StashKey[list[str]]()


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes lines that are printed after the tests."""
    return request.config.stash.setdefault(COMPARED, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the server gave, against what `volseg segment` gives."""
    for line in config.stash.get(COMPARED, []):
        terminalreporter.write_line(line)
