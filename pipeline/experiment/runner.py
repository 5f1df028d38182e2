"""Run a grid: each run as MONAI's own commands in processes of their own, finished ones kept, killed ones resumed."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NoReturn

from pipeline.errors import DataError, Problem
from pipeline.experiment.commands import bundle_command
from pipeline.experiment.ensemble import note_test_cases, runs_on_test_list
from pipeline.experiment.grid import Grid, Run
from pipeline.experiment.progress import OUTPUT, Outcome, watch
from pipeline.experiment.state import (
    SCORES,
    State,
    card,
    check_all,
    epoch_seconds,
    epochs_done,
    lock,
    state_of,
    write_card,
)
from pipeline.files import write_text

GRID = "grid.json"


def run_grid(
    grid: Grid,
    out: str | Path,
    *,
    processes: int = 1,
    command: Callable[[Run, str, Path], list[str]] | None = None,
) -> list[Outcome]:
    """Do what is missing of a grid, one run at a time or several, under a bar over the epochs of all runs.

    A run is finished when its scores are there, and is then left alone; a run that was stopped goes on after its last
    whole epoch. A run that fails is noted with its reason, and the others are done.

    Args:
        grid: what is to be run.
        out: folder; each run gets one of its name, beside grid.json.
        processes: runs at the same time.
        command: (run, "training" or "evaluating", folder) -> what is executed; default MONAI's bundle command.

    Returns:
        One outcome for each run, in the grid's order; then those of the test list, where the grid asks for it and
        the datalist has one.

    Raises:
        DataError: a folder holds another run, settings that are no keys, no data, or `processes` is below 1.
    """
    out = Path(out)
    if processes < 1:
        raise DataError(Problem("processes", "1 or more", str(processes), "Give the number of runs at the same time"))
    check_all(out, grid.runs)
    write_text(out / GRID, grid.to_json(), overwrite=True)
    worker = _Worker(out, command or bundle_command, _environment(processes))
    outcomes = _stage(grid.name, grid.runs, out, worker, processes)
    if grid.ensemble:
        for outcome in outcomes:
            if outcome.state is State.FINISHED:
                note_test_cases(outcome.run, out / outcome.run.name)
    ready = {outcome.run.name for outcome in outcomes if outcome.state is State.FINISHED}
    tests = [run for run in runs_on_test_list(grid, out) if _trained(run) <= ready]
    return outcomes + _stage(f"{grid.name}: test list", tests, out, worker, processes)


def _trained(run: Run) -> set[str]:
    """The runs whose weights an evaluation needs: RUN/models/WEIGHTS."""
    return {Path(path).parts[-3] for path in run.evaluate["members"]}


def _stage(name: str, runs: Sequence[Run], out: Path, worker: _Worker, processes: int) -> list[Outcome]:
    """Run what is not finished, several at a time; the outcome of every run."""
    waiting = [run for run in runs if state_of(out / run.name) is not State.FINISHED]
    with _stopped_by_sigterm(), ThreadPoolExecutor(processes) as pool:
        futures = {pool.submit(worker, run): run for run in waiting}
        try:
            watch(name, runs, out, futures, processes=processes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            worker.stop()
            raise
    results = {run.name: future.result() for future, run in futures.items()}
    return [results.get(run.name, Outcome(run, State.FINISHED)) for run in runs]


class _Worker:
    """Training, then evaluation of one run; what is done already is skipped."""

    def __init__(self, out: Path, command: Callable[[Run, str, Path], list[str]], environment: dict[str, str]) -> None:
        self.out = out
        self.command = command
        self.environment = environment
        self.stopped = threading.Event()
        self.children: set[subprocess.Popen] = set()

    def stop(self) -> None:
        """End the commands that are running; their runs can be resumed."""
        self.stopped.set()
        for child in list(self.children):
            child.terminate()

    def __call__(self, run: Run) -> Outcome:
        folder = self.out / run.name
        try:
            with lock(folder, self.stopped) as held:
                return self._finish(run, folder, held)
        except OSError as error:  # a folder that cannot be written costs this run, not the others
            return Outcome(run, State.FAILED, str(error))

    def _finish(self, run: Run, folder: Path, held: IO[str] | None) -> Outcome:
        """Do what is missing and note it in the folder's card; nothing where the grid was stopped before."""
        if held is None or state_of(folder) is State.FINISHED:
            return Outcome(run, state_of(folder))
        write_card(folder, run, error="")
        error, spent = self._commands(run, folder, held)
        measured = card(folder).get("training_seconds", 0) + spent.get("training", 0)
        training = sum(epoch_seconds(folder)) or measured  # the log knows of parts that were killed, too
        seconds = round(training + spent.get("evaluating", 0), 1)
        write_card(folder, run, error=error, seconds=seconds, training_seconds=round(measured, 1))
        return Outcome(run, state_of(folder), error)

    def _commands(self, run: Run, folder: Path, held: IO[str]) -> tuple[str, dict[str, float]]:
        """Run what is missing; the reason where it failed, and the seconds of each command."""
        spent: dict[str, float] = {}
        for what in _missing(run, folder):
            if what == "evaluating":
                (folder / SCORES).unlink(missing_ok=True)  # of an evaluation that failed after them
            started = time.perf_counter()
            code = self._execute(self.command(run, what, folder), folder, held)
            spent[what] = time.perf_counter() - started
            if self.stopped.is_set():
                return "", spent
            if code:
                return f"{what}: {_last_words(folder)} (exit code {code})", spent
        return "" if state_of(folder) is State.FINISHED else "the commands left no scores", spent

    def _execute(self, words: list[str], folder: Path, held: IO[str]) -> int:
        with (folder / OUTPUT).open("a", encoding="utf-8") as output:
            output.write(f"$ {shlex.join(words)}\n")
            output.flush()
            child = subprocess.Popen(
                words,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self.environment,
                pass_fds=(held.fileno(),) if os.name == "posix" else (),
            )
            self.children.add(child)
            if self.stopped.is_set():
                child.terminate()
            try:
                return child.wait()
            finally:
                self.children.discard(child)


def _missing(run: Run, folder: Path) -> list[str]:
    if not run.trains:
        return ["evaluating"]
    trained = (folder / "models" / "model_final.pt").is_file() and epochs_done(folder) >= run.epochs
    return ["evaluating"] if trained else ["training", "evaluating"]


def _last_words(folder: Path) -> str:
    """The line that says why: the program's own, or the last one."""
    text = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    lines = [line.strip() for line in text.rpartition("\n$ ")[2].splitlines() if line.strip()]
    told = [line for line in lines if line.startswith("volseg:")] or lines[-1:]
    return told[-1][:400] if told else "no output"


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the grid as Ctrl-C does, with its commands."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(*_: Any) -> NoReturn:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _environment(processes: int) -> dict[str, str]:
    """Cores shared out among runs at the same time, unless the user did so."""
    own = dict(os.environ)
    if processes > 1:
        own.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    return own
