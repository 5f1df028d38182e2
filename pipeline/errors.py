"""What is wrong with the user's input, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass


def printable(text: str) -> str:
    """The text in one line that a terminal shows and does not obey.

    What cannot be printed stands there as Python writes it ("\\n", "\\x1b", "\\u202e"): line breaks, escapes, signs
    without a shape, and what in a file's name is no text.
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


@dataclass(frozen=True)
class Problem:
    """One fault of one input.

    Args:
        file: the file, folder or setting at fault.
        expected: what should have been there ("a folder with patientNNN/Info.cfg").
        found: what is there instead ("an empty folder").
        remedy: what the user can do, as a full sentence without its full stop.
    """

    file: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return printable(f"{self.file}: expected {self.expected}, found {self.found}. {self.remedy}.")

    def to_dict(self) -> dict[str, str]:
        """The four fields by name, for JSON."""
        return asdict(self)


class DataError(Exception):
    """Bad input: every problem that was found, one line each. The command line turns it into exit code 2.

    Args:
        problems: one problem or several; at least one.
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = [problems] if isinstance(problems, Problem) else list(problems)
        if not self.problems:
            raise ValueError("a DataError needs at least one problem")
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[DataError], tuple[list[Problem]]]:
        return type(self), (self.problems,)  # the default would rebuild it from the joined text
