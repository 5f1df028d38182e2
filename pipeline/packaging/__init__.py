"""Bundles as other programs take them: self-contained folders and zips, exported networks, and their checks."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {"package": "packer", "Packed": "packer", "verify": "verification", "Finding": "verification"}

__all__ = ["Finding", "Packed", "package", "verify"]


def __getattr__(name: str) -> Any:
    """Import torch and monai only when asked, so that the command line starts at once."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
