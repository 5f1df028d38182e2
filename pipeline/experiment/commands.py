"""MONAI's own commands of a run, and that their settings are keys of its configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pipeline.errors import DataError, Problem
from pipeline.experiment.grid import Run


def bundle_command(run: Run, what: str, folder: Path) -> list[str]:
    """`python -m monai.bundle run training` or `evaluating`, with the run's files and settings."""
    training = what == "training"
    files = run.train_files if training else run.evaluate_files
    settings = {**run.settings, "output_dir": str(folder)}
    settings |= {"resume": "true"} if training else {"overwrite": "true", **run.evaluate}
    words = [sys.executable, "-m", "monai.bundle", "run", what, "--config_file", str(files)]
    for key, value in settings.items():
        words += [f"--{key}", value if isinstance(value, str) else repr(value)]
    return words


def check_settings(runs: Iterable[Run]) -> list[Problem]:
    """What the commands of these runs would refuse once they start: unknown keys and values that cannot be meant."""
    from pipeline.overrides import check_overrides

    found: dict[tuple[str, str], Problem] = {}
    for run in runs:
        for what in ("training", "evaluating") if run.trains else ("evaluating",):
            try:
                check_overrides(bundle_command(run, what, Path())[1:])
            except DataError as error:
                for problem in error.problems:
                    found.setdefault((problem.file, problem.found), _without_dashes(problem))
    return list(found.values())


def _without_dashes(problem: Problem) -> Problem:
    """The problem of a key of a grid file, which is no option of the command line."""
    remedy = problem.remedy.replace("Perhaps --", "Perhaps ")
    return replace(problem, file=problem.file.removeprefix("--"), remedy=remedy)
