"""What is checked when a bundle is started: the overrides, the data, and the folder that the run will write to."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from pipeline import allocation, endings
from pipeline.errors import DataError, Problem
from pipeline.overrides import FALSE, TRUE, check_overrides, settings

logger = logging.getLogger("pipeline")
PATIENCE = 10.0  # seconds


def on_command_line() -> bool:
    """Whether this process is `python -m monai.bundle` (torchrun included), whose exits cannot end a server."""
    return Path(sys.argv[0]).parts[-3:] == ("monai", "bundle", "__main__.py")


def attempt(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a function returns; where it refuses the user's input, the command line ends with its lines and code 2.

    For expressions of a configuration that look at the data before `check` does.

    Raises:
        SystemExit: on the command line, code 2, after one line for each problem.
        DataError: anywhere else.
    """
    try:
        return function(*arguments, **options)
    except DataError as error:
        _give_up(error)


def check(
    *,
    dataset_dir: str | None = None,
    datalist: str | None = None,
    section: str = "training",
    fold: int | str | None = None,
    ckpt_dir: str | None = None,
    resume: Any = False,
    weights: str | list[str] | None = None,
    scores_dir: str | None = None,
    overwrite: Any = False,
    preflight: str = "off",
    labels: Mapping[str, Any] | None = None,
    softmax: bool = False,
) -> None:
    """First expression of every bundle's `initialize`: refuse what would fail later, or worse, pass silently.

    Overrides on the command line must name keys of the configuration, and everything that is given here must hold. On
    the command line it also sees to it that the process ends in one line (`pipeline.endings`) and keeps the memory that
    it frees (`pipeline.allocation`).

    Args:
        dataset_dir: must hold images; with a datalist, the files that it lists.
        datalist, section, fold: where a fold is given, both of its sides must have cases; of fold "all" it is told that
            its validation looks at cases that are trained on.
        ckpt_dir, resume: a folder that holds a run is not trained into again, unless it is resumed.
        weights: a file that must be there, or several (an ensemble).
        scores_dir, overwrite: a folder that holds scores is not written to again without `overwrite`; what is scored
            must have labels.
        preflight: how closely the files of a datalist's section are looked at: "fast" (headers), "full" (every voxel)
            or "off" (whether they are there). Of several processes the first one looks.
        labels: what the labels must hold: structures that the list tells, by their names.
        softmax: of the labels, whether each voxel has one: they are numbered 1, 2, ... then.

    Raises:
        SystemExit: on the command line, code 2, after one line for each problem, or a table of all that is wrong with
            the files.
        DataError: anywhere else.
    """
    problems: list[Problem] = []
    with _gathered(problems):
        if on_command_line():
            check_overrides(sys.argv[1:])
    with _gathered(problems):
        if isinstance(labels, Mapping) and softmax:
            check_exclusive(labels)
    with _gathered(problems):
        if ckpt_dir is not None:
            check_run_folder(ckpt_dir, resume)
    with _gathered(problems):
        if weights is not None:
            check_weights(weights)
    with _gathered(problems):
        if scores_dir is not None and (Path(scores_dir) / "scores.csv").exists() and not boolean(overwrite):
            remedy = "Give --overwrite true, or another --evaluation_dir"
            raise DataError(Problem(scores_dir, "a folder without scores", "scores.csv", remedy))
    if problems:
        _give_up(DataError(problems))
    if on_command_line():
        endings.install(go_on=_how_to_go_on(ckpt_dir, scores_dir), settings=lambda: settings(sys.argv[1:]))
        allocation.keep_freed_memory()
    if dataset_dir is not None:
        level = preflight if endings.rank() == 0 and datalist is not None else "off"
        with _gathered(problems):
            check_data(dataset_dir, datalist, section, fold, labels, labelled=scores_dir is not None)
        if level != "off" and Path(dataset_dir).is_dir():
            check_files(dataset_dir, datalist, section, level, labels)
    if problems:
        _give_up(DataError(problems))


def check_files(
    dataset_dir: str, datalist: str, section: str, level: str, labels: Mapping[str, Any] | None = None
) -> None:
    """Look at all files of a section (`pipeline.preflight`); the log has the first warning of each kind.

    Raises:
        SystemExit: on the command line, code 2, after a table of all problems on stderr.
        DataError: anywhere else, of all problems; or a level that is none.
    """
    from pipeline import preflight
    from pipeline.datalists import load_datalist

    try:
        listed = load_datalist(datalist).get("labels") or {}
        labels = None if set(labels or ()) <= set(listed) else labels  # of the same structures the list's numbers count
        result = preflight.look(datalist, level=level, dataset_dir=dataset_dir, section=section, labels=labels)
        if not result.cases:  # what is wrong with the list itself, `check_data` tells
            return
        if result.problems and on_command_line():
            from pipeline.preflight.table import print_result, terminal

            print_result(result, terminal(stderr=True))
            count, first = len(result.problems), result.problems[0].problem
            told = str(first) if count == 1 else f"{count} problems, the first: {first}"
            remedy = "leave the cases out (volseg check LIST --quarantine GOOD.json) or give --preflight off"
            print(f"volseg: {told} Mend the files, {remedy}", file=sys.stderr)
            endings.leave(2)
        result.raise_problems()
    except DataError as error:
        _give_up(error)


