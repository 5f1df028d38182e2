"""The paper's experiment as a grid, what it published, and how far a run is from its protocol."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.experiment.grid import Grid, Run, expand
from pipeline.files import read_json

TITLE = "The paper's experiment: cross entropy with and without Dice"
PHANTOMS = " (phantoms)"

# Table 1 of the paper: (data set, alpha) -> Dice, IoU, pixel error
PUBLISHED = {
    ("covid19", "0"): (0.9497, 0.9111, 0.0176),
    ("covid19", "1"): (0.9527, 0.9169, 0.0163),
    ("acdc", "0"): (0.9090, 0.8420, 0.0069),
    ("acdc", "1"): (0.9213, 0.8608, 0.0060),
}

# what the paper states; everything else is a key of bundles/*/paper.json with a default of ours
PROTOCOL = {
    "patch_size": [256, 256, 1],
    "in_channels": 1,
    "width": 64,
    "epochs": 100,
    "learning_rate": 0.01,
    "train_limit": None,
}
PARTS = {"loss": "loss", "network_def": "network", "optimizer": "optimizer"}  # what no value of PROTOCOL tells
SET_BY = {  # keys that tell runs apart -> where they are chosen
    "bundle": "--datasets",
    "overlays": "a grid file",
    "dataset_dir": "--data",
    "alpha": "--alphas",
    "seed": "--seeds",
    "fold": "--folds",
}
QUICK = {"width": 8, "patch_size": [128, 128, 1], "epochs": 8, "batch_size": 8}


@dataclass(frozen=True)
class PaperData:
    """One data set of the experiment.

    Args:
        bundle: its folder.
        home: where the data lies unless the user says otherwise.
        phantoms: arguments of the phantom writer that stands in.
        quick: how many cases a quick trial looks at.
        remark: why it is not comparable with the paper's column; "" where it is.
    """

    bundle: str
    home: str
    phantoms: dict[str, Any]
    quick: dict[str, int]
    remark: str = ""


DATA = {
    "acdc": PaperData("bundles/acdc", "data/acdc", {"patients": 15}, {"train_limit": 16, "val_limit": 8}),
    "covid19": PaperData(
        "bundles/covid19_slices",
        "data/covid19_slices",
        {"layout": "covid-semiseg", "patients": 20},
        {"train_limit": 80, "val_limit": 20},
        "Our COVID19 row is about infections. The paper's is most likely about lungs: its pixel errors fit 17% "
        "foreground, and published Dice of infections lies between 0.67 and 0.84. The two are not comparable.",
    ),
    "lungs": PaperData(
        "bundles/covid19",
        "data/covid19",
        {"layout": "covid-19-ct-seg", "patients": 10, "size": "small"},
        {"train_limit": 6, "val_limit": 2},
    ),
}


def paper_grid(
    *,
    datasets: Sequence[str] = ("acdc", "covid19"),
    alphas: Sequence[float] = (0, 1),
    seeds: Sequence[int] = (0, 1, 2),
    folds: Sequence[int] = (0,),
    data: Mapping[str, str] | None = None,
    phantoms: Collection[str] = (),
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> Grid:
    """The runs of the paper's experiment: every data set, alpha, seed and fold.

    Args:
        datasets: of `DATA`.
        alphas, seeds, folds: levels; the least alpha is what the others are compared with.
        data: data set -> its folder; default that of `DATA`.
        phantoms: data sets whose folder will hold phantoms; one that holds them already is recognised.
        quick: the reduced sizes of `QUICK`, for a trial of the whole in minutes.
        settings: keys of the configuration for every run; they win, and are none of `SET_BY`.

    Raises:
        DataError: an unknown data set, nothing to vary, or settings that would make all levels of an axis one.
    """
    unknown = [name for name in dict.fromkeys([*datasets, *(data or {})]) if name not in DATA]
    problems = [Problem(name, "one of " + ", ".join(DATA), "another name", "Choose of these") for name in unknown]
    for axis, levels in {"datasets": datasets, "alphas": alphas, "seeds": seeds, "folds": folds}.items():
        if not levels:
            problems.append(Problem(axis, "at least one", "none", "Name one"))
    problems += [
        Problem(f"--set {key}", "a key that is the same for every run", "one that tells runs apart", f"Use {option}")
        for key, option in SET_BY.items()
        if key in (settings or {})
    ]
    if problems:
        raise DataError(problems)
    homes = {name: str((data or {}).get(name, DATA[name].home)) for name in datasets}
    levels = {name + (PHANTOMS if name in phantoms or is_phantom(homes[name]) else ""): name for name in datasets}
    axes = {
        "dataset": {level: _settings(name, homes[name], quick=quick) for level, name in levels.items()},
        "alpha": [_plain(alpha) for alpha in sorted(alphas)],
        "seed": list(seeds),
        "fold": list(folds),
    }
    common = dict(QUICK) if quick else {}
    baseline = {"alpha": str(_plain(min(alphas)))}
    runs = [replace(run, settings=run.settings | dict(settings or {})) for run in expand(axes, common)]
    runs = tuple(sorted(runs, key=lambda run: seeds.index(int(run.levels["seed"]))))
    return Grid("paper_quick" if quick else "paper", TITLE, runs, baseline, kind="paper")


def spoken(value: Any) -> str:
    """A value of `PROTOCOL` in words."""
    return "all cases" if value is None else "x".join(map(str, value)) if isinstance(value, list) else str(value)


def deviations(run: Run, resolved: Mapping[str, Any]) -> list[str]:
    """In what a run differs from what the paper states, in words; empty for a run of the full protocol."""
    wrong = [
        f"{key} {spoken(resolved.get(key))} instead of {spoken(stated)}"
        for key, stated in PROTOCOL.items()
        if resolved.get(key) != stated
    ]
    changed = {re.split("#|::", key)[0] for key in run.settings}
    wrong += [f"another {word} than the paper's" for part, word in PARTS.items() if part in changed]
    if PHANTOMS in run.levels.get("dataset", ""):
        wrong.append("phantoms instead of patients")
    return wrong


def dataset_of(level: str) -> PaperData | None:
    """The data set behind a level of the axis "dataset"; None for one that is not of the paper."""
    return DATA.get(level.removesuffix(PHANTOMS))


def is_phantom(folder: str | Path) -> bool:
    """Whether a data folder holds phantoms, by its datalist's name or description."""
    path = Path(folder) / "datalist.json"
    if not path.is_file():
        return False
    listed = read_json(path)
    return "phantom" in f"{listed.get('name', '')} {listed.get('description', '')}".lower()


def missing_data(datasets: Sequence[str], data: Mapping[str, str]) -> list[str]:
    """The data sets of `DATA` whose folder is not there and was not named by the user."""
    return [name for name in datasets if name in DATA and name not in data and not Path(DATA[name].home).is_dir()]


def write_phantoms(name: str, folder: str | Path) -> Path:
    """Phantoms that stand in for a data set, unless they are there already; returns the folder."""
    folder = Path(folder)
    if not (folder / "datalist.json").is_file():
        from pipeline.phantoms import acdc, covid19

        (acdc if name == "acdc" else covid19).write(folder, **DATA[name].phantoms)
    return folder


def _settings(name: str, home: str, *, quick: bool) -> dict[str, Any]:
    bundle = DATA[name].bundle
    settings = {"bundle": bundle, "overlays": [f"{bundle}/paper.json"], "dataset_dir": home}
    return settings | (DATA[name].quick if quick else {})


def _plain(alpha: float) -> float | int:
    """1 rather than 1.0."""
    return int(alpha) if float(alpha).is_integer() else float(alpha)
