"""COVID-19 CT collections in their raw layouts as one datalist: recognised by themselves, split by patient."""

from __future__ import annotations

from pipeline.datalists.covid19.builder import LAYOUTS, SPLITS, build, summary
from pipeline.datalists.covid19.layout import TARGETS

__all__ = ["LAYOUTS", "SPLITS", "TARGETS", "build", "summary"]
