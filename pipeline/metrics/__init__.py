"""Per-case scores of label maps: overlap, surface distances, clinical quantities, one empty policy."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pipeline.metrics.empty import MissingPolicy

# loaded on demand: the first two need torch, the others pandas, and the command line starts without either
_MODULES = {
    "CaseDice": "ignite_metrics",
    "CaseDiceHandler": "ignite_metrics",
    "Scores": "scores",
    "agreement": "clinical",
    "lesions_among": "lesions",
    "pair_folders": "pairing",
    "parse_labels": "labels",
    "parse_lesions": "lesions",
    "read_scores": "scores",
    "score_case": "cases",
    "score_cases": "scoring",
    "score_folders": "scoring",
    "write_acdc_csv": "clinical",
}

__all__ = ["MissingPolicy", *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"pipeline.metrics.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
