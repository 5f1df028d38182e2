"""The findings as tables for the terminal: all problems, and of each kind of warning the first three."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import printable
from pipeline.preflight.result import Finding, Result

SHOWN = 3  # warnings of a kind; one about every case of a large set would bury the others
WIDE = 160  # columns where the output is no terminal


def print_result(result: Result, console: Console | None = None) -> None:
    """Print what was found: a table of problems, one of warnings, and a last line that sums up."""
    console = console or terminal()
    if result.problems:
        console.print(_table("Problems", "red", result.problems, result.root))
    if result.warnings:
        kinds: dict[str, list[Finding]] = defaultdict(list)
        for finding in result.warnings:
            kinds[finding.check].append(finding)
        first = [finding for finding in result.warnings if finding in kinds[finding.check][:SHOWN]]
        console.print(_table("Warnings", "yellow", first, result.root))
        more = [f"{len(own) - SHOWN} more of '{check}'" for check, own in kinds.items() if len(own) > SHOWN]
        if more:
            console.print(Text("Not shown: " + ", ".join(more) + ". --json writes all."))
    console.print(Text(summary(result)))


def summary(result: Result) -> str:
    """One line: how much was looked at, and what came of it."""
    looked = f"{_count(result.cases, 'case')}, {_count(result.files, 'file')} checked ({result.level})"
    looked += f" in {result.seconds:.1f} s: "
    problems = _count(len(result.problems), "problem") if result.problems else "no problems"
    broken = f" in {_count(len(result.broken), 'case')}" if result.broken else ""
    looked += f"{problems}{broken}, {_count(len(result.warnings), 'warning')}."
    if result.files and (result.problems or result.warnings):
        looked += f" Paths are relative to {printable(result.root)}."
    return looked


def terminal(*, stderr: bool = False) -> Console:
    """stdout or stderr, wide where it is no terminal."""
    console = Console(stderr=stderr)
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(stderr=stderr, width=WIDE)


def _table(title: str, colour: str, findings: Iterable[Finding], root: str) -> Table:
    table = Table(title=title, title_style=f"bold {colour}", title_justify="left", show_lines=True)
    for name, ratio in (("file", 4), ("expected", 3), ("found", 3), ("remedy", 4)):
        table.add_column(name, overflow="fold", ratio=ratio)
    for finding in findings:
        problem = finding.problem
        cells = (problem.file, problem.expected, problem.found, problem.remedy)
        table.add_row(*(Text(_short(printable(cell), root)) for cell in cells))
    return table


def _short(text: str, root: str) -> str:
    """The text with its paths below the root relative to it; "mk/a" within "/data/mk/a" is none of them."""
    folders = "|".join(re.escape(os.path.join(folder, "")) for folder in (os.path.abspath(root), root))
    return re.sub(rf"(?<![^\s('])(?:{folders})", "", text)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)
