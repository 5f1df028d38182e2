"""What the texts of a configuration would run: each `$` expression and `_target_` against a list of what is allowed."""

from __future__ import annotations

import ast
import builtins
import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from pipeline.packaging.names import REFERENCES, imports_of, syntax

GIVEN = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}  # by MONAI, to every expression
BUILTINS = {
    *("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "int", "isinstance"),
    *("len", "list", "map", "max", "min", "pow", "print", "range", "repr", "reversed", "round", "set", "slice"),
    *("sorted", "str", "sum", "tuple", "zip"),
}
ONLY_CALLED = {"getattr", "__import__", "torch.load"}  # and then with some arguments alone
# of these modules everything but REFUSED, of others only the names that stand here
ALLOWED = (
    *("monai", "torch", "numpy", "ignite", "math", "datetime", "glob.glob", "os.environ", "os.path", "posixpath"),
    *("pipeline.baselines", "pipeline.checkpoints", "pipeline.crf", "pipeline.datalists", "pipeline.datasets"),
    *("pipeline.ensembles", "pipeline.experiment.SliceDataset", "pipeline.experiment.SliceScoresHandler"),
    *("pipeline.experiment.slices", "pipeline.experiment.slice_scores"),
    *("pipeline.handlers", "pipeline.inferers", "pipeline.launch", "pipeline.losses", "pipeline.metrics"),
    *("pipeline.networks", "pipeline.packaging.serving", "pipeline.report", "pipeline.segmentation"),
    *("pipeline.semi_supervised", "pipeline.structures", "pipeline.transforms", "pipeline.uncertainty"),
    *("pipeline.volumes",),
)
REFUSED = (  # they load or run code, or fetch files
    *("monai.apps.utils", "monai.apps.datasets", "monai.apps.mmars", "monai.apps.nnunet", "monai.apps.auto3dseg"),
    *("monai.apps.download_and_extract", "monai.apps.download_url", "monai.apps.extractall", "monai.bundle"),
    *("monai.fl", "monai.auto3dseg", "monai.utils.module", "monai.utils.optional_import"),
    *("monai._extensions", "torch.hub", "torch.jit", "torch.ops", "torch.classes", "torch.package", "torch.library"),
    *("torch.save", "torch.serialization", "torch.multiprocessing", "torch.utils.cpp_extension", "torch.compile"),
    *("torch.utils.model_zoo", "torch.distributed.run", "torch.distributed.launch", "torch.distributed.elastic"),
    *("torch.distributed.launcher", "torch.distributed.rpc", "torch.distributed.checkpoint"),
    *("torch.utils.data.datapipes", "monai.utils.misc.run_cmd", "monai.data.torchscript_utils"),
    *("monai.data.utils.pickle_operations", "monai.data.image_reader.NumpyReader", "monai.networks.trt_compiler"),
    *("numpy.ctypeslib", "numpy.distutils", "numpy.f2py", "numpy.testing", "numpy.load", "numpy.save", "numpy.memmap"),
    *("numpy.lib.format", "numpy.lib.npyio", "numpy.lib.introspect", "numpy.lib.utils", "numpy.DataSource"),
    *("numpy.genfromtxt", "numpy.loadtxt", "numpy.savetxt", "numpy.savez", "numpy.savez_compressed"),
)
TORCH = (  # of torch's own modules only these: others compile, benchmark, trace, or call the shell
    *("amp", "autograd", "backends", "cuda", "distributed", "distributions", "fft", "functional", "linalg", "nn"),
    *("optim", "random", "special", "utils.data"),
)
HOMES = {"collections", "_collections_abc", "functools", "genericpath", "ntpath", "typing", "enum", "abc"}
REFUSED_METHODS = {
    *("system", "popen", "spawn", "eval", "exec", "tofile", "extractall", "write_text", "write_bytes", "unlink"),
    *("rmtree", "optional_import", "import_module", "instantiate", "load_submodules", "locate", "f_globals"),
}


def faults(text: str, place: str, aliases: Mapping[str, str]) -> Iterator[str]:
    """What a text of a configuration names that is not allowed, in words; nothing for what runs nothing.

    The expression is read as MONAI would evaluate it, and nothing of it is evaluated. Names of allowed libraries are
    looked up in the library, so that another module that one of them imports (`torch.os`) is known as such.

    Args:
        text: the value.
        place: its key, `train#handlers#0#_target_`.
        aliases: what the bundle's own `$import x.y as z` make of names: z -> x.y.
    """
    is_target = re.split("#|::", place)[-1] == "_target_"
    if is_target and text.startswith(("@", "%")):
        yield f"the target {text}, which is known only when it runs"
    elif is_target and not text.startswith("$"):
        yield from _target_faults(text)
    elif text.startswith("$"):
        yield from _expression_faults(text, aliases, only_name=is_target)


def refusal(name: str, *, is_value: bool = True) -> str:
    """Why a dotted name is refused, "" where it is allowed; a whole module is no value."""
    if any(part.startswith("_") for part in name.split(".")) and not name.endswith(".__version__"):
        return f"the private name {name}"
    if not _is_allowed(name):
        return f"{name}, which belongs to none of the allowed libraries"
    if _is_refused(name):
        return f"{name}, which can run other code or write files"
    return _foreign(name, is_value)


def _target_faults(text: str) -> Iterator[str]:
    if "." in text:
        yield from (f"the target {reason}" for reason in [refusal(text)] if reason)
    else:
        reasons = (refusal(f"{module}.{text}") for module in _monai_homes(text))
        yield from (f"the target {text}: {reason}" for reason in reasons if reason)


def _expression_faults(text: str, aliases: Mapping[str, str], *, only_name: bool) -> Iterator[str]:
    tree, shown = syntax(text), text[1:81]
    if tree is None or len(tree.body) != 1:
        yield f"an expression that cannot be read: {shown}"
        return
    statement = tree.body[0]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        names = imports_of(text).values()
        yield from filter(None, (refusal(name, is_value=False) for name in names))
    elif not isinstance(statement, ast.Expr):
        yield f"a statement: {shown}"
    elif only_name and _chain(statement.value) is None:
        yield f"the target {shown}, which is known only when it runs"
    else:
        bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        known = {**GIVEN, **aliases}
        yield from (f"the name {name} given to something else" for name in sorted(bound) if _is_taken(name, known))
        yield from _node_faults(statement.value, known, bound)


def _node_faults(node: ast.AST, known: Mapping[str, str], bound: set[str]) -> Iterator[str]:
    chain = _chain(node)
    if chain is not None:
        yield from _chain_faults(chain, known, bound)
        return
    if isinstance(node, ast.Attribute) and _is_odd(node.attr):
        yield f"the attribute .{node.attr}"
    checked = isinstance(node, ast.Call) and _full(_chain(node.func) or "", known) in ONLY_CALLED
    if checked:
        yield from _call_faults(node, known)
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr_context) and not (checked and child is node.func):
            yield from _node_faults(child, known, bound)


