"""Cases dealt out to several processes that torchrun started, each case to one of them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from pipeline import endings
from pipeline.errors import DataError, Problem
from pipeline.volumes import names_of

PATIENCE = timedelta(hours=1)  # until all processes have come
POLL = 0.2  # seconds
HEARTBEAT, SILENCE = 5.0, 120.0  # seconds between signs of life; seconds without one after which a process is given up
LAST_WORDS = 5.0  # seconds that the first process waits for the others when all are told to stop


class Group:
    """The processes of one launch, which share a counter and a few values by torchrun's store (a TCP server).

    Each takes the next case when it is free, so that long cases and slow machines balance by themselves. Nothing on
    disk says who does what: after a kill the next launch does the cases whose masks are missing.

    Without torchrun it is a group of one, which shares with nobody.

    Attributes:
        rank: this process among `size`; rank 0 speaks for all.
    """

    def __init__(self) -> None:
        self.size = endings.processes() if _is_launched() else 1
        self.rank = endings.rank() if self.size > 1 else 0
        self._store = _store() if self.size > 1 else None
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True, name="volseg-heartbeat")

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self.rank == 0

    def device(self, device: str | None) -> str | None:
        """The device asked for, or of several GPUs the one of this process."""
        if device is None and self._store is not None:
            import torch

            if torch.cuda.is_available():
                return f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
        return device

    def share(self, name: str, make: Callable[[], Any]) -> Any:
        """What `make` returns in the first process, in all of them (as JSON carries it); so with its DataError."""
        if self._store is None:
            return make()
        if not self.is_first:
            told = json.loads(self._store.get(name))
            if "problems" in told:
                raise DataError([Problem(**problem) for problem in told["problems"]])
            return told["value"]
        try:
            value = make()
        except DataError as error:
            self._store.set(name, json.dumps({"problems": [problem.to_dict() for problem in error.problems]}))
            raise
        self._store.set(name, json.dumps({"value": value}, default=str))
        return value

    def take(self, items: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """The items of this process: all of them in order, or one after the other whichever is the largest left."""
        if self._store is None:
            yield from items
            return
        self._heart.start()
        order = sorted(range(len(items)), key=lambda index: (-_bytes(items[index]), index))
        while (turn := self._store.add("turn", 1) - 1) < len(items):
            yield items[order[turn]]

    def count(self, done: int = 0) -> int:
        """Add to the number of cases that all processes have done, and return it; 0 without torchrun."""
        return self._store.add("done", done) if self._store is not None else 0

    def gather(self, value: Any, *, hurry: bool = False, wait: Callable[[], None] = lambda: None) -> list[Any]:
        """In the first process the values of all but those that fell silent; elsewhere none.

        Args:
            value: what this process has to tell (as JSON carries it).
            hurry: do not wait for those who have nothing to tell within a few seconds.
            wait: called now and then while the others are at work.
        """
        if self._store is None:
            return [value]
        if not self.is_first:
            self._store.set(f"told/{self.rank}", json.dumps(value, default=str))
            return []
        told, others = [value], _Others(self._store, range(1, self.size))
        end = time.monotonic() + LAST_WORDS
        while others.left and not (hurry and time.monotonic() > end):
            told += others.news("told")
            if others.left:
                wait()
                time.sleep(POLL)
        return told

    def agree(self, code: int) -> int:
        """The first process's exit code, in all of them: where one node fails alone, torchrun keeps the others waiting.

        Others wait for it; 1 where it never comes.
        """
        if self._store is None:
            return code
        if self.is_first:
            self._store.set("told/0", json.dumps(code))
            return code
        first = _Others(self._store, [0])
        with suppress(RuntimeError):  # the store went with the first process
            while first.left:
                for verdict in first.news("told"):
                    return int(verdict)
                time.sleep(POLL)
        return 1

    def close(self) -> None:
        """Show no more signs of life."""
        self._over.set()
        if self._heart.is_alive():
            self._heart.join(HEARTBEAT)

    def _beat(self) -> None:
        while not self._over.is_set():
            with suppress(Exception):  # the store is gone: the end is near
                self._store.add(f"beats/{self.rank}", 1)
            self._over.wait(HEARTBEAT)


class _Others:
    """Processes from which something is still to come."""

    def __init__(self, store: Any, ranks: Iterable[int]) -> None:
        self.store = store
        self.left = set(ranks)
        self._signs = dict.fromkeys(self.left, (0, time.monotonic()))  # the last sign of life, and when it came

    def news(self, key: str) -> Iterator[Any]:
        """What has come since; who has told or fallen silent is no longer waited for."""
        for rank in sorted(self.left):
            if self.store.check([f"{key}/{rank}"]):
                self.left.discard(rank)
                yield json.loads(self.store.get(f"{key}/{rank}"))
                continue
            beats, now = self.store.add(f"beats/{rank}", 0), time.monotonic()
            if beats != self._signs[rank][0]:
                self._signs[rank] = beats, now
            elif now - self._signs[rank][1] > SILENCE:  # its machine is gone; torchrun cannot tell
                self.left.discard(rank)


def let_the_first_speak() -> None:
    """Wait a little in every process of a launch but the first: all see the same error, and one telling is enough.

    torchrun ends the others as soon as the first one has ended with an error.
    """
    if _is_launched() and endings.rank() > 0:
        time.sleep(LAST_WORDS)


def _is_launched() -> bool:
    return "MASTER_ADDR" in os.environ


def _store() -> Any:
    import torch.distributed as dist

    store, _, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
    return dist.PrefixStore("volseg", store)


def _bytes(item: Mapping[str, Any]) -> int:
    files = [Path(name) for name in names_of(item["image"])]
    every = [part for file in files for part in (file.iterdir() if file.is_dir() else [file])]
    return sum(file.stat().st_size for file in every if file.exists())
