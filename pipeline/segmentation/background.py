"""One thread that reads and writes while the main thread computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Background:
    """Jobs done one after the other in a thread that ends with the program.

    Unlike the standard library's executors it can be replaced while a job hangs, and no hanging job keeps the program
    from ending.

    Args:
        enabled: with False each job is done where and when it is handed in.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self.enabled = enabled
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], Any]) -> Future[Any]:
        """Hand in a job; its result or error comes by the future."""
        future: Future[Any] = Future()
        if not self.enabled:
            _do(future, job)
            return future
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="volseg-files")
            self._thread.start()
        self._jobs.put((future, job))
        return future

    def abandon(self) -> None:
        """Leave a job that hangs to its thread; what was handed in after it goes to a new one."""
        if self._thread is not None:
            self._thread = threading.Thread(target=self._work, daemon=True, name="volseg-files")
            self._thread.start()

    def close(self, seconds: float) -> None:
        """Take back what is not begun and wait until the job at hand is done, for so long at most.

        Python must not end while a thread is within torch: that aborts the program.
        """
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                job[0].cancel()
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(seconds)
            self._thread = None

    def _work(self) -> None:
        me = threading.current_thread()
        while self._thread is me and (job := self._jobs.get()) is not None:
            _do(*job)


def _do(future: Future[Any], job: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(job())
        except Exception as error:
            future.set_exception(error)
