"""Our modules that a bundle reaches, carried along under another package name."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pipeline.errors import DataError, Problem
from pipeline.packaging.names import OURS

ROOT = Path(__file__).resolve().parents[1]  # the folder of the package `pipeline`


@dataclass(frozen=True)
class Facts:
    """What a module's source says: dotted names of ours that it uses, top-level names of all that it imports, names
    that it defines, names that it loads on demand with their modules, and its docstring."""

    imported: tuple[str, ...]
    roots: frozenset[str]
    defined: frozenset[str]
    table: dict[str, str]
    docstring: str | None


class Sources:
    """The modules of ours that some names need, whatever is imported where.

    A package's `__init__` is carried with its content only where one of its own names is needed; where only its
    modules are, its docstring stays. `import_module(f"pipeline.x.{TABLE[name]}")` in a package's `__getattr__` is
    followed by its table (name -> module), a dictionary at the top of the file.

    Args:
        names: dotted names: modules, or names in modules (`pipeline.transforms.Spacingd`).
        root: folder of the package.

    Attributes:
        modules: dotted names of the modules that are carried, in order.
        stubs: those of them that are packages of which only the docstring is needed.
        data: files that are no Python, in folders of the carried packages.

    Raises:
        DataError: a name that is none of ours.
    """

    def __init__(self, names: Iterable[str], root: Path = ROOT) -> None:
        self.root = root
        self._full: set[str] = set()
        problems = []
        for name in sorted(set(names)):
            if not self._reach(name):
                remedy = "Correct the name, or move what it names into the package"
                problems.append(Problem(name, f"a public name of {OURS}", "none", remedy))
        if problems:
            raise DataError(problems)
        parents = {name.rsplit(".", number)[0] for name in self._full for number in range(1, name.count(".") + 1)}
        self.stubs = parents - self._full
        self.modules = sorted(self._full | parents)
        self.data = sorted(self._data_files())

    def third_party(self) -> set[str]:
        """Top-level names of the modules that the carried code imports, the standard library and ours left out."""
        found: set[str] = set().union(*(self._facts(module).roots for module in self._full))
        return found - set(sys.stdlib_module_names) - {OURS}

    def write(self, folder: Path, package: str) -> None:
        """Write the modules into `folder/package`, its imports rewritten."""
        for module in self.modules:
            source = self._path(module)
            target = folder / package / source.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(self.text(module, package), encoding="utf-8")
        for source in self.data:
            target = folder / package / source.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())

    def text(self, module: str, package: str) -> str:
        """The source of a module with its imports of ours renamed; a stub's docstring alone."""
        if module in self.stubs:
            docstring = self._facts(module).docstring
            return f'"""{docstring}"""\n' if docstring else ""
        return rename_imports(self._path(module).read_text(encoding="utf-8"), package)

    def _reach(self, name: str) -> bool:
        """Follow a dotted name, of a module or in one; whether there is such a name."""
        if self._path(name) is not None:
            self._follow(name)
            return True
        module, _, attribute = name.rpartition(".")
        if not module or (self._path(module) is None and not self._reach(module)):
            return False
        if self._path(module) is None:
            return True  # an attribute of a name in a module
        self._follow(module)
        facts = self._facts(module)
        home = facts.table.get(attribute)
        if home is not None:
            self._follow(f"{module}.{home}")
        return home is not None or attribute in facts.defined

    def _follow(self, module: str) -> None:
        if module in self._full:
            return
        self._full.add(module)
        for name in self._facts(module).imported:
            self._reach(name)

    def _path(self, module: str) -> Path | None:
        parts = module.split(".")
        if parts[0] != OURS:
            return None
        place = self.root.joinpath(*parts[1:])
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                return path
        return None

    def _facts(self, module: str) -> Facts:
        return facts_of(self._path(module).read_text(encoding="utf-8"))

    def _data_files(self) -> Iterator[Path]:
        for module in self._full:
            path = self._path(module)
            if path.name != "__init__.py" or module == OURS:
                continue
            for file in path.parent.rglob("*"):
                packages = {parent for parent in file.parents if (parent / "__init__.py").is_file()}
                owner = max(packages, key=lambda folder: len(folder.parts))
                if file.is_file() and file.suffix not in (".py", ".pyc") and owner == path.parent:
                    yield file


def imported_by(package: Path) -> set[str]:
    """Top-level names of the modules that a package's code imports, the standard library and its own left out."""
    texts = (path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    return set().union(*(facts_of(text).roots for text in texts)) - set(sys.stdlib_module_names) - {package.name}


@cache
def facts_of(source: str) -> Facts:
    """Read a module's source; nothing is run."""
    tree = ast.parse(source)
    roots: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.split(".")[0])
    docstring = ast.get_docstring(tree, clean=False)
    return Facts(tuple(_imported(tree)), frozenset(roots), frozenset(_defined(tree)), _table(tree), docstring)


@cache
def rename_imports(source: str, package: str) -> str:
    """Python source with `package` instead of `pipeline` in its import statements and `import_module` calls.

    Raises:
        ValueError: `import pipeline.x` without `as`, whose uses this does not rename.
    """
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        ours = isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == OURS and not node.level
        if isinstance(node, ast.Import):
            named = [alias for alias in node.names if alias.name.split(".")[0] == OURS]
            if any(alias.asname is None for alias in named):
                raise ValueError(f"line {node.lineno}: write `import {named[0].name} as ...`")
            ours = bool(named)
        if ours or _loads_a_module(node):
            for number in range(node.lineno - 1, node.end_lineno):
                lines[number] = re.sub(rf"\b{OURS}\b(?=[. ])", package, lines[number])
    return "".join(lines)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of ours that a module imports, and those that it takes from what it imported (`report.curves`)."""
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    ours = {alias: name for alias, name in bound.items() if name.split(".")[0] == OURS}
    yield from ours.values()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
            yield f"{ours[node.value.id]}.{node.attr}"


def _loads_a_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module"


def _table(tree: ast.Module) -> dict[str, str]:
    """Names that a package loads on demand, with their modules; empty where it has no `__getattr__`."""
    if not any(isinstance(node, ast.FunctionDef) and node.name == "__getattr__" for node in tree.body):
        return {}
    tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)]
    return {key: value for table in tables for key, value in ast.literal_eval(table).items()}


def _defined(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return names
