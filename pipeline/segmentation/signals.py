"""What ends a step or a run from outside: a time limit, Ctrl-C, a scheduler's SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pipeline.segmentation.looker import TimedOutError


class Terminated(KeyboardInterrupt):
    """SIGTERM, which schedulers send before they kill."""


@contextmanager
def time_limit(seconds: float | None, step: str) -> Iterator[None]:
    """Raise TimedOutError in the main thread when its block takes longer.

    It ends Python code, waiting, and the network between two of its layers; not a library that never returns to Python.
    Outside the main thread, without SIGALRM (Windows), or with None there is no limit.
    """
    if not seconds or not _in_main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def expire(*_: Any) -> None:
        raise TimedOutError(f"{step} took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    others = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *others)  # somebody else's, for example a test's


def terminable() -> AbstractContextManager[None]:
    """Let SIGTERM end the block as Ctrl-C does, by Terminated; only in the main thread."""

    def terminate(*_: Any) -> None:
        raise Terminated

    return _handled({signal.SIGTERM: terminate})


def undisturbed() -> AbstractContextManager[None]:
    """Ignore Ctrl-C and SIGTERM for a few last lines; only in the main thread."""
    return _handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.SIG_IGN))


def exit_code(error: KeyboardInterrupt) -> int:
    """What a shell expects of a program that was interrupted: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


@contextmanager
def _handled(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    before = {n: signal.signal(n, handler) for n, handler in handlers.items()} if _in_main_thread() else {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
