"""Names in a bundle's configuration: which of our modules its targets, imports and expressions mean."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

OURS = "pipeline"
DOTTED = re.compile(rf"\b{OURS}(?:\.\w+)+")


def strings(config: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every string value of a configuration with its place, `train#handlers#0#_target_`; descriptions are left out."""
    if isinstance(config, dict):
        for key, value in config.items():
            if key != "_desc_":
                yield from strings(value, f"{place}#{key}" if place else str(key))
    elif isinstance(config, list | tuple):
        for index, value in enumerate(config):
            yield from strings(value, f"{place}#{index}")
    elif isinstance(config, str):
        yield place, config


def mapped(config: Any, change: Any) -> Any:
    """The configuration with `change(text)` instead of each string value."""
    if isinstance(config, dict):
        return {key: value if key == "_desc_" else mapped(value, change) for key, value in config.items()}
    if isinstance(config, list):
        return [mapped(value, change) for value in config]
    return change(config) if isinstance(config, str) else config


def our_names(config: Any) -> set[str]:
    """Dotted names of ours that a configuration uses, also by way of its imports: `pipeline.launch.check`."""
    code = [text for place, text in strings(config) if text.startswith("$") or place.endswith("_target_")]
    names = {name for text in code for name in DOTTED.findall(text)}
    for alias, module in imports_of(config).items():
        if module.split(".")[0] == OURS:
            used = re.compile(rf"(?<![\w.@]){alias}\.(\w+)")
            names |= {f"{module}.{name}" for text in code for name in used.findall(text)}
    return names


def imports_of(config: Any) -> dict[str, str]:
    """What each `$import x.y as z` of a configuration makes available: z -> x.y."""
    found = {}
    for _, text in strings(config):
        if text.startswith(("$import ", "$from ")):
            node = ast.parse(text[1:]).body[0]
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            found |= {alias.asname or alias.name: prefix + alias.name for alias in node.names}
    return found


def renamed(config: Any, package: str) -> Any:
    """The configuration with `package` instead of `pipeline` in targets, imports and expressions."""

    def change(text: str) -> str:
        if text.startswith("$") or DOTTED.fullmatch(text):
            return DOTTED.sub(lambda match: package + match.group()[len(OURS) :], text)
        return text

    return mapped(config, change)


def constants(text: str, *, joined: bool = True) -> list[str]:
    """The string constants of an expression; the value itself where it is none.

    Args:
        text: a value of a configuration.
        joined: also those that are added to something: `'/log.jsonl'` in `@output_dir + '/log.jsonl'`.
    """
    if not text.startswith("$"):
        return [text]
    if text.startswith(("$import ", "$from ")):
        return []
    tree = ast.parse(re.sub(r"@\w+(?:(?:#|::)\w+)*", "_", text[1:].strip()))
    added: set[ast.AST] = set()
    for node in ast.walk(tree) if not joined else ():
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            added |= set(ast.walk(node.right))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in added]
    return [node.value for node in found if isinstance(node.value, str)]
