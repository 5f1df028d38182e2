"""Waiting threads give their core away: told to OpenMP before PyTorch is loaded, and left to the user."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, sys
import pipeline.__main__ as program
assert "torch" not in sys.modules, "it reads the setting when it is loaded"
sys.argv = ["volseg", "--version"]
try:
    program.main()
except SystemExit:
    print(os.environ["GOMP_SPINCOUNT"])
"""


@pytest.mark.parametrize(("given", "expected"), [({}, "2000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_it_is_set_in_time_and_only_where_it_is_not(given, expected):
    environment = {key: value for key, value in os.environ.items() if key != "GOMP_SPINCOUNT"} | given
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == expected
