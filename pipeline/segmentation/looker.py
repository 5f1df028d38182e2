"""Files looked at in a process of their own: one that hangs or crashes its reader costs a case, not the run."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.segmentation.look import Look, from_reply, look, to_reply

_idle: list[Looker] = []  # one process serves the calls of a program one after the other


class TimedOutError(Exception):
    """A step of a case took longer than it may."""


class Looker:
    """A process that looks at one case at a time, by `pipeline.segmentation.look`.

    It is started anew after it had to be killed, and ends when this process does, in whatever way (one that hangs at
    that moment as soon as what it reads answers).
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.busy = False  # whether an answer is due
        self.start()

    def start(self) -> None:
        """Start the process, if it does not run."""
        if self._process is None or self._process.poll() is not None:
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what libraries say beside their error
                env=environment,
                start_new_session=True,  # Ctrl-C is for this process alone
            )

    def __call__(self, image: str | list[str], *, timeout: float | None = None, **options: Any) -> Look:
        """Look at one case; see `pipeline.segmentation.look.look` for the options and errors.

        Raises:
            TimedOutError: it took longer than `timeout` seconds.
            DataError: also for a file that ended the process.
        """
        if self.busy:  # the caller gave up on it
            self.close()
        self.start()
        assert self._process is not None
        self.busy = True
        request = {"folder": os.getcwd(), "image": image, **options}  # the caller may have changed its folder since
        with contextlib.suppress(BrokenPipeError):  # it has just ended: there will be no answer
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        line = self._answer(timeout)
        self.busy = False
        if line.endswith(b"\n"):
            return from_reply(json.loads(line))
        found = f"one that ended the process which read it (code {self._process.wait()})"
        file = str(image if isinstance(image, str) else image[0])
        raise DataError(Problem(file, "a readable image", found, "Convert the file again, or leave it out"))

    def close(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(BrokenPipeError):  # a request that it did not take
                    stream.close()
            self._process = None
        self.busy = False

    def _answer(self, timeout: float | None) -> bytes:
        end = None if timeout is None else time.monotonic() + timeout
        answer = b""
        while not answer.endswith(b"\n"):
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                self.close()
                raise TimedOutError(f"reading it took longer than {timeout:g} s")
            block = os.read(self._process.stdout.fileno(), 2**16)
            if not block:
                break
            answer += block
        return answer


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


def serve() -> None:
    """One request a line on stdin, one reply a line on stdout, until stdin ends."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print where they like
    for line in sys.stdin.buffer:
        start = time.perf_counter()
        request = json.loads(line)
        try:
            os.chdir(request.pop("folder"))
            reply = to_reply(look(**request))
            reply["seconds"] = time.perf_counter() - start
        except Exception as error:  # any library's
            reply = to_reply(error)
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


@atexit.register
def _close_all() -> None:
    while _idle:
        _idle.pop().close()
