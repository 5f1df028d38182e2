"""What became of each case of a run, for people and for the manifest."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import printable

if TYPE_CHECKING:
    from pipeline.segmentation.runner import BundleRunner


MANIFEST = "manifest.json"
DONE, EXISTS, FAILED, TIMED_OUT = "done", "exists", "failed", "timed out"
# how a run ended; others: interrupted, terminated, disk full, error
COMPLETED, KILLED, SILENT = "completed", "killed", "a process fell silent"


@dataclass
class CaseResult:
    """What became of one case: "done", "exists" (left alone), "failed" or "timed out", and why; seconds per stage.

    `remedy` is what the user can do about a failure, where that is known.

    `slice` is the slice of the image that the case is alone; `spacing_mm` is None where the image says nothing of mm;
    `written` says whether the mask is this run's; what fails after that, a preview for example, does not take it back.
    `others` are further files of the case that the bundle wrote (OUTPUT/CASE_*).
    """

    case: str
    image: str | list[str]
    mask: str
    outcome: str
    reason: str = ""
    remedy: str = ""
    slice: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    shape: list[int] | None = None
    spacing_mm: list[float] | None = None
    frames: int = 1
    written: bool = False
    others: list[str] = field(default_factory=list)
    volumes: dict[str, Any] | None = None

    @property
    def is_failure(self) -> bool:
        """Whether the case has no mask of this run or an earlier one."""
        return self.outcome in (FAILED, TIMED_OUT)

    def line(self) -> str:
        """The case in one line, whatever its name holds."""
        return printable(self._line())

    def _line(self) -> str:
        if self.is_failure:
            remedy = f". {self.remedy}" if self.remedy else ""
            return f"{self.case}: {self.outcome.upper()}, {self.reason}{remedy}"
        if self.outcome == EXISTS:
            return f"{self.case}: exists, skipped" + (f" ({self.reason})" if self.reason else "")
        stages = ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in self.seconds.items())
        frames = f", {self.frames} frames" if self.frames > 1 else ""
        reason = f"; {self.reason}" if self.reason else ""
        return f"{self.case}: done in {sum(self.seconds.values()):.1f} s ({stages}){frames}{reason}"

    def entry(self) -> dict[str, Any]:
        """The case for the manifest."""
        return {name: value for name, value in asdict(self).items() if name != "volumes"}


@dataclass
class Summary:
    """Every case's result and where the results are.

    Args:
        asked: number of cases that were to be done.
        ended: "completed"; else the rest was not tried: "disk full", or "a process fell silent" (of a launch).
        verdict: the exit code of a launch, in a process that is not its first and knows only its own cases.
    """

    cases: list[CaseResult]
    output: Path
    asked: int
    ended: str = COMPLETED
    verdict: int | None = None

    @property
    def exit_code(self) -> int:
        """1 if a case failed or was not tried, or if the manifest found no room; else 0."""
        if self.verdict is not None:
            return self.verdict
        return int(self.ended != COMPLETED or any(case.is_failure for case in self.cases))

    def line(self) -> str:
        """Counts and places in one line."""
        counts = Counter(case.outcome for case in self.cases)
        named = (DONE, "done"), (EXISTS, "existed already"), (FAILED, "FAILED"), (TIMED_OUT, "TIMED OUT")
        told = [f"{counts[outcome]} {word}" for outcome, word in named if counts[outcome]]
        told += [f"{left} NOT TRIED"] if (left := self.asked - len(self.cases)) else []
        line = printable(f"{', '.join(told)}; results in {self.output}, details in {self.output / MANIFEST}")
        if self.ended == COMPLETED:
            return line
        return f"{line}\nstopped: {self.ended}; the same command does what is missing"


def record(runner: BundleRunner, program: dict[str, str], options: dict[str, Any], asked: int) -> dict[str, Any]:
    """One run for the manifest before its cases are done; `asked` is the number of cases that are to be done."""
    return {
        "program": program,
        "bundle": {"name": runner.name, "version": runner.version, "config": str(runner.config)},
        "weights": {"file": ", ".join(map(str, runner.checkpoints)) or None, "sha256": runner.weights_sha256},
        "device": str(runner.device),
        "precision": runner.precision,
        "options": options,
        "asked": asked,
        "complete": False,
        "ended": KILLED,
        "cases": [],
    }
