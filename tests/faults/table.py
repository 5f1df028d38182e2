"""docs/reliability.md from the rows of all tests of this folder: `python tests/faults/table.py --write`."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
PAGE = REPOSITORY / "docs" / "reliability.md"
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from faults import Kind, Row  # noqa: E402

KINDS: dict[Kind, tuple[str, str]] = {
    "input": (
        "Bad input",
        "Files, lists and settings that cannot be meant. Code 2: refused; 1: done but for what is named; 0: done.",
    ),
    "interruption": (
        "Interruptions",
        "Processes killed, stopped and starved in the middle. A negative code is the signal that ended the process; "
        "what is left must be whole, and a second call must go on.",
    ),
    "untrusted": (
        "Untrusted files",
        "Files made to do harm. What a list of names can promise, and what not, stands in "
        "`pipeline/packaging/trust.py`: it is no sandbox. "
        "A bundle from someone whom you do not trust belongs into a container.",
    ),
}
HEAD = """# What goes wrong, and what comes of it

Each row is a test: the command (the heading, with its arguments) is run on the fault, must end with the code, must
print the message, and must print no traceback. The page is written from the tests by
`python tests/faults/table.py --write`; `make test` compares them, `make faults` runs them.
"""
COLUMNS = "| fault | arguments | what comes of it | message | code |\n|---|---|---|---|---|"
VERB = re.compile(r"(?:volseg|-m pipeline) (\w+)|monai\.bundle run( training| evaluating)?")
FUZZ = """
Beside these rows `tests/faults/test_fuzz.py` changes bytes of the header, the voxels and the packed stream of a small
NIfTI file at random (1,200 files): each is refused in one line, or gives the voxels that a reader of a few lines,
written from the standard, gives.
"""


@dataclass(frozen=True)
class Known:
    """A row and why it is known to fail, "" where it holds."""

    row: Row
    failing: str


def collect() -> list[Known]:
    """The rows of all tests of this folder; nothing is run.

    Raises:
        RuntimeError: a test module that cannot be imported, or two rows of one kind with one id.
    """
    found = _Collected()
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", str(HERE)], plugins=[found])
    if code != 0:
        raise RuntimeError(told.getvalue()[-2000:])
    twice = [key for key, count in Counter((one.row.kind, one.row.id) for one in found.rows).items() if count > 1]
    if twice:
        raise RuntimeError(f"rows of one name: {twice}")
    return found.rows


def page(rows: Iterable[Known]) -> str:
    """The page as Markdown."""
    rows = list(rows)
    parts = [HEAD]
    counts = ", ".join(f"{sum(one.row.kind == kind for one in rows)} {KINDS[kind][0].lower()}" for kind in KINDS)
    failing = [one for one in rows if one.failing]
    parts.append(
        f"{len(rows)} rows: {counts}." + (f" {len(failing)} of them are known to fail, and say so." if failing else "")
    )
    for kind, (title, words) in KINDS.items():
        parts.append(f"\n## {title}\n{words}")
        parts += _tables([one for one in rows if one.row.kind == kind])
        parts += [FUZZ.rstrip()] if kind == "input" else []
    return "\n".join(parts) + "\n"


def main() -> None:
    """Write the page, or say whether it is as the rows are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/reliability.md")
    wanted = parser.parse_args()
    text = page(collect())
    if wanted.write:
        PAGE.write_text(text, encoding="utf-8")
        print(f"Written: {PAGE.relative_to(REPOSITORY)}")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/reliability.md is not as the tests are: python tests/faults/table.py --write")


class _Collected:
    def __init__(self) -> None:
        self.rows: list[Known] = []

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in sorted(items, key=lambda one: one.nodeid.split("[")[0].split("::")[0]):
            mark = item.get_closest_marker("fault")
            fails = item.get_closest_marker("xfail")
            if mark is not None:
                self.rows.append(Known(mark.args[0], fails.kwargs.get("reason", "known to fail") if fails else ""))


def _tables(rows: list[Known]) -> Iterator[str]:
    """A table for each verb, those of volseg first."""
    groups: dict[str, list[Known]] = {}
    for one in rows:
        groups.setdefault(_verb(one.row.command), []).append(one)
    for verb, members in sorted(groups.items(), key=lambda group: (not group[0].startswith("volseg"), group[0])):
        yield f"\n### {verb} ({len(members)})\n{COLUMNS}"
        yield from map(_line, members)


def _verb(command: str) -> str:
    found = VERB.search(command)
    return f"volseg {found[1]}" if found[1] else f"python -m monai.bundle run{found[2] or ''}"


def _line(one: Known) -> str:
    """A row; the command without its verb, or as a whole where it is started in another way."""
    row = one.row
    arguments = row.command.removeprefix(_verb(row.command)).strip()
    outcome = f"**Not yet** ({one.failing}): {row.outcome}" if one.failing else row.outcome
    cells = (row.what, _code(arguments), outcome, _code(row.message), str(row.exit_code))
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    main()
