"""The one form of datalist that every raw layout is turned into: read, checked and written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.datalists.form import SECTIONS, form_problems
from pipeline.errors import DataError, Problem
from pipeline.files import write_text
from pipeline.volumes.names import names_of, suffix_of


def load_datalist(path: str | os.PathLike) -> dict[str, Any]:
    """Read a datalist and check its form.

    Args:
        path: a JSON file with a list "training" and, if need be, a list "testing" (MONAI's and Auto3DSeg's form).
    Returns:
        the datalist as it stands in the file, "testing" added as an empty list where it is absent.
    Raises:
        DataError: no such file, no JSON, or items of the wrong form; every problem is named.
    """
    remedy = "Build one by `volseg datalist LAYOUT ROOT -o DATALIST.json`"
    try:
        datalist = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(Problem(str(path), "a datalist", error.strerror or str(error), remedy)) from None
    except (ValueError, RecursionError) as error:
        raise DataError(Problem(str(path), "a datalist in JSON", f"a syntax error ({error})", remedy)) from None
    problems = list(form_problems(datalist, str(path)))
    if problems:
        raise DataError(problems)
    return {**datalist, "testing": datalist.get("testing", [])}


def save_datalist(datalist: dict[str, Any], path: str | os.PathLike, *, overwrite: bool = False) -> Path:
    """Check a datalist for its form and for leaks and write it, one item per line so that differences can be read.

    Args:
        datalist: the dictionary to write.
        path: the JSON file; its folder is made.
        overwrite: replace an existing file.
    Returns:
        the path written.
    Raises:
        DataError: the form is wrong, a patient is on two sides, or the file is already there.
    """
    problems = list(form_problems(datalist, str(path)))
    if problems:
        raise DataError(problems)
    check_no_leak(datalist)
    return write_text(path, _to_json(datalist), overwrite=overwrite)


def resolve_datalist(
    dataset_dir: str | os.PathLike,
    default: str | os.PathLike | None = None,
    *,
    build: Callable[..., dict[str, Any]] | None = None,
    keep: str | os.PathLike | None = None,
    **options: Any,
) -> str:
    """The list that lies beside the data (dataset_dir/datalist.json), else `default`, else one that is built now.

    Args:
        dataset_dir: the folder of the data.
        default: a committed list; where `build` is given, only if all files that it names are there.
        build: makes a list from the folder: `build(dataset_dir, **options)`.
        keep: the file that a built list is written to; one that is there already is taken, so that a resumed or
            evaluated run keeps its split.
    Raises:
        DataError: what `build` does not recognise.
    """
    beside = os.path.join(dataset_dir, "datalist.json")
    if os.path.isfile(beside):
        return beside
    if default is not None and (build is None or _all_there(default, dataset_dir)):
        return str(default)
    if not os.path.isfile(keep):
        _save_once(build(dataset_dir, **options), keep)
    return str(keep)


def _save_once(datalist: dict[str, Any], keep: str | os.PathLike) -> None:
    """Save, unless another process of the same run was faster."""
    try:
        save_datalist(datalist, keep)
    except DataError:
        if not os.path.isfile(keep):
            raise


def check_no_leak(datalist: dict[str, Any]) -> None:
    """Raise a DataError that names every patient in two folds, or in both training and testing.

    Items without "patient" count by their case, so a list that does not name patients cannot be checked further.
    """
    folds: dict[str, set] = {}
    for item in datalist["training"]:
        folds.setdefault(patient_of(item), set()).add(item.get("fold"))
    tested = {patient_of(item) for item in datalist.get("testing", [])}
    remedy = "Put all cases of a patient on one side"
    problems = [
        Problem(patient, "one fold", "folds " + ", ".join(sorted(map(str, found))), remedy)
        for patient, found in sorted(folds.items())
        if len(found) > 1
    ]
    problems += [Problem(patient, "training or testing", "both", remedy) for patient in sorted(tested & set(folds))]
    if problems:
        raise DataError(problems)


def files_of(item: Mapping[str, Any]) -> list[str]:
    """Every file of one item: its image or images, then its label where it has one."""
    return names_of(item["image"]) + ([item["label"]] if item.get("label") else [])


def name_of(item: Mapping[str, Any]) -> str:
    """The name of an item: its "case", else its first file's."""
    return str(item.get("case") or case_name(files_of(item)[0]))


def patient_of(item: Mapping[str, Any]) -> str:
    """The patient of an item; where none is named, each case counts as one."""
    return str(item.get("patient") or name_of(item))


def case_name(path: str | os.PathLike) -> str:
    """The file's name without its folder and without its suffix (.nii.gz is one suffix)."""
    name = os.path.basename(path)
    suffix = suffix_of(name) or os.path.splitext(name)[1]
    return name[: len(name) - len(suffix)]


def full_path(path: str, dataset_dir: str | os.PathLike) -> str:
    """dataset_dir/path, or what is meant by it where dataset_dir is itself the folder that the path begins with."""
    here = os.path.normpath(dataset_dir)
    first, _, rest = path.partition("/")
    if first in SECTIONS and not os.path.isdir(os.path.join(here, first)):
        choices = [os.path.join(here, rest), os.path.join(here, os.pardir, path)]
        return next((choice for choice in choices if os.path.isfile(choice)), os.path.join(here, path))
    return os.path.join(here, path)


def _all_there(datalist: str | os.PathLike, dataset_dir: str | os.PathLike) -> bool:
    listed = load_datalist(datalist)
    paths = (path for section in SECTIONS for item in listed[section] for path in files_of(item))
    return all(os.path.exists(full_path(path, dataset_dir)) for path in paths)


def _to_json(datalist: dict[str, Any]) -> str:
    body = {key: value for key, value in datalist.items() if key not in SECTIONS}
    body["numTraining"] = len(datalist["training"])
    body["numTest"] = len(datalist.get("testing", []))
    text = json.dumps(body, indent=1, ensure_ascii=False)[: -len("\n}")]
    for section in SECTIONS:
        lines = [json.dumps(item, ensure_ascii=False) for item in datalist.get(section, [])]
        text += f',\n "{section}": [' + ("\n  " + ",\n  ".join(lines) + "\n " if lines else "") + "]"
    return text + "\n}\n"
