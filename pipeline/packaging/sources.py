"""Our modules that a bundle reaches, carried along under another package name."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from pipeline.errors import DataError, Problem
from pipeline.packaging.names import OURS

ROOT = Path(__file__).resolve().parents[1]  # the folder of the package `pipeline`
IMPORT = re.compile(rf"^(\s*(?:from|import) |.*\bimport_module\(f?['\"]){OURS}(?=[. ])", re.MULTILINE)
UNNAMED = re.compile(rf"^\s*import ({OURS}[\w.]*)\s*(#.*)?$", re.MULTILINE)


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
        unknown = [name for name in sorted(set(names)) if not self._reach(name)]
        if unknown:
            remedy = "Correct the name, or move what it names into the package"
            raise DataError([Problem(name, f"a public name of {OURS}", "none", remedy) for name in unknown])
        parents = {name.rsplit(".", number)[0] for name in self._full for number in range(1, name.count(".") + 1)}
        self.stubs = parents - self._full
        self.modules = sorted(self._full | parents)
        self.data = sorted(self._data_files())

    def write(self, folder: Path, package: str) -> None:
        """Write the modules into `folder/package`, its imports rewritten."""
        texts = {self._path(module): self.text(module, package).encode() for module in self.modules}
        for source, content in (texts | {path: path.read_bytes() for path in self.data}).items():
            target = folder / package / source.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def text(self, module: str, package: str) -> str:
        """The source of a module with its imports of ours renamed; a stub's docstring alone."""
        source = self._path(module).read_text(encoding="utf-8")
        return docstring_of(source) if module in self.stubs else rename_imports(source, package)

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
        home = _table(self._tree(module)).get(attribute)
        if home is not None:
            self._follow(f"{module}.{home}")
        return home is not None or attribute in _defined(self._tree(module))

    def _follow(self, module: str) -> None:
        if module not in self._full:
            self._full.add(module)
            for name in _imported(self._tree(module)):
                self._reach(name)

    def _path(self, module: str) -> Path | None:
        first, *parts = module.split(".")
        place = self.root.joinpath(*parts)
        paths = (place / "__init__.py", place.with_suffix(".py")) if first == OURS else ()
        return next((path for path in paths if path.is_file()), None)

    def _tree(self, module: str) -> ast.Module:
        return _parsed(self._path(module).read_text(encoding="utf-8"))

    def _data_files(self) -> Iterator[Path]:
        packages = {path.parent for module in self._full if (path := self._path(module)).name == "__init__.py"}
        for file in self.root.rglob("*"):
            owner = next(folder for folder in file.parents if (folder / "__init__.py").is_file())
            if file.is_file() and file.suffix not in (".py", ".pyc") and owner in packages - {self.root}:
                yield file


def imported_by(package: Path) -> set[str]:
    """Top-level names of the modules that a package's code imports, the standard library and its own left out."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(_parsed(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {package.name}


def docstring_of(source: str) -> str:
    """A module's docstring as source, "" where it has none."""
    docstring = ast.get_docstring(_parsed(source), clean=False)
    return f'"""{docstring}"""\n' if docstring else ""


def rename_imports(source: str, package: str) -> str:
    """Python source with `package` instead of `pipeline` in its import statements and `import_module` calls.

    Raises:
        ValueError: `import pipeline.x` without `as`, whose uses this does not rename.
    """
    if unnamed := UNNAMED.search(source):
        raise ValueError(f"write `import {unnamed[1]} as ...`")
    return IMPORT.sub(rf"\g<1>{package}", source)


@cache
def _parsed(source: str) -> ast.Module:
    return ast.parse(source)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of ours that a module imports, and those that it takes from what it imported (`report.curves`)."""
    ours: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        else:
            continue
        ours |= {alias: name for alias, name in names.items() if name.split(".")[0] == OURS}
    yield from ours.values()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
            yield f"{ours[node.value.id]}.{node.attr}"


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
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return names
