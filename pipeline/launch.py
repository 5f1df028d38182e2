"""What is checked when a bundle is started: the overrides, the data, and the folder that the run will write to."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import DataError, Problem

MONAI_ARGUMENTS = {
    *("run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file"),
    *("tracking_uri", "experiment_name", "run_name", "save_execute_config"),
}


def on_command_line() -> bool:
    """Whether this process is `python -m monai.bundle` (torchrun included), whose exits cannot end a server."""
    return Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py")


def attempt(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a function returns; where it refuses the user's input, the command line ends with its lines and code 2.

    For expressions of a configuration that look at the data before `check` does.

    Raises:
        SystemExit: on the command line, code 2, after one line for each problem.
        DataError: anywhere else.
    """
    try:
        return function(*arguments, **options)
    except DataError as error:
        _give_up(error)


def check(
    *,
    dataset_dir: str | None = None,
    datalist: str | None = None,
    section: str = "training",
    fold: int | None = None,
    ckpt_dir: str | None = None,
    resume: Any = False,
    weights: str | list[str] | None = None,
    scores_dir: str | None = None,
    overwrite: Any = False,
) -> None:
    """First expression of every bundle's `initialize`: refuse what would fail later, or worse, pass silently.

    Overrides on the command line must name keys of the configuration, and everything that is given here must hold.

    Args:
        dataset_dir: must hold images; with a datalist, the files that it lists.
        datalist, section, fold: where a fold is given, both of its sides must have cases.
        ckpt_dir, resume: a folder that holds a run is not trained into again, unless it is resumed.
        weights: a file that must be there, or several (an ensemble).
        scores_dir, overwrite: a folder that holds scores is not written to again without `overwrite`.

    Raises:
        SystemExit: on the command line, code 2, after one line for each problem.
        DataError: anywhere else.
    """
    try:
        if on_command_line():
            check_overrides(sys.argv[1:])
        if ckpt_dir is not None:
            check_run_folder(ckpt_dir, resume)
        if dataset_dir is not None:
            check_data(dataset_dir, datalist, section, fold)
        if weights is not None:
            check_weights(weights)
        if scores_dir is not None and (Path(scores_dir) / "scores.csv").exists() and not boolean(overwrite):
            remedy = "Give --overwrite true, or another --evaluation_dir"
            raise DataError(Problem(scores_dir, "a folder without scores", "scores.csv", remedy))
    except DataError as error:
        _give_up(error)


def check_overrides(arguments: list[str]) -> None:
    """Every `--name` must be an argument of `monai.bundle run` or a key of the configuration files.

    Args:
        arguments: the command line after the program: `--k v`, `--k=v`, `--a#b v` and `--a::b v` are understood,
            and the keys of an `--args_file`.

    Raises:
        DataError: naming each unknown key and the closest known one.
    """
    from monai.bundle import ConfigParser

    given = _arguments(arguments)
    if "args_file" in given:
        given = {**ConfigParser.load_config_file(given["args_file"]), **given}
    config = ConfigParser.load_config_files(_files(given.get("config_file", ())))
    problems = []
    for name in given:
        path = name.replace("::", "#").split("#")
        if name in MONAI_ARGUMENTS or _reachable(config, path):
            continue
        close = difflib.get_close_matches(path[0], config, n=1)
        known = f"Perhaps --{close[0]} is meant" if close else f"Known keys: {', '.join(sorted(_simple(config)))}"
        problems.append(Problem(f"--{name}", "a key of the configuration", "none of that name", known))
    if problems:
        raise DataError(problems)


def check_run_folder(ckpt_dir: str, resume: Any = False) -> None:
    """Refuse to train into a folder that already holds a run, unless it is to be resumed; raises DataError."""
    state = Path(ckpt_dir) / "last.pt"
    if state.is_file() and not boolean(resume):
        remedy = "Give --resume true to go on with it, or another --output_dir"
        raise DataError(Problem(ckpt_dir, "a folder without a run", "last.pt of an earlier one", remedy))


def check_weights(weights: str | list[str]) -> None:
    """Every file of weights must be there; raises DataError."""
    files = [weights] if isinstance(weights, str) else weights
    remedy = "Train first, or give the weights of a finished run, RUN/models/model.pt"
    problems = [Problem(file, "a file of weights", "none", remedy) for file in files if not Path(file).is_file()]
    if problems:
        raise DataError(problems)


def boolean(value: Any) -> bool:
    """A configuration value as a boolean; the command line delivers `--resume false` as a string.

    Raises:
        DataError: the value is neither.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "yes", "on", "1"):
            return True
        if word in ("false", "no", "off", "0", "none", ""):
            return False
        raise DataError(Problem("boolean setting", "true or false", repr(value), "Write true or false"))
    return bool(value)


def check_data(dataset_dir: str, datalist: str | None, section: str, fold: int | None) -> None:
    """The images of a folder, or the cases of a datalist on both sides of a fold, must be there; raises DataError."""
    from pipeline.datalists import items
    from pipeline.segmentation.intake import find_cases

    if datalist is None:
        find_cases(dataset_dir)
        return
    for side in [None] if fold is None else ["train", "validation"]:
        items(datalist, dataset_dir=dataset_dir, section=section, fold=fold, side=side)


def _give_up(error: DataError) -> NoReturn:
    if not on_command_line():
        raise error
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"volseg: {error}", file=sys.stderr)
    raise SystemExit(2) from None


def _arguments(arguments: Iterable[str]) -> dict[str, Any]:
    """Name and value of each `--name value` and `--name=value`."""
    found: dict[str, Any] = {}
    name = None
    for word in arguments:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
        elif name is not None:
            found[name] = word
            name = None
    return found


def _files(value: Any) -> list[str]:
    """`a.json`, or the Python list that MONAI accepts on its command line."""
    import ast

    if isinstance(value, str) and value.startswith(("[", "(")):
        value = ast.literal_eval(value)
    return [value] if isinstance(value, str) else list(value)


def _reachable(config: Mapping[str, Any], path: list[str]) -> bool:
    """Whether all but the last step of a nested key exist, and the first one at any rate."""
    if path[0] not in config:
        return False
    node: Any = config[path[0]]
    for step in path[1:-1]:
        if isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        elif isinstance(node, Mapping) and step in node:
            node = node[step]
        else:
            return False
    return True


def _simple(config: Mapping[str, Any]) -> list[str]:
    """The keys that hold one value: those that a user is meant to change."""
    return [key for key, value in config.items() if not key.startswith("_") and not isinstance(value, dict)]
