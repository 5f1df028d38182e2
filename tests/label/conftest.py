"""A real MONAI Label server; these tests run by `make label-test`, which names its Python, and not by `make test`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # server.py

collect_ignore_glob = [] if os.environ.get("VOLSEG_LABEL_PYTHON") else ["test_*.py"]
