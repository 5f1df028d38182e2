"""docs/reliability.md is what the rows of tests/faults say, and there are enough of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_is_that_of_the_rows():
    """In a process of its own: pytest collects the rows."""
    command = [sys.executable, "tests/faults/table.py"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_rows_enough():
    text = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")
    parts = text.split("\n## ")[1:]
    counts = {part.split("\n")[0]: len(re.findall(r"^\| (?!fault \|)", part, re.MULTILINE)) for part in parts}
    assert counts["Bad input"] >= 60
    assert counts["Interruptions"] >= 15
    assert counts["Untrusted files"] >= 20