def check_run_folder(ckpt_dir: str, resume: Any = False) -> None:
    """Refuse to train into a folder that already holds a run, unless it is to be resumed, and where nothing can be
    written; raises DataError."""
    folder = Path(ckpt_dir).absolute()
    states = [name for name in ("last.pt", "last_prev.pt") if (folder / name).is_file()]
    if states and not boolean(resume):
        remedy = "Give --resume true to go on with it, or another --output_dir"
        raise DataError(Problem(ckpt_dir, "a folder without a run", f"{states[0]} of an earlier one", remedy))
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        found = "one that may not be written to" if there.is_dir() else "a file"
        raise DataError(Problem(str(there), "a folder for the run", found, "Give another --output_dir"))


def check_weights(weights: str | list[str]) -> None:
    """Every file of weights must be there; raises DataError."""
    files = [weights] if isinstance(weights, str) else weights
    remedy = "Train first, to the end, or give --weights, such as the best so far, RUN/models/model.pt"
    problems = [Problem(file, "a file of weights", "none", remedy) for file in files if not Path(file).is_file()]
    if problems:
        raise DataError(problems)


def boolean(value: Any) -> bool:
    """A configuration value as a boolean; the command line delivers `--resume false` as a string.

    Raises:
        DataError: the value is neither.
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in TRUE:
            return True
        if word in FALSE:
            return False
        raise DataError(Problem("boolean setting", "true or false", repr(value), "Write true or false"))
    return bool(value)


def check_exclusive(labels: Mapping[str, Any]) -> None:
    """Labels of a network that gives each voxel one of them are numbered 1, 2, ...; raises DataError."""
    numbers = [number for number in labels.values() if number != 0]
    if any(not isinstance(n, int) for n in numbers) or sorted(numbers) != list(range(1, len(numbers) + 1)):
        expected = "one number for each structure, from 1 on without a gap, since each voxel is of one structure"
        remedy = "Number them so (the list tells the masks' own numbers), or take a bundle whose structures overlap"
        raise DataError(Problem("labels", expected, str(dict(labels)), remedy))


def check_data(
    dataset_dir: str,
    datalist: str | None,
    section: str,
    fold: int | str | None,
    labels: Mapping[str, Any] | None = None,
    *,
    labelled: bool = False,
) -> None:
    """The images of a folder, or the cases of a datalist on both sides of a fold, must be there; where the list tells
    which structures were drawn, all of `labels` must be among them, and `labelled` cases have labels; raises DataError.
    """
    from pipeline.datalists import ALL, items
    from pipeline.segmentation.intake import find_cases

    if datalist is None:
        find_cases(dataset_dir)
        return
    for side in [None] if fold is None else ["train", "validation"]:
        chosen = items(datalist, dataset_dir=dataset_dir, section=section, fold=fold, side=side)
        _check_labels(chosen, str(datalist), section, labels or {}, labelled=labelled and side != "train")
    if fold == ALL:
        logger.warning("fold all: every case is trained on, so scores of these cases say nothing of new patients")


def _check_labels(
    chosen: list[dict[str, Any]], source: str, section: str, labels: Mapping[str, Any], *, labelled: bool
) -> None:
    bare = [item["case"] for item in chosen if not item.get("label")]
    if bare and labelled:
        remedy = "Segment them without scores: volseg segment"
        raise DataError(
            Problem(source, f"labels in '{section}'", f"none of {len(bare)} cases such as {bare[0]}", remedy)
        )
    wanted = [name for name, number in labels.items() if number != 0]
    for item in chosen:
        told = item.get("structures") or item.get("listed") or {}
        if missing := [name for name in wanted if told and name not in told]:
            found = f"only {', '.join(told)} in {item['case']}"
            remedy = "Choose among these by --labels, as in --labels \"{'NAME': 1}\", or name them in the list"
            raise DataError(Problem(source, f"structures called {' and '.join(missing)}", found, remedy))


@contextlib.contextmanager
def _gathered(problems: list[Problem]) -> Iterator[None]:
    """Keep the problems that a check raises, so that the next one is done, too."""
    try:
        yield
    except DataError as error:
        problems += error.problems


def _give_up(error: DataError) -> NoReturn:
    if not on_command_line():
        raise error
    if endings.rank() > 0:
        time.sleep(PATIENCE)  # where the first process finds the same, it says so and torchrun ends this one
    print(f"volseg: {error}", file=sys.stderr, flush=True)
    endings.leave(2)


def _how_to_go_on(ckpt_dir: str | None, scores_dir: str | None) -> str:
    if ckpt_dir is not None:
        saved = f"Every finished epoch is saved in {ckpt_dir}"
        return f"{saved}: give the same command with --resume true to go on"
    if scores_dir is not None:
        return "Give the same command with --overwrite true to score again"
    return "Masks that are finished stay: the same command does the others"
