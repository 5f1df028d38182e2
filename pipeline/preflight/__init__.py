"""Every file of a dataset looked at before anything is computed: all that is wrong with it, at once."""

from __future__ import annotations

from pipeline.preflight.checking import check, look, preflight
from pipeline.preflight.quarantine import quarantine
from pipeline.preflight.result import Finding, Result, write_json

__all__ = ["Finding", "Result", "check", "look", "preflight", "quarantine", "write_json"]
