"""What a row of docs/reliability.md is, and how a command is run and its outcome compared with the row."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

Kind = Literal["input", "interruption", "untrusted"]
REPOSITORY = Path(__file__).resolve().parents[2]
WIDE = "4000"  # columns: no cell of a table is broken into lines


@dataclass(frozen=True)
class Row:
    """One fault and what comes of it: a row of docs/reliability.md.

    Args:
        id: unique within its kind; the name of the test.
        what: the fault, in words.
        command: what is run, as a reader would type it, without paths that say nothing.
        outcome: what becomes of it, in words: "refused, the other cases are done".
        message: a plain piece of what is printed.
        exit_code: what the command ends with; negative for a signal.
        kind: the table that it belongs to.
    """

    id: str
    what: str
    command: str
    outcome: str
    message: str
    exit_code: int = 2
    kind: Kind = "input"

    def check(self, returncode: int, output: str) -> None:
        """Assert that a command ended as the row says: exit code, message, and no traceback."""
        assert "Traceback" not in output, output
        assert returncode == self.exit_code, f"exit code {returncode} instead of {self.exit_code}:\n{output}"
        assert self.message in output, f"not said: {self.message!r}\n{output}"


def row(
    id: str,
    what: str,
    command: str,
    outcome: str,
    message: str,
    *values: Any,
    exit_code: int = 2,
    kind: Kind = "input",
    marks: Any = (),
) -> Any:
    """A parameter of a test that gets a `Row` and after it `values`.

    Example::

        @pytest.mark.parametrize(("row", "spoil"), [row("empty", "an empty file", "volseg check", "refused", "an empty", cut)])
        def test_input(row, spoil, tmp_path): ...

    Args:
        id, what, command, outcome, message, exit_code, kind: as `Row` has them.
        values: the test's further parameters.
        marks: further pytest marks; an xfail is told in docs/reliability.md.
    """  # noqa: E501
    one = Row(id, what, command, outcome, message, exit_code, kind)
    more = marks if isinstance(marks, list | tuple) else [marks]
    return pytest.param(one, *values, id=id, marks=[pytest.mark.fault(one), *more])


def volseg(*arguments: Any, cwd: Path = REPOSITORY) -> tuple[int, str]:
    """`volseg ARGUMENTS` in this process; its exit code, and all that it printed.

    Rows of tables come as lines of the form that errors have: "file: expected X, found Y. Remedy.".
    """
    from pipeline.__main__ import main

    code, output = _run(main, ["volseg", *map(str, arguments)], cwd)
    return code, plain(output)


def monai_bundle(*arguments: Any, cwd: Path = REPOSITORY) -> tuple[int, str]:
    """`python -m monai.bundle ARGUMENTS` in this process; its exit code, and all that it printed."""

    def main() -> None:
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)

    return _run(main, ["monai.bundle", *map(str, arguments)], cwd)


def edit_json(path: Path, *without: str, **entries: Any) -> None:
    """Change top-level entries of a JSON file, and take some out."""
    content = json.loads(path.read_text(encoding="utf-8")) | entries
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in without}), encoding="utf-8")


def _run(main: Any, argv: list[str], cwd: Path) -> tuple[int, str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    with _in_place(argv, cwd), contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        try:
            main()
            code = 0
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
        except Exception:  # as the interpreter would end
            code = _excepthook()
    return code, stream.buffer.getvalue().decode("utf-8", "backslashreplace")


def _excepthook() -> int:
    """What the interpreter does with an exception that nobody caught; `launch.check` puts a hook of its own there."""
    try:
        sys.excepthook(*sys.exc_info())
    except SystemExit as error:
        return int(error.code or 0)
    return 1


@contextlib.contextmanager
def _in_place(argv: list[str], cwd: Path) -> Iterator[None]:
    before = sys.argv, os.getcwd(), dict(os.environ), list(sys.path)
    hook, handlers = sys.excepthook, {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    sys.argv = argv
    os.chdir(cwd)
    os.environ |= {"COLUMNS": WIDE, "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}
    try:
        yield
    finally:
        sys.argv = before[0]
        os.chdir(before[1])
        os.environ.clear()
        os.environ.update(before[2])
        sys.path[:] = before[3]
        sys.excepthook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)


def plain(output: str) -> str:
    """Rows of a table of problems as lines."""
    lines = []
    for line in output.split("\n"):
        line = line.rpartition("\r")[2]  # what a progress bar left
        cells = [cell.strip() for cell in line.strip().strip("│").split("│")]
        if line.strip().startswith("│") and len(cells) == 4:
            file, expected, found, remedy = cells
            line = f"{file}: expected {expected}, found {found}. {remedy}."
        if not re.fullmatch(r"[\s─├┼┤┌┬┐└┴┘┏┳┓━┡╇┩│]*", line):
            lines.append(line)
    return "\n".join(lines)
