"""The items of one section, fold and side of a datalist, with full paths."""

from __future__ import annotations

import os
from typing import Any, Literal

from pipeline.datalists.datalist import case_name, files_of, full_path, load_datalist
from pipeline.datalists.folders import some
from pipeline.datalists.form import SECTIONS
from pipeline.errors import DataError, Problem
from pipeline.volumes.names import names_of

ALL = "all"  # as a fold: nothing is held out


def items(
    datalist: dict[str, Any] | str | os.PathLike,
    *,
    dataset_dir: str | os.PathLike,
    section: Literal["training", "testing"] = "training",
    fold: int | Literal["all"] | None = None,
    side: Literal["train", "validation"] | None = None,
    limit: int | None = None,
    named: bool = True,
) -> list[dict[str, Any]]:
    """The items of one section, fold and side, with full paths, every file checked to be there.

    Args:
        datalist: a datalist or the path of one.
        dataset_dir: the folder that the paths are relative to. Where it is itself the folder `training` that the
            paths begin with, it is taken as such.
        section: the list to take.
        fold: the items of this fold are validation, the others are trained on; the other way round where the list's
            split says "train_on": "fold" (benchmarks that train on a fifth). Without a fold every item is trained on;
            "all" does so, too, and validates on the very same items, since a training wants to validate on some.
        side: which of the two; without it both.
        limit: at most so many items, the first ones.
        named: whether structures are meant by their names: an item with a label and without "structures" gets the
            list's "labels" as "listed".
    Returns:
        copies of the items; "image" (a path or a list of paths) and "label" joined with dataset_dir, "case" filled
        in from the file name where the list has none.
    Raises:
        DataError: no such folder, section or fold, nothing listed, or files missing (the first three and how many).
    """
    source = "the datalist" if isinstance(datalist, dict) else str(datalist)
    datalist = datalist if isinstance(datalist, dict) else load_datalist(datalist)
    _check_folder(dataset_dir, datalist)
    chosen = _choose(datalist, source, section=section, fold=fold, side=side)[:limit]
    if not chosen:
        raise DataError(Problem(source, f"items in '{section}'", "none", "Choose another list, fold or limit"))
    listed = _numbers_listed(datalist) if named else {}
    joined = [_join(item, dataset_dir, listed) for item in chosen]
    missing = [path for item in joined for path in files_of(item) if not os.path.exists(path)]
    if missing:
        expected = f"the {sum(len(files_of(item)) for item in joined)} files that {source} lists"
        build = f"`volseg datalist LAYOUT {dataset_dir} -o {os.path.join(dataset_dir, 'datalist.json')}`"
        remedy = f"Give the folder that the list was built from by --dataset_dir, or list what is there by {build}"
        raise DataError(Problem(str(dataset_dir), expected, f"{len(missing)} missing: {some(missing, 3)}", remedy))
    return joined


def _check_folder(dataset_dir: str | os.PathLike, datalist: dict[str, Any]) -> None:
    if os.path.isdir(dataset_dir):
        return
    name = str(datalist.get("name", "data")).split("_")[0]
    remedy = f"Write phantoms there by `make demo`, or name the real set's folder by `--dataset_dir path/to/{name}`"
    raise DataError(Problem(str(dataset_dir), "the folder of the data set", "no such folder", remedy))


def _choose(
    datalist: dict[str, Any], source: str, *, section: str, fold: int | str | None, side: str | None
) -> list[dict[str, Any]]:
    if section not in SECTIONS:
        raise DataError(Problem("section", "training or testing", repr(section), "Choose one of the two"))
    if side not in ("train", "validation", None):
        raise ValueError(f"no such side: {side!r}")
    entries = datalist.get(section, [])
    if not entries or section == "testing":
        return entries
    if fold is None and side == "validation":
        raise DataError(Problem("fold", "a number, to have a validation side", "none", "Set fold to 0, say"))
    if fold is None or fold == ALL:
        return entries
    folds = sorted({item["fold"] for item in entries if "fold" in item})
    if fold not in folds:
        there = ", ".join(map(str, folds)) or "none"
        raise DataError(Problem(source, f"items of fold {fold}", f"folds {there}", "Choose one of these folds"))
    if side is None:
        return entries
    trained = (datalist.get("split") or {}).get("train_on") == "fold"
    return [item for item in entries if (item.get("fold") == fold) == ((side == "validation") != trained)]


def _numbers_listed(datalist: dict[str, Any]) -> dict[str, list[int]]:
    """The numbers of each structure in masks that use the list's own "labels"; empty where it tells none."""
    labels = datalist.get("labels") or {}
    return {name: n if isinstance(n, list) else [n] for name, n in labels.items() if n != 0}


def _join(item: dict[str, Any], dataset_dir: str | os.PathLike, listed: dict[str, list[int]]) -> dict[str, Any]:
    images = [full_path(path, dataset_dir) for path in names_of(item["image"])]
    joined = {**item, "image": images if isinstance(item["image"], list) else images[0]}
    if item.get("label"):
        joined["label"] = full_path(item["label"], dataset_dir)
        if listed and "structures" not in item:
            joined["listed"] = listed
    return {"case": case_name(images[0]), **joined}
