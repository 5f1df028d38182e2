"""Grids of bundle runs: planned, run one after the other or side by side, resumed, and collected from their files."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Grid": "grid",
    "Run": "grid",
    "SliceDataset": "slices",
    "SliceScoresHandler": "slice_scores",
    "collect": "collection",
    "load_grid": "grid",
    "paper_grid": "paper",
    "run_grid": "runner",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import torch, monai and pandas only when asked, so that the command line starts at once."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
