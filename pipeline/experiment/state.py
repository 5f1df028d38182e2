"""What has become of a run, told by the files of its folder alone."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from pipeline.errors import DataError, Problem
from pipeline.experiment.commands import check_settings
from pipeline.experiment.grid import Run
from pipeline.files import read_json, write_text

CARD = "run.json"
LOCK = ".lock"
SCORES = "evaluation/scores.json"
POLL = 1.0  # seconds between two looks at files


class State(StrEnum):
    """Where a run stands."""

    WAITING = "waiting"
    STARTED = "started"
    TRAINED = "trained"
    FINISHED = "finished"
    FAILED = "failed"


def state_of(folder: Path) -> State:
    """The state by the files: scores, final weights, a log; a failure stays until the run is started again."""
    if card(folder).get("error"):
        return State.FAILED
    if (folder / SCORES).is_file():
        return State.FINISHED
    if (folder / "models" / "model_final.pt").is_file():
        return State.TRAINED
    return State.STARTED if (folder / "log.jsonl").is_file() else State.WAITING


def card(folder: Path) -> dict[str, Any]:
    """What run.json says; empty where there is none."""
    path = folder / CARD
    return read_json(path) if path.is_file() else {}


def write_card(folder: Path, run: Run, **facts: Any) -> None:
    """Note the run with its settings, resolved, and facts such as seconds and error; facts that are there stay."""
    known = {key: value for key, value in card(folder).items() if key not in facts}
    content = known | asdict(run) | {"resolved": run.resolved()} | facts
    write_text(folder / CARD, json.dumps(content, indent=1, ensure_ascii=False) + "\n", overwrite=True)


def epochs_done(folder: Path) -> int:
    """The last epoch that the log tells; 0 without a log."""
    return int(next(_logged(folder, "epoch"), 0))


def epoch_seconds(folder: Path) -> Iterator[float]:
    """The seconds of each epoch that the log tells, validation included, the latest first; none without a log."""
    return _logged(folder, "seconds")


def _logged(folder: Path, key: str) -> Iterator[float]:
    """The numbers of one name in the log's lines, the latest first; a line that is cut off or has none is left out."""
    try:
        lines = (folder / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            yield float(json.loads(line)[key])


def check_same(folder: Path, run: Run) -> list[Problem]:
    """What differs between the run that lies in a folder and the one that is wanted there."""
    there = card(folder)
    wanted = json.loads(json.dumps(asdict(run)))
    changed = [key for key in ("bundle", "overlays", "settings", "evaluate") if there and there.get(key) != wanted[key]]
    if not changed:
        return []
    found = "; ".join(_difference(there.get(key), wanted[key]) for key in changed)
    remedy = "Give another output folder, or remove this one"
    return [Problem(str(folder), "a run with these settings", f"one with others ({found})", remedy)]


@contextlib.contextmanager
def lock(folder: Path, stop: threading.Event) -> Iterator[IO[str] | None]:
    """Hold the folder for this process and the children that inherit the file; None where `stop` came first.

    A training whose starter was killed keeps the lock until it ends, so that no second one writes beside it: whoever
    comes next waits for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as file:
        while not _locked(file):
            if stop.wait(POLL):
                yield None
                return
        yield file


def _locked(file: IO[str]) -> bool:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # not a POSIX system: children inherit no lock
        return True
    except OSError:
        return False
    return True


def check_all(out: Path, runs: tuple[Run, ...]) -> None:
    """Raise one DataError that names every folder that holds another run, settings that are no keys, and data folders
    that are not there."""
    problems = [problem for run in runs for problem in check_same(out / run.name, run)]
    missing = [run for run in runs if state_of(out / run.name) is not State.FINISHED]
    problems += check_settings(missing) + check_data(missing)
    if problems:
        raise DataError(problems)


def check_data(runs: list[Run]) -> list[Problem]:
    """The data folders of runs that are not there."""
    homes = dict.fromkeys(str(home) for run in runs if (home := run.resolved().get("dataset_dir")) is not None)
    plain = [home for home in homes if not home.startswith(("$", "@", "%"))]
    remedy = "Name the folder: --data NAME=FOLDER, or dataset_dir in the grid file; --quick does with phantoms"
    return [Problem(home, "a folder of data", "none", remedy) for home in plain if not Path(home).is_dir()]


def _difference(there: Any, wanted: Any) -> str:
    if not (isinstance(there, dict) and isinstance(wanted, dict)):
        return f"{there} instead of {wanted}"
    keys = [key for key in {**there, **wanted} if there.get(key) != wanted.get(key)]
    return ", ".join(f"{key} {there.get(key)} instead of {wanted.get(key)}" for key in keys)
