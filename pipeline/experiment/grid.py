"""A grid of bundle runs: axes of settings, and every combination of them as one run in one folder."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.files import read_json

OWN = ("bundle", "overlays", "evaluate")  # settings of a run that are no keys of its configuration
SEED, FOLD = "seed", "fold"
TAKEN = ("", ".", "..", "held_out", "figures", "grid.json", "report.md", "report.html")  # names that no run may have
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
        DataError: no such file or form, no bundle, a baseline that is not run, a key that two axes set, configuration
            files that are missing, two runs of one name, or a name that is no folder's or taken.
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
    for key, (expected, holds) in _FORMS.items():
        if key in content and not holds(content[key]):
            problems.append(Problem(f"{source}: {key}", expected, repr(content[key]), REMEDY))
    return problems or _settings_problems(content, source)


def _settings_problems(content: Mapping[str, Any], source: str) -> list[Problem]:
    """Of `OWN`, in all settings of a grid file, what has not its form."""
    given = [(f"{source}: common", content.get("common", {}))]
    for axis, levels in content["axes"].items():
        given += [(f"{source}: axes: {axis}: {level}", own) for level, own in _levels(axis, levels)]
    return [
        Problem(f"{where}: {key}", expected, repr(settings[key]), REMEDY)
        for where, settings in given
        for key, (expected, holds) in _OWN_FORMS.items()
        if key in settings and not holds(settings[key])
    ]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_folder_name(value: Any) -> bool:
    return _is_text(value) and value not in TAKEN and not set(value) & set("/\\\0")


_FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a text that may be a folder's name", _is_folder_name),
    "title": ("a text", _is_text),
    "ensemble": ("true or false", lambda value: isinstance(value, bool)),
}
_OWN_FORMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "bundle": ("the folder of a bundle", _is_text),
    "overlays": ("a list of configuration files", lambda files: isinstance(files, list) and all(map(_is_text, files))),
    "evaluate": ("an object of settings", lambda value: isinstance(value, dict)),
}


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
    if problems := _set_twice(dict(zip(axes, options, strict=True)), source):
        raise DataError(problems)
    runs = [_run(axes, chosen, common, source) for chosen in itertools.product(*options)]
    problems = _name_problems(runs, source)
    for file in dict.fromkeys(file for run in runs for file in run.evaluate_files):
        problems += _file_problems(file)
    if problems:
        raise DataError(problems)
    return tuple(runs)


def _set_twice(options: Mapping[str, list[tuple[str, dict[str, Any]]]], source: str) -> list[Problem]:
    """Keys that several axes set: the last one would win, and the runs would not be what the others' levels say."""
    axes_of: dict[str, list[str]] = {}
    for axis, levels in options.items():
        for key in {key: None for _, own in levels for key in own}:
            axes_of.setdefault(key, []).append(axis)
    return [
        Problem(f"{source}: {key}", "one axis that sets it", " and ".join(axes), "Take it out of the others")
        for key, axes in axes_of.items()
        if len(axes) > 1
    ]


def _name_problems(runs: list[Run], source: str) -> list[Problem]:
    problems = []
    for name, count in Counter(run.name for run in runs).items():
        if name in TAKEN:
            found = f"{name!r}, which is no folder's or taken"
            problems.append(Problem(source, "levels that name a folder of the run's own", found, "Rename the levels"))
        if count > 1:
            expected = "a name of its own for each run"
            problems.append(Problem(f"{source}: {name}", expected, f"{count} runs of it", "Rename the levels"))
    return problems


def _file_problems(file: str) -> list[Problem]:
    if not Path(file).is_file():
        remedy = "Start from the repository's root, or name the bundle's folder"
        return [Problem(file, "a configuration file", "none", remedy)]
    content = read_json(file)
    if isinstance(content, dict):
        return []
    return [Problem(file, "a configuration, which is an object", type(content).__name__, "Name another file")]


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
