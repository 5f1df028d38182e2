"""Names in a bundle's configuration: which of our modules its targets, imports and expressions mean."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.errors import DataError
from pipeline.overrides import missing_reference

OURS = "pipeline"
DOTTED = re.compile(rf"\b{OURS}(?:\.\w+)+")
REFERENCES = "__local_refs"  # what an expression's references are entries of, once MONAI has put them in
ABSOLUTE = re.compile(r"^(/|\\|~|[A-Za-z]:[\\/])")
UPWARDS = re.compile(r"(^|[\\/])\.\.([\\/]|$)")


def strings(config: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a configuration with its place, `train#handlers#0#_target_`.

    Those of descriptions, too: MONAI evaluates what begins with $ wherever it stands.
    """
    if isinstance(config, dict):
        for key, value in config.items():
            yield from strings(value, f"{place}#{key}" if place else str(key))
    elif isinstance(config, list | tuple):
        for index, value in enumerate(config):
            yield from strings(value, f"{place}#{index}")
    elif isinstance(config, str):
        yield place, config


def mapped(config: Any, change: Callable[[str], Any]) -> Any:
    """The configuration with `change(text)` instead of each text."""
    if isinstance(config, dict):
        return {key: mapped(value, change) for key, value in config.items()}
    if isinstance(config, list):
        return [mapped(value, change) for value in config]
    return change(config) if isinstance(config, str) else config


def with_files(config: Any) -> Any:
    """The configuration with the content of other files where it names them (`%FILE::KEY`), as MONAI puts it in.

    What a text takes from its own file (`%run`) stays: MONAI's `resolve_macro_and_relative_ids` would copy that, too.

    Raises:
        DataError: no such file or key.
    """
    return mapped(config, _from_file)


def _from_file(text: str) -> Any:
    from monai.bundle import ConfigParser

    if not (file := other_file(text)):
        return text
    if problems := missing_reference(text, text):
        raise DataError(problems)
    return with_files(ConfigParser(ConfigParser.load_config_file(file))[ConfigParser.split_path_id(text[1:])[1]])


def other_file(text: str) -> str:
    """The file that a text takes its value from (`%FILE::KEY`), "" where it takes none."""
    from monai.bundle import ConfigParser

    return ConfigParser.split_path_id(text[1:])[0] if text.startswith("%") else ""


def syntax(text: str) -> ast.Module | None:
    """The syntax of a `$` expression once MONAI has put its references in; None where it cannot be read, or is none."""
    from monai.bundle.reference_resolver import ReferenceResolver

    if not text.startswith("$"):
        return None
    code = ReferenceResolver.normalize_id(text[1:])
    for found in sorted(ReferenceResolver.id_matcher.findall(code), key=len, reverse=True):
        code = code.replace(found, f"{REFERENCES}['{found[1:]}']")
    try:
        return ast.parse(code.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def imports_of(config: Any) -> dict[str, str]:
    """What each `$import x.y as z` of a configuration binds: z -> x.y; `import x.y` alone: x.y -> x.y."""
    found = {}
    for _, text in strings(config):
        tree = syntax(text)
        for node in tree.body if tree else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                found |= {alias.asname or alias.name: prefix + alias.name for alias in node.names}
    return found


def our_names(config: Any) -> set[str]:
    """Dotted names of ours that a configuration uses, also by way of its imports: `pipeline.launch.check`."""
    code = [text for place, text in strings(config) if text.startswith("$") or place.endswith("_target_")]
    names = {name for text in code for name in DOTTED.findall(text)}
    for alias, module in imports_of(config).items():
        if module.split(".")[0] == OURS:
            used = re.compile(rf"(?<![\w.@]){alias}\.(\w+)")
            names |= {f"{module}.{name}" for text in code for name in used.findall(text)}
    return names


def renamed(config: Any, package: str) -> Any:
    """The configuration with `package` instead of `pipeline` in targets, imports and expressions."""

    def change(text: str) -> str:
        if text.startswith("$") or DOTTED.fullmatch(text):
            return DOTTED.sub(lambda match: package + match.group()[len(OURS) :], text)
        return text

    return mapped(config, change)


def constants(text: str, *, joined: bool = True) -> list[str]:
    """The string constants of an expression, [] of one that cannot be read; the text itself where it is none.

    Args:
        text: a value of a configuration.
        joined: also those that are added to something: `'/log.jsonl'` in `@output_dir + '/log.jsonl'`.
    """
    if not text.startswith("$"):
        return [text]
    nodes = list(ast.walk(syntax(text) or ast.Module([], [])))
    left_out: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", None) == REFERENCES:
            left_out.add(node.slice)
        elif not joined and isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left_out |= set(ast.walk(node.right))
    found = [node.value for node in nodes if isinstance(node, ast.Constant) and node not in left_out]
    return [value for value in found if isinstance(value, str)]


def outside(text: str) -> list[str]:
    """The constants of a text that are paths out of a bundle's folder, unless they are joined to a folder."""
    paths = {part: part.removeprefix("%") for part in constants(text)}
    whole = constants(text, joined=False)
    return [part for part, path in paths.items() if UPWARDS.search(path) or (part in whole and ABSOLUTE.search(path))]
