"""How a bundle's command ends before its end: one line that says why and what to do next, and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import errno
import logging
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any, NoReturn

from pipeline.errors import DataError, Problem

MEMORY_KEYS = ("batch_size", "crops_per_case", "patch_size", "sw_batch_size", "cache_rate", "num_workers")
NO_MEMORY = (
    *("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed", "bad_alloc"),
    "can't start new thread",
)
NO_ANSWER = (
    *("connection closed by peer", "connection reset by peer", "remote process exited", "timed out waiting"),
    *("broken pipe", "collective operation timeout", "socket timeout"),
)
# what PyTorch says of a convolution, and of what a network joins after it has halved and doubled
OTHER_CHANNELS = re.compile(r"to have (\d+) channels, but got (\d+) channels")
OTHER_SIZES = "Sizes of tensors must match except in dimension"
GRACE = 10.0  # seconds from a signal to the end at the latest; Slurm and torchrun wait for 30
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class TrainingError(RuntimeError):
    """Training cannot go on; the message names what happened, where, and what to do."""


def install(*, go_on: str = "", settings: Callable[[], Mapping[str, Any]] = dict) -> None:
    """End this process in one line where the reason is known: for a command line, not for a program that serves.

    - SIGTERM (schedulers) and SIGINT (Ctrl-C): exit code 143 and 130. What they interrupt is not finished first: a
      scheduler may give no more than seconds, and all that a resumed run needs is on disk after every epoch.
    - Bad input: code 2. A loss that is not finite, no memory, no space on the disk: code 1.
    - Everything else keeps its traceback.

    Of several processes (torchrun) the one that fails speaks, and ends without waiting for the others, which wait for
    it in turn; a signal reaches all of them, and the first one speaks.

    Args:
        go_on: what to do after an interruption, as sentences.
        settings: gives the values in force of the configuration's keys.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    logging.getLogger("ignite.engine.engine").setLevel(logging.CRITICAL)  # it repeats each exception
    owner = os.getpid()
    told = threading.Lock()

    def tell(number: int) -> None:
        if rank() == 0 and told.acquire(blocking=False):
            line = f"\nvolseg: stopped by {signal.Signals(number).name}. {go_on}".rstrip() + "\n"
            os.write(2, line.encode(errors="backslashreplace"))  # the stream itself may be in the middle of a write

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        code = 128 + number
        if os.getpid() != owner:  # a process that loads data, forked from this one
            os._exit(code)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # schedulers and torchrun both send it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        tell(number)
        leave(code)

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if _several():
            sys.stderr = sys.__stderr__  # torch.distributed collects what a hook says, to print it afterwards
        found = explain(error, settings=settings, go_on=go_on)
        if found is None:
            sys.__excepthook__(kind, error, trace)
            leave(1)
        code, text = found
        print(f"\nvolseg: {text}", file=sys.stderr)  # below a progress bar
        leave(code)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.excepthook = hook
    _watch(tell)
    if _several():
        atexit.register(leave, 0)  # last of all; what libraries do after that has aborted processes that were done


def _watch(tell: Callable[[int], None]) -> None:
    """Stop also a process that waits inside a library, for another process say, where no handler of Python's runs."""
    if os.name != "posix":
        return
    heard, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)

    def listen() -> None:
        while True:
            number = os.read(heard, 1)[0]
            if number in (signal.SIGTERM, signal.SIGINT):
                time.sleep(GRACE)
                tell(number)
                os._exit(128 + number)

    threading.Thread(target=listen, name="signals", daemon=True).start()


