"""How long the command line takes before it works: `volseg --help`, and `volseg segment` beyond `import monai`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.comparison import Row, take_turns
from benchmarks.setting import ACDC, REPOSITORY, Setting

ROUNDS, QUICK_ROUNDS = 5, 1


def rows(setting: Setting) -> list[Row]:
    """Both in processes of their own, in turns with `import monai`."""
    image = setting.acdc_cases[0]["image"]
    weights = setting.acdc_weights

    def segment(_: object) -> float:
        """Seconds of the work itself, as the manifest tells them."""
        with tempfile.TemporaryDirectory(dir=setting.work) as out:
            python("-m", "pipeline", "segment", image, out, "--bundle", str(ACDC), "--weights", str(weights),
                   "--device", "cpu", "--set", "mirror_axes=[]")  # fmt: skip
            return working_seconds(Path(out) / "manifest.json")

    jobs = {
        "monai": lambda _: python("-c", "import monai"),
        "help": lambda _: python("-m", "pipeline", "--help"),
        "segment": segment,
    }
    turns = take_turns(
        jobs, range(QUICK_ROUNDS if setting.quick else ROUNDS), warm_up=not setting.quick, what="start-up"
    )
    seconds = turns.seconds
    beyond = [
        whole - work - monai
        for whole, work, monai in zip(seconds["segment"], turns.results["segment"], seconds["monai"], strict=True)
    ]
    return [
        Row("startup_help", "`volseg --help`", "", "seconds", seconds["help"], target=0.5),
        Row("startup_segment", "`volseg segment` start-up beyond `import monai`", "", "seconds", beyond, target=1.0,
            note="the whole command, less what its manifest says the image took, less `python -c 'import monai'`"),
    ]  # fmt: skip


def python(*arguments: str) -> None:
    """Run this Python in the repository; raises CalledProcessError where it fails."""
    subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, check=True, capture_output=True)


def working_seconds(manifest: Path) -> float:
    """Seconds that a manifest says were spent on its cases."""
    runs = json.loads(manifest.read_text(encoding="utf-8"))["runs"]
    return sum(sum(case["seconds"].values()) for run in runs for case in run["cases"])