def _chain_faults(chain: str, known: Mapping[str, str], bound: set[str]) -> Iterator[str]:
    first, _, rest = chain.partition(".")
    full = _full(chain, known)
    if full in ONLY_CALLED:
        yield f"{full} as a value"
    elif first in known or first == "os" != chain:
        yield from filter(None, [refusal(full)])
    elif first in bound or first == REFERENCES or first in BUILTINS:
        yield from (f"the attribute .{name}" for name in rest.split(".") if _is_odd(name))
    else:
        yield f"the {'function' if hasattr(builtins, first) else 'name'} {first}"


def _call_faults(node: ast.Call, known: Mapping[str, str]) -> Iterator[str]:
    """Of those functions that are allowed with some arguments alone."""
    name = _full(_chain(node.func) or "", known)
    constants = [part.value if isinstance(part, ast.Constant) else None for part in node.args]
    if name == "getattr" and (len(constants) < 2 or not isinstance(constants[1], str) or _is_odd(constants[1])):
        yield "getattr with a name that is not plain"
    elif name == "__import__":
        yield "the function __import__"
    elif name == "torch.load":
        given = {part.arg: getattr(part.value, "value", None) for part in node.keywords}
        if given.get("weights_only") is not True:
            yield "torch.load without weights_only=True, which runs what the file says"


def _chain(node: ast.AST) -> str | None:
    """`a.b.c` of names joined by dots, `__import__('os').x` taken as os.x; None for everything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if parts and isinstance(node, ast.Call) and ast.unparse(node) == "__import__('os')":
        return ".".join(["os", *reversed(parts)])
    if isinstance(node, ast.Name):
        return ".".join([node.id, *reversed(parts)])
    return None


def _full(name: str, known: Mapping[str, str]) -> str:
    """The name with its first part replaced by what was imported under it."""
    first, dot, rest = name.partition(".")
    return known.get(first, first) + dot + rest


def _foreign(name: str, is_value: bool) -> str:
    """Why the object of an allowed name is not what it seems, "" where it is; one that is not there fails by itself."""
    parts = name.split(".")
    found: Any = None
    for number, part in enumerate(parts):
        here = ".".join(parts[: number + 1])
        try:
            found = getattr(found, part) if number and hasattr(found, part) else importlib.import_module(here)
        except (ImportError, ValueError):
            return ""
        if isinstance(found, ModuleType) and not _is_allowed(found.__name__):
            return f"{name}, by way of the module {found.__name__}"
    if isinstance(found, ModuleType):
        return f"the whole module {name}" if is_value else ""
    home, own = getattr(found, "__module__", None), getattr(found, "__qualname__", "")
    if not isinstance(home, str) or name == "torch.load":
        return ""
    if home == "builtins":
        return f"{name}, which is the function {own}" if hasattr(builtins, own) and own not in BUILTINS else ""
    if not _is_allowed(home) and home.split(".")[0] not in HOMES:
        return f"{name}, which is {home}.{own}"
    return f"{name}, which is {home}.{own}" if _is_refused(f"{home}.{own}") else ""


def _monai_homes(name: str) -> list[str]:
    """The modules of MONAI that define a class or function of this name, as its own search has them."""
    homes = _locator().get_component_module_name(name)
    return homes if isinstance(homes, list) else [homes] if homes else []


@cache
def _locator() -> Any:
    from monai.bundle.config_item import ComponentLocator

    return ComponentLocator()


def _is_allowed(name: str) -> bool:
    return any(_within(name, allowed) or _within(allowed, name) for allowed in ALLOWED)


def _is_refused(name: str) -> bool:
    by_name = any(_within(name, refused) for refused in REFUSED) or name.split(".")[-1] in REFUSED_METHODS
    return by_name or _is_other_torch(name)


def _is_other_torch(name: str) -> bool:
    """Whether a name lies in a module of torch that is none of TORCH; functions of torch itself do not."""
    first, _, rest = name.partition(".")
    top = rest.split(".")[0]
    if first != "torch" or not top or top.startswith("_"):
        return False
    if PathFinder.find_spec(f"torch.{top}", importlib.import_module("torch").__path__) is None:
        return False
    return not any(_within(rest, known) or _within(known, rest) for known in TORCH)


def _within(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.")


def _is_taken(name: str, known: Mapping[str, str]) -> bool:
    return name in known or name == "os" or name == REFERENCES or hasattr(builtins, name)


def _is_odd(attribute: str) -> bool:
    return attribute.startswith("_") or attribute in REFUSED_METHODS
