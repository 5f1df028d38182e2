"""COVID-19 CT collections in their raw layouts as one datalist: recognised by themselves, split by patient."""

from __future__ import annotations

from pipeline.datalists.covid19.builder import LAYOUTS, SPLITS, build
from pipeline.datalists.covid19.layout import TARGETS
from pipeline.datalists.covid19.summary import summary

__all__ = ["LAYOUTS", "SPLITS", "TARGETS", "build", "summary"]
