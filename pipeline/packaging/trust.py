"""A bundle of unknown origin, looked at before anything of it runs: its expressions, its code, its paths."""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import DataError, Problem
from pipeline.packaging.expressions import faults
from pipeline.packaging.loading import PREFIX, module_of, on_path
from pipeline.packaging.names import OURS, constants, imports_of, mapped, outside, strings
from pipeline.packaging.sources import ROOT, docstring_of, rename_imports
from pipeline.packaging.unpacking import opened

CONFIGS = (".json", ".yaml", ".yml")
CODE = (".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".pth", ".pyz", ".egg", ".sh", ".bat", ".exe")
NETWORK = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
REMEDY = "Look at it; if you trust whoever made this bundle, give --trust"
LOGGING = {"class": {"StreamHandler"}, "args": {"(sys.stderr,)", "(sys.stdout,)", "()"}}


@contextmanager
def trusted_bundle(bundle: str | Path, *, trust: bool = False) -> Iterator[Path]:
    """The folder of a bundle that may run: its own, or that of a zip, unpacked for as long as the context.

    Within the context a packed bundle's Python can be imported; compiled files that lie in its folder are not used.

    Args:
        bundle: a bundle's folder, its zip, or its inference.json. What is not there is handed on as it is, and the
            bundles of this repository are taken without a look at them.
        trust: run it, whatever it holds.

    Raises:
        DataError: everything that `inspect_bundle` finds, unless it is trusted; a zip that cannot be unpacked.
    """
    bundle = Path(bundle)
    is_config = bundle.is_file() and bundle.suffix.lower() in CONFIGS
    if not bundle.exists() or ((is_config or bundle.is_dir()) and _is_own(bundle)):
        yield bundle
        return
    home = bundle.parent.parent if bundle.parent.name == "configs" else bundle.parent
    with opened(home if is_config else bundle) as folder:
        problems = [] if trust else inspect_bundle(folder)
        if problems:
            raise DataError(problems)
        with _without_compiled_files(), on_path(folder):
            yield bundle if is_config else folder


def inspect_bundle(folder: str | Path) -> list[Problem]:
    """What a bundle would do beyond the ordinary; nothing of it is run or imported.

    - every `$` expression, `$import`, `_target_` and `%` of its configurations (JSON and YAML, descriptions too), and
      what its logging.conf makes Python evaluate: names of libraries that are not allowed, functions of allowed ones
      that load code or fetch files, private attributes, `torch.load` without `weights_only=True`
      (`pipeline.packaging.expressions` has the lists)
    - paths in the configurations that lead out of the folder, addresses on the network, links
    - code: the package that `volseg package` carries along is compared, file by file, with the sources of this version
      of volseg; all other code, and such that differs, is shown with its SHA-256

    What this promises: an accident and a plain attempt are seen before they run, and an empty list means that the
    configurations name nothing but functions of MONAI, PyTorch, NumPy, Ignite and this project, in the versions that
    are installed. What it does not promise: these functions include some that write files or take all memory, with
    arguments that the bundle chooses; a list of names is no sandbox, and a way around it may exist. Weights are loaded
    as data alone, but whether they segment well is not looked at. A bundle from someone whom you do not trust belongs
    into a container without network and without your files, with or without `--trust`.

    Args:
        folder: a bundle, flat or packed.

    Returns:
        one problem for each; [] for a bundle as `volseg package` of this version writes it.
    """
    from monai.bundle import ConfigParser

    folder = Path(folder)
    found = [*_link_problems(folder), *_code_problems(folder)]
    configs = [path for path in _files(folder) if path.suffix.lower() in CONFIGS and not _in_package(path, folder)]
    carried, contents = module_of(folder), {}
    for path in configs:
        try:
            contents[path] = mapped(ConfigParser.load_config_file(path), lambda text: _as_ours(text, carried))
        except Exception as error:  # YAML and JSON libraries raise many
            why = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
            found.append(Problem(str(path), "a configuration that can be read", why, REMEDY))
    aliases = imports_of(list(contents.values()))
    for path, content in contents.items():
        for place, text in strings(content):
            found += _text_problems(path, place, text, aliases)
    for path in _files(folder):
        if path.suffix.lower() in (".conf", ".ini", ".cfg"):
            found += _logging_problems(path)
    return found


def _is_own(bundle: Path) -> bool:
    """Whether it is one of the repository that this program runs from."""
    return bundle.resolve().is_relative_to(ROOT.parent / "bundles") and (ROOT.parent / "setup.cfg").is_file()


@contextmanager
def _without_compiled_files() -> Iterator[None]:
    """Python may take __pycache__/x.pyc for x.py without a look at x.py: it shall look for it elsewhere."""
    before = sys.pycache_prefix
    with tempfile.TemporaryDirectory(prefix="volseg-") as scratch:
        sys.pycache_prefix = scratch
        try:
            yield
        finally:
            sys.pycache_prefix = before


def _text_problems(path: Path, place: str, text: str, aliases: dict[str, str]) -> Iterator[Problem]:
    where = f"{path}: {place}"
    for fault in faults(text, place, aliases):
        yield Problem(where, "expressions and targets of the allowed libraries", fault, REMEDY)
    if path.stem == "metadata":
        return  # descriptions and references, with their addresses
    paths = outside(text)
    for part in constants(text):
        if part in paths or NETWORK.match(part):
            expected = "paths within the bundle" if part in paths else "nothing from the network"
            yield Problem(where, expected, f"{part[:80]!r}", REMEDY)
    if place.endswith("_mode_") and text not in ("default", "callable", "partial"):
        yield Problem(where, "the mode default, callable or partial", repr(text), REMEDY)


def _code_problems(folder: Path) -> Iterator[Problem]:
    for path in _files(folder):
        name = path.relative_to(folder)
        in_package = _in_package(path, folder)
        if "__pycache__" in name.parts or not (in_package or path.suffix.lower() in CODE):
            continue
        content = path.read_bytes()
        if not (in_package and _is_known(content, name)):
            digest = hashlib.sha256(content).hexdigest()
            expected = "code of this version of volseg alone"
            yield Problem(str(path), expected, f"other code, SHA-256 {digest}", REMEDY)


def _is_known(content: bytes, name: Path) -> bool:
    """Whether a file of a carried package is what `volseg package` writes: our source under the package's name."""
    source = ROOT.joinpath(*name.parts[1:])
    if not source.is_file():
        return False
    if source.suffix != ".py":
        return content == source.read_bytes()
    text = source.read_text(encoding="utf-8")
    stub = [docstring_of(text)] if source.name == "__init__.py" else []
    return content in [one.encode() for one in (rename_imports(text, name.parts[0]), *stub)]


def _link_problems(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            yield Problem(str(path), "plain files", f"a link to {os.readlink(path)}", REMEDY)


def _logging_problems(path: Path) -> Iterator[Problem]:
    """Python's logging evaluates `class` and `args` of every handler."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, ValueError) as error:
        yield Problem(str(path), "a logging configuration", str(error).splitlines()[0], REMEDY)
        return
    for section in parser.sections():
        for key, value in parser[section].items():
            unknown = key in LOGGING and section.startswith("handler_") and value not in LOGGING[key]
            if unknown or (key == "class" and section.startswith("formatter_")):
                yield Problem(f"{path}: {section}", f"a plain {key}", value[:80], REMEDY)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _in_package(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return len(parts) > 1 and parts[0].startswith(PREFIX)


def _as_ours(text: str, carried: str | None) -> str:
    """Names of the carried package as those of `pipeline`, which its code was compared with."""
    return re.sub(rf"\b{re.escape(carried)}\b", OURS, text) if carried else text
