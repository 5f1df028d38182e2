"""One bar over all epochs of a grid, with what runs now and the remaining time."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from pipeline.experiment.grid import Run
from pipeline.experiment.remaining import Remaining
from pipeline.experiment.state import POLL, State, epochs_done

OUTPUT = "output.log"
FORM = "{l_bar}{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}{postfix}]"  # tqdm's own rate takes all epochs for equal


@dataclass(frozen=True)
class Outcome:
    """What became of one run: its state, and the reason where it failed."""

    run: Run
    state: State
    error: str = ""


def watch(name: str, runs: Sequence[Run], out: Path, futures: dict[Future, Run], *, processes: int) -> None:
    """Show the bar until every run has ended; an evaluation counts as one epoch.

    Args:
        name: before the bar.
        runs: all of a grid's, those that were finished before included.
        out: folder of the grid.
        futures: of the runs at work or waiting, giving an `Outcome`.
        processes: runs at the same time.
    """
    total = {run.name: run.epochs + 1 for run in runs}
    waiting = {run.name for run in futures.values()}
    remaining = Remaining(runs, out, processes=processes)

    def left() -> dict[str, int]:
        going = waiting - {run.name for future, run in futures.items() if future.done()}
        return {name: max(1, total[name] - epochs_done(out / name)) if name in going else 0 for name in total}

    def done() -> int:
        return sum(total.values()) - sum(left().values())

    with tqdm(total=sum(total.values()), initial=done(), desc=name, bar_format=FORM, disable=not runs) as bar:
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED)
            for future in finished:
                _say(bar, future.result(), out)
            words = [remaining(left()), *_at_work(pending, futures, out, total)]
            bar.set_postfix_str(", ".join(filter(None, words)), refresh=False)
            bar.update(done() - bar.n)


def _say(bar: tqdm, outcome: Outcome, out: Path) -> None:
    told = f"{outcome.run.name}: {outcome.state}" + (f": {outcome.error}" if outcome.error else "")
    if outcome.state is State.FAILED:
        told += f"; its output: {out / outcome.run.name / OUTPUT}"
    bar.write(told, file=sys.stderr)


def _at_work(pending: set[Future], futures: dict[Future, Run], out: Path, total: dict[str, int]) -> Iterator[str]:
    for future in pending:
        if future.running():
            name = futures[future].name
            yield f"{name} {epochs_done(out / name)}/{total[name] - 1}"
