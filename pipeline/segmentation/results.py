"""What became of each case of a run, for people and for the manifest."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.segmentation.runner import BundleRunner


@dataclass
class CaseResult:
    """What became of one case: "done", "exists" (left alone) or "failed", and why; seconds per stage.

    `slice` is the slice of the image that the case is alone; `spacing_mm` is None where the image says nothing of mm;
    `others` are further files of the case that the bundle wrote (OUTPUT/CASE_*).
    """

    case: str
    image: str | list[str]
    mask: str
    outcome: str
    reason: str = ""
    slice: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    shape: list[int] | None = None
    spacing_mm: list[float] | None = None
    frames: int = 1
    others: list[str] = field(default_factory=list)
    volumes: dict[str, Any] | None = None

    def line(self) -> str:
        """The case in one line."""
        if self.outcome == "failed":
            return f"{self.case}: FAILED, {self.reason}"
        if self.outcome == "exists":
            return f"{self.case}: exists, skipped" + (f" ({self.reason})" if self.reason else "")
        stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in self.seconds.items())
        frames = f", {self.frames} frames" if self.frames > 1 else ""
        return f"{self.case}: done in {sum(self.seconds.values()):.1f} s ({stages}){frames}"


@dataclass
class Summary:
    """Every case's result and where the results are."""

    cases: list[CaseResult]
    output: Path
    manifest: Path

    @property
    def exit_code(self) -> int:
        """1 if a case failed, else 0."""
        return int(any(case.outcome == "failed" for case in self.cases))

    def line(self) -> str:
        """Counts and places in one line."""
        counts = Counter(case.outcome for case in self.cases)
        named = ("done", "done"), ("exists", "existed already"), ("failed", "FAILED")
        told = ", ".join(f"{counts[outcome]} {word}" for outcome, word in named if counts[outcome])
        return f"{told}; results in {self.output}, details in {self.manifest}"


def record(
    runner: BundleRunner, program: dict[str, str], options: dict[str, Any], results: list[CaseResult], asked: int
) -> dict[str, Any]:
    """One run for the manifest; `asked` is the number of cases that were to be done."""
    cases = [{name: value for name, value in asdict(result).items() if name != "volumes"} for result in results]
    return {
        "program": program,
        "bundle": {"name": runner.name, "version": runner.version, "config": str(runner.config)},
        "weights": {"file": ", ".join(map(str, runner.checkpoints)) or None, "sha256": runner.weights_sha256},
        "device": str(runner.device),
        "precision": runner.precision,
        "options": options,
        "complete": len(results) == asked,
        "cases": cases,
    }
