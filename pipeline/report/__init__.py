"""From score files to a page, a Markdown table and figures that a person can read."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "write_report": "writer",
    "markdown_table": "markdown",
    "learning_curves": "curves",
    "run_folder": "curves",
}

__all__ = ["learning_curves", "markdown_table", "run_folder", "write_report"]


def __getattr__(name: str) -> Any:
    """Import matplotlib, pandas and jinja2 only when asked, so that the command line starts at once."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