def explain(
    error: BaseException, *, settings: Callable[[], Mapping[str, Any]] = dict, go_on: str = ""
) -> tuple[int, str] | None:
    """Exit code and line for an error, or for one that it was raised from; None where none of them is known.

    Args:
        error: what ended a command; MONAI wraps it several times.
        settings, go_on: as `install` takes them.
    """
    for one in chain(error):
        text = _text(one)
        if isinstance(one, DataError):
            return 2, text
        if isinstance(one, TrainingError):
            return 1, text
        if isinstance(one, OSError) and one.errno in NO_SPACE:
            where = one.filename or "a file of the run"
            told = f"{where}: cannot be written ({os.strerror(one.errno)}). Make room on the disk. {go_on}"
            return 1, told.rstrip()
        low = text.lower()
        if isinstance(one, MemoryError) or _is_any(low, NO_MEMORY):
            keys = _present(settings())
            return 1, f"out of memory ({_shortened(text) or type(one).__name__}). {keys}"
        if _loader_ended(one, low):
            keys = _present(settings())
            return 1, f"a process that loads data was ended from outside, most likely for lack of memory. {keys}"
        if isinstance(one, RuntimeError) and (misfit := _misfit(text, settings)):
            return 2, misfit
        if _several() and _is_any(low, NO_ANSWER):
            why = text.strip().splitlines()[0][-160:]
            return 1, f"another process of this training has ended or no longer answers ({why}); its message says why"
    return None


def _misfit(text: str, settings: Callable[[], Mapping[str, Any]]) -> str:
    """What to do about images or windows that the network was not made for; "" of any other error."""
    if found := OTHER_CHANNELS.search(text):
        now = settings().get("in_channels", "not set")
        told = f"a network that takes {found[1]} channels was given {found[2]}"
        return f"{told}. Give --in_channels as many as each image has (now {now})"
    if OTHER_SIZES in text:
        now = settings().get("patch_size", "not set")
        told = "the network cannot halve windows of this size as often as it does"
        return f"{told}. Give --patch_size multiples of 32, or of 16 and 4 in bundles/covid19 (now {now})"
    return ""


def rank() -> int:
    """The number of this process among those of torchrun; 0 where it is alone."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many processes torchrun started; 1 where this one is alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _several() -> bool:
    return processes() > 1


def leave(code: int) -> NoReturn:
    """End this process with an exit code, without waiting for the others where it is one of several (torchrun)."""
    if _several():
        with contextlib.suppress(OSError, RuntimeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # the usual way waits for messages that other processes no longer answer
    raise SystemExit(code)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on to the first."""
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _text(error: BaseException) -> str:
    """What an error says; of one that a loading process sent over, the last line of its traceback."""
    text = str(error)
    if isinstance(error, DataError) and not isinstance(error.problems[0], Problem):
        text = "".join(map(str, error.problems))  # PyTorch makes the error anew from its text
    if text.startswith("Caught ") and "DataLoader worker" in text:
        text = text.strip().rpartition(f"{type(error).__name__}: ")[2]
    return text


def _loader_ended(error: BaseException, text: str) -> bool:
    """Whether a process that loads data is gone: PyTorch says so, unless it was fetching a tensor from that process."""
    if "dataloader worker" in text and _is_any(text, ("exited unexpectedly", "killed by signal")):
        return True
    if not isinstance(error, OSError | EOFError):
        return False
    files = {os.path.basename(frame.filename) for frame in traceback.extract_tb(error.__traceback__)}
    return {"dataloader.py", "resource_sharer.py"} <= files


def _is_any(text: str, signs: tuple[str, ...]) -> bool:
    return any(sign in text for sign in signs)


def _shortened(text: str) -> str:
    """Of a long message the part that tells how much was asked for."""
    for part in text.replace("\n", ". ").split(". "):
        if _is_any(part.lower(), ("tried to allocate", "unable to allocate", "you tried")):
            return part.strip()[-160:]
    return text.strip().splitlines()[0][:160] if text.strip() else ""


def _present(settings: Mapping[str, Any]) -> str:
    known = [f"{key} (now {settings[key]})" for key in MEMORY_KEYS if key in settings]
    names = f"{', '.join(known[:-1])} or {known[-1]}" if len(known) > 1 else "".join(known)
    return f"Lower {names}, or take a smaller network" if names else "Take smaller patches or a smaller network"
