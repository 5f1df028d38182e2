"""`python -m pipeline VERB` and the console script `volseg VERB`."""

from __future__ import annotations

import sys

from pipeline.errors import DataError


def main() -> None:
    """Run the command line: 0 good, 1 failed work, 2 bad input (one line for each problem, no traceback)."""
    from pipeline.cli import app

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Unicode loses a sign, not the result
    try:
        app()
    except DataError as error:
        print(f"volseg: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
