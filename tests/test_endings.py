"""How commands end early: which line and code an error gets, and what signals do to a process of its own."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader

from pipeline.endings import TrainingError, explain
from pipeline.errors import DataError, Problem

SETTINGS = {"batch_size": 4, "patch_size": [160, 160, 1], "epochs": 3}
PROBLEM = Problem("a.nii", "an image", "none", "Copy it")


def wrapped(error):
    """As MONAI's parser hands an error on."""
    try:
        try:
            raise error
        except Exception as inner:
            raise RuntimeError("Failed to evaluate '$...'") from inner
    except RuntimeError as outer:
        return outer


def told(error, **options):
    return explain(wrapped(error), settings=lambda: SETTINGS, **options)


def test_bad_input_is_code_2_and_trouble_in_training_is_code_1():
    assert told(DataError([PROBLEM, PROBLEM])) == (2, f"{PROBLEM}\n{PROBLEM}")
    assert told(TrainingError("the loss is nan")) == (1, "the loss is nan")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7.28 TiB for an array"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 10 GiB."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
    ],
)
def test_out_of_memory_names_the_keys_to_lower_with_their_values(error):
    code, text = told(error)
    assert code == 1
    assert text.startswith("out of memory (")
    assert text.endswith("Lower batch_size (now 4) or patch_size (now [160, 160, 1]), or take a smaller network")


def test_of_a_long_message_the_amount_is_kept():
    _, text = told(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 9 GiB"))
    assert "(Tried to allocate 20.00 GiB)" in text
    code, text = explain(MemoryError())
    assert (code, text) == (1, "out of memory (MemoryError). Take smaller patches or a smaller network")


def test_what_a_network_was_not_made_for_is_told_in_the_user_s_words():
    """PyTorch's own errors, raised here."""
    with pytest.raises(RuntimeError) as channels:
        torch.nn.Conv2d(20, 4, 3)(torch.zeros(1, 40, 8, 8))
    code, text = told(channels.value)
    assert code == 2
    assert text.startswith("a network that takes 20 channels was given 40. Give --in_channels")
    with pytest.raises(RuntimeError) as sizes:
        torch.cat([torch.zeros(1, 2, 13, 13), torch.zeros(1, 2, 12, 12)], dim=1)
    code, text = told(sizes.value)
    assert code == 2
    assert "cannot halve windows of this size" in text
    assert text.endswith("(now [160, 160, 1])")
    assert told(RuntimeError("something else")) is None


def test_a_full_disk_names_the_file_and_how_to_go_on():
    code, text = told(OSError(errno.ENOSPC, "No space left", "run/last.pt"), go_on="Resume it")
    assert code == 1
    assert text == "run/last.pt: cannot be written (No space left on device). Make room on the disk. Resume it"


def test_what_ends_a_loading_process_is_told():
    code, text = told(RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed. "))
    assert code == 1
    assert "lack of memory. Lower batch_size" in text


@pytest.mark.parametrize("error", [ConnectionResetError(104, "Connection reset by peer"), EOFError()])
def test_a_loading_process_that_ends_while_a_tensor_is_fetched_from_it_is_told(error, monkeypatch):
    def gone(*_):
        raise error

    monkeypatch.setattr("multiprocessing.resource_sharer._resource_sharer.get_connection", gone)
    with pytest.raises(type(error)) as caught:
        next(iter(DataLoader(torch.zeros(2, 3), num_workers=1, multiprocessing_context="fork")))
    code, text = told(caught.value)
    assert code == 1
    assert "lack of memory. Lower batch_size" in text


@pytest.mark.parametrize(
    "error", [ValueError("x"), RuntimeError("shapes differ"), OSError(errno.EPIPE, "x"), KeyError()]
)
def test_what_is_not_known_keeps_its_traceback(error):
    assert told(error) is None


def test_of_several_processes_those_that_wait_point_to_the_one_that_failed(monkeypatch):
    error = RuntimeError("[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:5")
    assert told(error) is None
    monkeypatch.setenv("WORLD_SIZE", "2")
    code, text = told(error)
    assert code == 1
    assert text.startswith("another process of this training has ended or no longer answers ([../gloo")


def test_errors_of_loading_processes_are_told_as_they_were_raised():
    from torch._utils import ExceptionWrapper

    for error, expected in ((DataError(PROBLEM), (2, str(PROBLEM))), (TrainingError("no good"), (1, "no good"))):
        try:
            raise error
        except type(error):
            sent = ExceptionWrapper(where="in DataLoader worker process 0")
        with pytest.raises(type(error)) as again:
            sent.reraise()
        assert told(again.value) == expected


SLEEPER = """
import ctypes, sys, time
from pipeline import endings
endings.GRACE = 1.0
endings.install(go_on="Give it again", settings=lambda: {"batch_size": 4})
if sys.argv[1] == "sleep":
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
elif sys.argv[1] == "library":
    print("ready", flush=True)
    library, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)  # waits for ever, whatever signals come
elif sys.argv[1] == "memory":
    raise RuntimeError("wrapped") from MemoryError("Unable to allocate 9 TiB")
else:
    raise KeyError("unknown")
"""


def start(what, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", SLEEPER, what],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "SIGINT")])
def test_a_signal_ends_in_one_line_after_cleaning_up(number, code, name):
    child = start("sleep")
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err.strip()) == (code, "cleaned up\n", f"volseg: stopped by {name}. Give it again")


def test_a_signal_also_ends_what_waits_inside_a_library():
    child = start("library")
    child.stdout.readline()
    time.sleep(0.5)
    child.terminate()
    _, err = child.communicate(timeout=30)
    assert (child.returncode, err.strip()) == (143, "volseg: stopped by SIGTERM. Give it again")


def test_of_several_processes_the_first_one_speaks_and_none_waits():
    children = [start("sleep", RANK=str(rank), WORLD_SIZE="2") for rank in range(2)]
    for child in children:
        child.stdout.readline()
        child.terminate()
    ended = [child.communicate(timeout=30) for child in children]
    assert [child.returncode for child in children] == [143, 143]
    assert [err.strip() for _, err in ended] == ["volseg: stopped by SIGTERM. Give it again", ""]
    failed = start("memory", RANK="1", WORLD_SIZE="2")
    _, err = failed.communicate(timeout=30)
    assert failed.returncode == 1
    assert "out of memory" in err, "whoever fails says so"


def test_known_errors_are_a_line_and_others_a_traceback():
    started = time.monotonic()
    known, unknown = start("memory"), start("other")
    _, err = known.communicate(timeout=60)
    assert known.returncode == 1
    assert "Traceback" not in err
    assert err.strip().startswith("volseg: out of memory (Unable to allocate 9 TiB). Lower batch_size (now 4)")
    _, err = unknown.communicate(timeout=60)
    assert unknown.returncode == 1
    assert err.strip().endswith("KeyError: 'unknown'")
    assert "Traceback" in err
    assert time.monotonic() - started < 60


def test_one_of_several_that_is_done_lets_its_libraries_close_and_leaves():
    """Registered first, it comes last; threads that would abort the interpreter are not waited for."""
    program = (
        "import atexit, os\nfrom pipeline import endings\nendings.install()\n"
        "class Aborts:\n    def __del__(self, abort=os.abort): abort()\nkept = Aborts()\n"
        "atexit.register(print, 'closed')\n"
    )
    environment = {**os.environ, "WORLD_SIZE": "2", "RANK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", env=environment, check=False
    )
    assert (done.returncode, done.stdout) == (0, "closed\n")
