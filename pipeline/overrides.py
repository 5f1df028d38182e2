"""The overrides of a bundle's command line: that they name keys, and which values are in force."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem

TRUE, FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0", "none", "")
MONAI_ARGUMENTS = {
    *("run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file"),
    *("tracking_uri", "experiment_name", "run_name", "save_execute_config"),
}


def check_overrides(arguments: list[str]) -> None:
    """Every `--name` must be an argument of `monai.bundle run` or a key of the configuration files.

    Args:
        arguments: the command line after the program: `--k v`, `--k=v`, `--a#b v` and `--a::b v` are understood,
            and the keys of an `--args_file`.

    Raises:
        DataError: naming each unknown key and the closest known one.
    """
    given, config = _configuration(arguments)
    problems = []
    for name in given:
        path = name.replace("::", "#").split("#")
        if name in MONAI_ARGUMENTS or _reachable(config, path):
            continue
        close = difflib.get_close_matches(path[0], config, n=1)
        known = f"Perhaps --{close[0]} is meant" if close else f"Known keys: {', '.join(sorted(_simple(config)))}"
        problems.append(Problem(f"--{name}", "a key of the configuration", "none of that name", known))
    problems += unusable({f"--{name}": value for name, value in given.items()}, config)
    if problems:
        raise DataError(problems)


def unusable(given: Mapping[str, Any], config: Mapping[str, Any]) -> list[Problem]:
    """A problem for each value that cannot be meant, of the keys where MONAI would tell only when it computes.

    Args:
        given: `--name` or `name` -> value, as JSON or as the command line has it; expressions pass.
        config: the configuration that it changes: what is true or false there stays so.
    """
    problems = []
    for name, value in given.items():
        value, key = _literal(value), name.removeprefix("--")
        expected, usable = _VALUES.get(key, ("", lambda _: True))
        if key not in _VALUES and isinstance(config.get(key), bool):
            expected, usable = "true or false", _is_boolean
        if isinstance(value, str) and value.startswith("%"):
            problems += missing_reference(name, value)
        elif not (isinstance(value, str) and value[:1] in ("$", "@")) and not usable(value):
            problems.append(Problem(name, expected, repr(value), "Give another value"))
    return problems


def missing_reference(name: str, text: str) -> list[Problem]:
    """What is wrong with `%FILE` or `%FILE::KEY`, MONAI's way to take a value from another file."""
    from monai.bundle import ConfigParser

    file, _, key = text[1:].replace("#", "::").partition("::")
    if not Path(file).is_file():
        return [Problem(name, "a file that is there", file, "Give its path, as seen from the working folder")]
    top, known = key.partition("::")[0], ConfigParser.load_config_file(file)
    if not top or top in known:
        return []
    close = difflib.get_close_matches(top, known, n=1)
    remedy = f"Perhaps {close[0]} is meant" if close else f"Known keys: {', '.join(sorted(known))}"
    return [Problem(name, f"a key of {file}", top, remedy)]


def _is_boolean(value: Any) -> bool:
    return str(value).strip().lower() in TRUE + FALSE


def _each(usable: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def all_are(value: Any) -> bool:
        numbers = value if isinstance(value, list | tuple) else [value]
        return all(isinstance(n, int | float) and not isinstance(n, bool) and usable(n) for n in numbers)

    return all_are


def _whole(least: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number, {least} or more", lambda n: type(n) is int and n >= least


def _is_size(value: Any) -> bool:
    return _is_three(value) and all(type(n) is int and n > 0 for n in value)


def _is_spacing(value: Any) -> bool:
    return _is_three(value) and _each(lambda mm: mm > 0 or mm == -1)(value)


def _is_three(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 3


def _are_labels(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    numbers = [n if isinstance(n, list | tuple) else [n] for n in value.values()]
    return all(type(n) is int and n > 0 for given in numbers for n in given)


_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "overlap": ("shares of a window, from 0 to below 1", _each(lambda share: 0 <= share < 1)),
    "sw_batch_size": ("a number of windows, 1 or more", _each(lambda count: count == int(count) >= 1)),
    "patch_size": ("three whole numbers of voxels, such as [128, 128, 16]", _is_size),
    "spacing": ("three distances in mm, -1 for one that stays, such as [1.5, 1.5, -1]", _is_spacing),
    "labels": ("structures with their numbers, such as {'RV': 1, 'LV': 2}, without the background", _are_labels),
    "softmax": ("the bundle's own: acdc's structures exclude one another, covid19's overlap", lambda _: False),
    "learning_rate": ("a number, 0 or more", lambda rate: isinstance(rate, int | float) and rate >= 0),
    **dict.fromkeys(("epochs", "batch_size", "crops_per_case", "val_interval", "in_channels"), _whole(1)),
    **dict.fromkeys(("neighbours", "num_workers", "seed", "deep_supervision"), _whole(0)),
    "single_piece": ("a list of structures", lambda names: isinstance(names, list | tuple)),
    "mirror_axes": ("a list of the axes 0, 1 and 2", _each(lambda axis: axis in (0, 1, 2))),
}


def _literal(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError, SyntaxError):
            return ast.literal_eval(value)
    return value


def settings(arguments: list[str]) -> dict[str, Any]:
    """The keys of this command line's configuration with the values in force; empty where they cannot be read."""
    try:
        given, config = _configuration(arguments)
    except Exception:  # only a message hangs on it
        return {}
    return {**config, **given}


def _configuration(arguments: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the command line gives, and the content of its configuration files."""
    from monai.bundle import ConfigParser

    given = _arguments(arguments)
    if "args_file" in given:
        given = {**ConfigParser.load_config_file(given["args_file"]), **given}
    return given, ConfigParser.load_config_files(_files(given.get("config_file", ())))


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
