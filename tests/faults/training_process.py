"""Trainings in processes of their own, which can be killed and starved: forked from one that has imported all."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("monai.bundle", "monai.engines", "monai.handlers", "monai.transforms", "monai.networks.nets", "ignite"),
        *("pipeline.launch", "pipeline.handlers", "pipeline.checkpoints", "pipeline.metrics.ignite_metrics"),
        *("pipeline.transforms", "pipeline.losses", "pipeline.preflight", "pipeline.report.curves", "nibabel"),
        *("torch.utils.tensorboard", "matplotlib.pyplot", "pipeline.networks", "pipeline.segmentation.intake"),
        "torch._dynamo",
    ]
)
TINY = {
    "device": "$torch.device('cpu')",
    "patch_size": [48, 48, 1],
    "spacing": [3.0, 3.0, -1],
    "epochs": 3,
    "val_interval": 2,
    "network_def#network#network#filters": [4, 8, 8, 8, 8],
}
LIMIT = 180.0  # seconds


class Started:
    """A command that runs; what it printed is read when it has ended."""

    def __init__(self, words: Sequence[str], fault: tuple[str, ...], environment: Mapping[str, str]) -> None:
        handle, self.log = tempfile.mkstemp(suffix=".log")
        os.close(handle)
        self.process = CONTEXT.Process(target=_child, args=(list(words), fault, self.log, dict(environment)))
        self.process.start()

    def end(self, limit: float = LIMIT) -> tuple[int, str]:
        """Exit code (negative for a signal) and all output; after `limit` seconds it is killed."""
        self.process.join(limit)
        late = self.process.is_alive()
        if late:
            self.process.kill()
            self.process.join()
        output = Path(self.log).read_text(encoding="utf-8", errors="replace")
        os.unlink(self.log)
        assert not late, f"still running after {limit} s:\n{output}"
        return self.process.exitcode, output


def start(*files: str, run: str = "training", fault: tuple[Any, ...] = (), rank: int | None = None, **settings: Any):
    """`python -m monai.bundle run RUN` with files of bundles/acdc and a tiny network; None leaves a setting out."""
    names = [f"bundles/acdc/{name}.json" for name in files or ("train",)]
    environment = {} if rank is None else {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    if rank is not None:
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(settings.pop("port"))}
    return Started(_words(run, names, settings), fault, environment)


def train(*files: str, **settings: Any) -> tuple[int, str]:
    """`start`, and wait for the end."""
    return start(*files, **settings).end()


def words_of(run: str, files: Sequence[str], **settings: Any) -> list[str]:
    """The same as words of a command line, `run training --config_file ...`."""
    return _words(run, [f"bundles/acdc/{name}.json" for name in files], settings)


def _words(run: str, names: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    words = ["run", run, "--config_file", repr(list(names)), "--logging_file", "bundles/acdc/logging.conf"]
    for key, value in {**TINY, **settings}.items():
        if value is not None:
            words += [f"--{key}", value if isinstance(value, str) else repr(value)]
    return words


def _child(words: list[str], fault: tuple[Any, ...], log: str, environment: dict[str, str]) -> None:
    out = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ |= {"CUDA_VISIBLE_DEVICES": "", "COLUMNS": "4000", "NO_COLOR": "1", **environment}
    os.chdir(REPOSITORY)
    run(words, fault)


def run(words: list[str], fault: tuple[Any, ...]) -> None:
    """Do as the interpreter does with `-m monai.bundle WORDS`, after `fault` (a function's name and its values)."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if fault:
        FAULTS[fault[0]](*fault[1:])
    sys.argv = ["monai.bundle", *words]
    try:
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    except Exception:
        sys.excepthook(*sys.exc_info())
        raise SystemExit(1) from None


def _signal_in_epoch(number: int, epoch: int, rank: int = 0, index: int = 1) -> None:
    """Send this process a signal in the middle of an epoch."""

    def act(engine: Any) -> None:
        os.kill(os.getpid(), number)

    _in_epoch(epoch, act, rank=rank, index=index)


def _error_in_epoch(epoch: int, rank: int = 0, index: int = 1) -> None:
    """Let the loss of one process become NaN in the middle of an epoch."""

    def act(engine: Any) -> None:
        engine.state.output["loss"] = engine.state.output["loss"] * float("nan")

    _in_epoch(epoch, act, rank=rank, index=index)


def _kill_worker(epoch: int) -> None:
    """Kill a process that loads data, as the kernel does when memory is short."""

    def act(engine: Any) -> None:
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    _in_epoch(epoch, act)


def _in_epoch(epoch: int, act: Callable[[Any], None], *, rank: int = 0, index: int = 1) -> None:
    from pipeline import handlers

    usual = handlers.StopOnNonFiniteLoss.__call__

    def call(self: Any, engine: Any) -> None:
        here = (engine.state.iteration - 1) % engine.state.epoch_length == index
        if engine.state.epoch == epoch and here and int(os.environ.get("RANK", "0")) == rank:
            act(engine)
        usual(self, engine)

    handlers.StopOnNonFiniteLoss.__call__ = call


def _kill_at_write(name: str, count: int, call: str) -> None:
    """SIGKILL before the count-th `os.replace` onto a file, or `os.fsync` of its temporary one."""
    usual, counter = getattr(os, call), itertools.count(1)

    def act(first: Any, *others: Any, **options: Any) -> Any:
        target = os.readlink(f"/proc/self/fd/{first}") if call == "fsync" else str(others[0])
        wanted = f".{name}.tmp" if call == "fsync" else name
        if Path(target).name == wanted and next(counter) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(first, *others, **options)

    setattr(os, call, act)


def _torn_log(epoch: int) -> None:
    """SIGKILL in the middle of the log's line for an epoch."""
    from pipeline import handlers

    def write(self: Any, engine: Any) -> None:
        if engine.state.epoch < epoch:
            return usual(self, engine)
        with self.path.open("a", encoding="utf-8") as file:
            file.write('{"epoch": 2, "iter')
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    usual = handlers.EpochLog._write
    handlers.EpochLog._write = write


def _signal_while_loading(number: int) -> None:
    """A signal while the images are read into memory."""
    from monai.data import CacheDataset

    usual = CacheDataset.set_data

    def set_data(self: Any, data: Any) -> None:
        usual(self, data)
        os.kill(os.getpid(), number)

    CacheDataset.set_data = set_data


def _signal_in_validation(number: int) -> None:
    """A signal while the second validated case is segmented."""
    from pipeline.inferers import MirrorInferer

    usual, counter = MirrorInferer.__call__, itertools.count(1)

    def call(self: Any, *values: Any, **options: Any) -> Any:
        if next(counter) == 2:
            os.kill(os.getpid(), number)
        return usual(self, *values, **options)

    MirrorInferer.__call__ = call


def _limit(kind: str, amount: int) -> None:
    """At most so many bytes in one file (FSIZE), or of memory beyond what is taken already (AS)."""
    import resource

    if kind == "AS":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        amount += pages * resource.getpagesize()
    resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (amount, amount))


FAULTS = {
    "signal in epoch": _signal_in_epoch,
    "signal while loading": _signal_while_loading,
    "signal in validation": _signal_in_validation,
    "error in epoch": _error_in_epoch,
    "kill worker": _kill_worker,
    "kill at write": _kill_at_write,
    "torn log": _torn_log,
    "limit": _limit,
}

if __name__ == "__main__":
    run(sys.argv[2:], tuple(json.loads(sys.argv[1])))
