"""Per-case scores of label maps: overlap, surface distances, clinical quantities, one empty policy."""

from __future__ import annotations

from typing import Any

from pipeline.metrics.empty import EmptyPolicy, MissingPolicy

_NEEDS_TORCH = ("CaseDice", "CaseDiceHandler")

__all__ = ["EmptyPolicy", "MissingPolicy", *_NEEDS_TORCH]


def __getattr__(name: str) -> Any:
    """Load what needs torch only on demand, so that scoring and the command line start without it."""
    if name in _NEEDS_TORCH:
        from pipeline.metrics import ignite_metrics

        return getattr(ignite_metrics, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
