"""Files looked at in a process of their own: one that hangs or crashes its reader costs a case, not the run."""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection, Pipe
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.segmentation.look import Look, look
from pipeline.volumes import first_name

_idle: list[Looker] = []  # one process serves the calls of a program one after the other


class TimedOutError(Exception):
    """A step of a case took longer than it may."""


class Looker:
    """A process that looks at one case at a time, by `pipeline.segmentation.look`.

    It is started anew after it had to be killed, and ends when this process does, in whatever way (one that hangs at
    that moment as soon as what it reads answers).
    """

    def __init__(self) -> None:
        self.busy = False  # whether an answer is due
        self._process: subprocess.Popen[bytes] | None = None
        self._line: Connection
        self.start()

    def start(self) -> None:
        """Start the process, if it does not run."""
        if self._process is None or self._process.poll() is not None:
            self._line, theirs = Pipe()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # libraries print where they like, also beside their error
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                start_new_session=True,  # Ctrl-C is for this process alone
            )
            theirs.close()

    def __call__(self, image: str | list[str], *, timeout: float | None = None, **options: Any) -> Look:
        """Look at one case; see `pipeline.segmentation.look.look` for the options and errors.

        Raises:
            TimedOutError: it took longer than `timeout` seconds.
            DataError: also for a file that ended the process.
        """
        if self.busy:  # the caller gave up on it
            self.close()
        self.start()
        self.busy = True
        with contextlib.suppress(OSError):  # it has just ended: there will be no answer
            self._line.send((os.getcwd(), {"image": image, **options}))  # the caller may have changed its folder since
        answer = self._answer(timeout)
        self.busy = False
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            found = f"one that ended the process which read it (code {self._process.wait()})"
            file = str(first_name(image))
            raise DataError(Problem(file, "a readable image", found, "Convert the file again, or leave it out"))
        return answer

    def close(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._line.close()
            self._process = None
        self.busy = False

    def _answer(self, timeout: float | None) -> Look | Exception | None:
        """What the process sent; None where it ended instead."""
        try:
            if self._line.poll(timeout):
                return self._line.recv()
        except (EOFError, OSError):
            return None
        self.close()
        raise TimedOutError(f"reading it took longer than {timeout:g} s")


def borrow() -> Looker:
    """A running looker that nobody else uses; give it back with `give_back`."""
    looker = _idle.pop() if _idle else Looker()
    looker.start()
    return looker


def give_back(looker: Looker) -> None:
    """Keep a looker for the next call, or end it where it is still at work."""
    if _idle or looker.busy:
        looker.close()
    else:
        _idle.append(looker)


def serve(number: int) -> None:
    """Answer each request that comes through the connection of this file descriptor, until it is closed."""
    line = Connection(number)
    with contextlib.suppress(EOFError, OSError):
        while True:
            line.send(_reply(*line.recv()))


def _reply(folder: str, request: dict[str, Any]) -> Look | Exception:
    start = time.perf_counter()
    try:
        os.chdir(folder)
        return replace(look(**request), seconds=time.perf_counter() - start)
    except DataError as error:
        return error
    except Exception as error:  # any library's, which may not be one that can be sent
        return RuntimeError(f"{type(error).__name__}: {str(error)[:240]}")


@atexit.register
def _close_all() -> None:
    while _idle:
        _idle.pop().close()
