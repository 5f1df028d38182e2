"""`python -m pipeline VERB` and the console script `volseg VERB`."""

from __future__ import annotations

import sys
from typing import NoReturn

from pipeline.endings import NO_SPACE
from pipeline.errors import DataError, Problem
from pipeline.threads import wait_briefly


def main() -> None:
    """Run the command line: 0 good, 1 failed work, 2 bad input (one line for each problem, no traceback).

    A file or a folder that the system refuses (no right, a file where a folder should be) is bad input, too; a full
    disk is failed work.
    """
    wait_briefly()
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
        problem = Problem(str(error.filename), "a file or folder that can be read and written", found, remedy)
        _refuse(problem, code=1 if error.errno in NO_SPACE else 2)


def _refuse(problem: DataError | Problem, *, code: int = 2) -> NoReturn:
    print(f"volseg: {problem}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
