"""Which cases an input holds: files, folders, DICOM series, or the items of a datalist."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.datalists import items, list_images, load_datalist
from pipeline.datalists.folders import files_below
from pipeline.datalists.images import joined
from pipeline.errors import DataError, Problem, printable
from pipeline.segmentation.inspection import inspect
from pipeline.segmentation.manifest import read_runs
from pipeline.segmentation.results import MANIFEST
from pipeline.volumes import is_picture, mask_name, names_of
from pipeline.volumes.dicom import is_series_folder

logger = logging.getLogger("pipeline")

TRUTH_KEYS = ("label", "structures", "listed", "reversed", "fold")


def find_cases(
    inputs: str | Path | Iterable[str | Path], *, exclude: str | Path | None = None, channels: int = 1
) -> list[dict[str, Any]]:
    """The cases of a file, a folder, the folder of a DICOM series, a datalist, or several of these.

    Args:
        inputs: one path or several. Of a folder, its images (`list_images`) and the DICOM series in it and below it;
            left out are pictures beside a series (thumbnails) and folders below it with results of earlier calls. Of
            a datalist (.json, paths relative to its folder) the items of "testing", or of "training" where that is
            empty.
        exclude: a folder whose content is not input (the output folder, if it lies within the input).
        channels: what the network takes; of a folder, CASE_0000, CASE_0001 and so on are then one case.

    Returns:
        [{"image": path, "case": name}], each image once, names unique. Items of a datalist keep their other keys but
        those of the truth; their "image" may be a list of channels, and "slice" names one slice of a stack.

    Raises:
        DataError: a path that does not exist or holds no image, or two images with one case name; all of them.
    """
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if not paths:
        raise DataError(Problem("input", "a file or a folder", "none", "Name at least one"))
    cases: dict[tuple[Any, ...], dict[str, Any]] = {}
    problems: list[Problem] = []
    for path in paths:
        hidden = Path(exclude).resolve() if exclude is not None and _holds(path, exclude) else None
        if hidden == Path(path).resolve():
            continue
        try:
            found = _cases_of(Path(path), hidden, channels)
        except DataError as error:
            problems += error.problems
            continue
        for item in found:
            places = [Path(name).resolve() for name in names_of(item["image"])]
            cases.setdefault((*places, item.get("slice")), item)
    twice = [case for case, number in Counter(item["case"] for item in cases.values()).items() if number > 1]
    problems += [
        Problem(case, "one image of this name", "several", "Segment them into separate folders") for case in twice
    ]
    if not problems and not cases:
        remedy = "Choose another output folder"
        problems.append(Problem(str(paths[0]), "images outside the output folder", "none", remedy))
    if problems:
        raise DataError(problems)
    return list(cases.values())


def pending(
    items: Iterable[Mapping[str, Any]], output_dir: str | Path, *, overwrite: bool = False, channels: int = 1
) -> list[dict[str, Any]]:
    """What `monai.bundle run` is to segment: readable 3D images whose mask is missing; the others are named in the log.

    `volseg segment` isolates each case while it runs; MONAI's evaluator ends with the first broken one, so that these
    are left out before it starts.

    Args:
        items: cases, as `find_cases` gives them.
        output_dir: where the masks go.
        overwrite: take cases whose mask is there, too.
        channels: what the network takes; a fourth axis of that length holds channels, any other one time.
    """
    chosen = []
    for item in items:
        if (Path(output_dir) / mask_name(item["case"], item["image"])).exists() and not overwrite:
            logger.info("%s: exists, skipped", printable(item["case"]))
            continue
        try:
            if inspect(item["image"], index=item.get("slice"), channels=channels).is_cine:
                remedy = "Segment a cine frame by frame: volseg segment"
                name = str(names_of(item["image"])[0])
                raise DataError(Problem(name, "a volume with three axes", "time frames", remedy))
        except DataError as error:
            logger.error("left out: %s", error)
            continue
        chosen.append(dict(item))
    return chosen


def _holds(folder: str | Path | None, other: str | Path) -> bool:
    return folder is not None and Path(folder).is_dir() and Path(other).resolve().is_relative_to(Path(folder).resolve())


def _cases_of(path: Path, hidden: Path | None, channels: int) -> list[dict[str, Any]]:
    if path.is_file() and path.suffix.lower() == ".json":
        return _cases_of_list(path)
    if not path.is_dir():
        return list_images(path)
    return joined(_cases_of_folder(path, hidden), channels)


def _cases_of_folder(path: Path, hidden: Path | None) -> list[dict[str, Any]]:
    if (path / "datalist.json").is_file():
        logger.warning("%s is not used: name it, in place of its folder, to segment its cases", path / "datalist.json")
    without = [hidden] if hidden else []
    files = files_below(path, without=without)
    earlier = {file.parent for file in files if _tells_of_masks(file)} - {path}
    folders = {file.parent for file in files if earlier.isdisjoint(file.parents)}
    series = {folder for folder in folders if is_series_folder(folder)}
    names = {folder: "_".join(folder.relative_to(path).parts) or path.resolve().name for folder in sorted(series)}
    found = [{"image": str(folder), "case": name} for folder, name in names.items()]
    try:
        images = list_images(path, without=[*without, *earlier])
    except DataError:
        if found:
            return found
        raise
    return found + [item for item in images if not (is_picture(item["image"]) and Path(item["image"]).parent in series)]


def _tells_of_masks(file: Path) -> bool:
    """Whether a file is the manifest of masks that were made earlier."""
    with suppress(DataError):
        return file.name == MANIFEST and bool(read_runs(file.parent))
    return False


def _cases_of_list(path: Path) -> list[dict[str, Any]]:
    datalist = load_datalist(path)
    section = "testing" if datalist["testing"] else "training"
    try:
        found = items(datalist, dataset_dir=path.parent, section=section)
    except DataError as error:
        remedy = f"Put {path.name} into the folder that its paths start from"
        raise DataError([replace(problem, remedy=remedy) for problem in error.problems]) from None
    return [{key: value for key, value in item.items() if key not in TRUTH_KEYS} for item in found]
