"""A grid of bundle runs: axes of settings, and every combination of them as one run in one folder."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.files import read_json

OWN = ("bundle", "overlays", "evaluate")  # settings of a run that are no keys of its configuration
SEED, FOLD = "seed", "fold"
REMEDY = "See experiments/ for examples"


@dataclass(frozen=True)
class Run:
    """One training with its evaluation.

    Args:
        name: of its folder below the grid's output.
        levels: axis -> level, as words; what the run stands for in tables.
        bundle: folder with train.json and evaluate.json.
        overlays: configuration files given after them.
        settings: keys of the configuration and their values, for both commands.
        evaluate: more of them for the evaluation alone.
        trains: whether there is a training; an evaluation alone scores weights of other runs.
    """

    name: str
    levels: dict[str, str]
    bundle: str
    overlays: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    evaluate: dict[str, Any] = field(default_factory=dict)
    trains: bool = True

    @property
    def train_files(self) -> list[str]:
        """Configuration files of the training, later ones win."""
        return [f"{self.bundle}/train.json", *self.overlays]

    @property
    def evaluate_files(self) -> list[str]:
        """Configuration files of the evaluation; overlays come last, so that their inference settings hold."""
        return [f"{self.bundle}/train.json", f"{self.bundle}/evaluate.json", *self.overlays]

    @property
    def epochs(self) -> int:
        """How many the training takes; 0 of an evaluation alone, 1 where an expression decides."""
        if not self.trains:
            return 0
        epochs = self.resolved().get("epochs", 1)
        return epochs if isinstance(epochs, int) else 1

    def resolved(self) -> dict[str, Any]:
        """Every simple key of the training's configuration with the value that this run gives it."""
        merged: dict[str, Any] = {}
        for path in self.train_files:
            merged |= read_json(path)
        merged |= self.settings
        return {key: value for key, value in merged.items() if not isinstance(value, dict) and "#" not in key}


@dataclass(frozen=True)
class Grid:
    """A set of runs and how to read them.

    Args:
        name: short; default folder of its results.
        title: of the report.
        runs: all of them, in the order in which they are run.
        baseline: axis -> level that the others of that axis are compared with; default the first level.
        kind: "paper" for the paper's own report, "" for the general one.
        ensemble: whether the folds' models together are scored on the datalist's test list.
    """

    name: str
    title: str
    runs: tuple[Run, ...]
    baseline: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    ensemble: bool = False

    def to_json(self) -> str:
        """The grid with every run written out, as it lies beside the results."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, path: str | Path) -> Grid:
        """Read what `to_json` wrote; raises DataError where there is none."""
        content = read_json(path)
        runs = tuple(Run(**{**run, "overlays": tuple(run["overlays"])}) for run in content.pop("runs"))
        return cls(runs=runs, **content)


def load_grid(path: str | Path) -> Grid:
    """Read a grid file and expand it.

    The file is an object with "axes", and as far as needed "name", "title", "common" (settings of every run),
    "baseline" and "ensemble". An axis is named by the key that it changes and lists its values; or it maps names of
    levels to settings, {"Hausdorff": {"loss": "%bundles/options/losses.json::hausdorff_dt"}}. Settings are keys of the
    bundle's configuration, or "bundle" (its folder), "overlays" (files) and "evaluate" (settings of the evaluation
    alone).

    Raises:
        DataError: no such file or form, no bundle, a baseline that is not run, configuration files that are
            missing, two runs of one name.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("axes"), dict) or not content["axes"]:
        raise DataError(Problem(str(path), "an object with 'axes'", type(content).__name__, REMEDY))
    if problems := _form_problems(content, str(path)) or _baseline_problems(content, str(path)):
        raise DataError(problems)
    runs = expand(content["axes"], content.get("common", {}), source=str(path))
    name = content.get("name", Path(path).stem)
    return Grid(
        name=name,
        title=content.get("title", name),
        runs=runs,
        baseline={axis: str(level) for axis, level in content.get("baseline", {}).items()},
        ensemble=bool(content.get("ensemble", False)),
    )


def _form_problems(content: Mapping[str, Any], source: str) -> list[Problem]:
    unknown = sorted(set(content) - {"name", "title", "common", "axes", "baseline", "ensemble"})
    problems = [Problem(f"{source}: {key}", "a known key", "an unknown one", REMEDY) for key in unknown]
    for axis, levels in content["axes"].items():
        if not isinstance(levels, list | dict) or not levels:
            problems.append(Problem(f"{source}: axes: {axis}", "a list or an object", "neither", REMEDY))
        elif isinstance(levels, dict) and not all(isinstance(own, dict) for own in levels.values()):
            problems.append(Problem(f"{source}: axes: {axis}", "an object of settings for each level", "none", REMEDY))
    for key in ("common", "baseline"):
        if not isinstance(content.get(key, {}), dict):
            problems.append(Problem(f"{source}: {key}", "an object", repr(content[key]), REMEDY))
    return problems


def _baseline_problems(content: Mapping[str, Any], source: str) -> list[Problem]:
    """A baseline that no run has: the report would compare nothing with it."""
    return [
        Problem(f"{source}: baseline: {axis}", "a level of this axis", repr(level), "Name one of those that are run")
        for axis, level in content.get("baseline", {}).items()
        if str(level) not in map(str, content["axes"].get(axis, ()))
    ]


def expand(axes: Mapping[str, Any], common: Mapping[str, Any], *, source: str = "grid") -> tuple[Run, ...]:
    """Every combination of the levels, the last axis fastest; form as `load_grid`; raises DataError as it does."""
    options = [_levels(axis, levels) for axis, levels in axes.items()]
    runs = [_run(axes, chosen, common, source) for chosen in itertools.product(*options)]
    problems = [
        Problem(f"{source}: {name}", "a name of its own for each run", f"{count} runs of it", "Rename the levels")
        for name, count in Counter(run.name for run in runs).items()
        if count > 1
    ]
    files = dict.fromkeys(file for run in runs for file in run.evaluate_files)
    problems += [
        Problem(file, "a configuration file", "none", "Start from the repository's root, or name the bundle's folder")
        for file in files
        if not Path(file).is_file()
    ]
    if problems:
        raise DataError(problems)
    return tuple(runs)


def _levels(axis: str, levels: Any) -> list[tuple[str, dict[str, Any]]]:
    """(name of the level, its settings)."""
    return list(levels.items()) if isinstance(levels, dict) else [(str(value), {axis: value}) for value in levels]


def _run(axes: Mapping[str, Any], chosen: Any, common: Mapping[str, Any], source: str) -> Run:
    settings = dict(common)
    for _, own in chosen:
        settings |= own
    bundle = settings.get("bundle")
    if not bundle:
        raise DataError(Problem(source, "a 'bundle'", "none", "Name it under 'common', for example bundles/acdc"))
    levels = {axis: level for axis, (level, _) in zip(axes, chosen, strict=True)}
    words = [level if isinstance(axes[axis], dict) else f"{axis}{level}" for axis, level in levels.items()]
    return Run(
        name="_".join(re.sub(r"[^\w.+-]+", "-", word).strip("-") for word in words),
        levels=levels,
        bundle=bundle,
        overlays=tuple(settings.get("overlays", ())),
        settings={key: value for key, value in settings.items() if key not in OWN},
        evaluate=dict(settings.get("evaluate", {})),
    )
