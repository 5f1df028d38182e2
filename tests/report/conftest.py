"""Logs of trainings, as their handlers write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes lines (dicts or raw text) into RUN/log.jsonl and returns its path."""

    def write(*lines: dict | str) -> Path:
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (run / "log.jsonl").write_text(text, encoding="utf-8")
        return run / "log.jsonl"

    return write
