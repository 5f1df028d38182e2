"""`python -m pipeline VERB` and the console script `volseg VERB`."""

from __future__ import annotations

import sys
from typing import NoReturn

from pipeline.errors import DataError, Problem


def main() -> None:
    """Run the command line: 0 good, 1 failed work, 2 bad input (one line for each problem, no traceback).

    A file or a folder that the system refuses (no right, no room, a file where a folder should be) is bad input, too.
    """
    from pipeline.cli import app

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Unicode loses a sign, not the result
    try:
        app()
    except DataError as error:
        _refuse(error)
    except OSError as error:
        if error.filename is None:
            raise
        found = f"one that is not ({error.strerror})"
        remedy = "Choose another, or make room on its disk"
        _refuse(Problem(str(error.filename), "a file or folder that can be read and written", found, remedy))


def _refuse(problem: DataError | Problem) -> NoReturn:
    print(f"volseg: {problem}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
