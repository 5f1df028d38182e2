"""The overrides of a bundle's command line: that they name keys, and which values are in force."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.errors import DataError, Problem

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
    if problems:
        raise DataError(problems)


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
