"""Which predicted mask belongs to which true one, by file names as tools write them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline import datalists, volumes
from pipeline.errors import DataError, Problem
from pipeline.metrics.labels import Labels, structures_of
from pipeline.metrics.masks import read_mask

# what tools append to the name of an image or case
MASK_SUFFIX = re.compile(r"(?i)[_-](seg|segmentation|pred|prediction|mask|label|gt|trans)$")
TRUTH_SUFFIX = re.compile(r"(?i)[_-](seg|segmentation|mask|label|gt)$")
JPEG = (".jpg", ".jpeg")  # images, never masks: their compression changes label numbers
FIRST_CHANNEL = "_0000"  # nnU-Net's images end so, and masks that are called like them; its true masks do not
BY_CASE = "Name it by its case"
ACDC_NAME = re.compile(r"(patient\d+)_frame(\d+)")
ACDC_LABELS: dict[str, int | list[int]] = {"RV": 1, "MYO": 2, "LV": 3}


def pair_folders(
    pred_dir: str | Path,
    truth: str | Path,
    *,
    dataset_dir: str | Path | None = None,
    section: Literal["training", "testing"] = "training",
    fold: int | str | None = None,
    labels: Labels | None = None,
) -> tuple[list[dict[str, Any]], dict[str, int | list[int]]]:
    """Find the prediction of every true mask.

    A prediction belongs to a case where its name, with or without a suffix such as _seg, _pred, _mask, _gt, _trans or
    _0000, is the case's name, its image's or its label's; or where that is so of its folder's name and its own together
    (patient001/ED.nii.gz), or of its folder's name alone (patient001_ED/mask.nii.gz).

    Args:
        pred_dir: folder of predicted masks, nested or not.
        truth: a datalist (.json), or a folder of true masks: the files ending in _gt, _seg, _mask or _label where there
            are such, else all but JPEG pictures. Files named as ACDC's get patient, phase and group from the Info.cfg
            beside them.
        dataset_dir: what the datalist's paths are relative to; default: the folder of the list.
        section, fold: which items of the datalist; with `fold` its validation side.
        labels: name -> number (or numbers); where the datalist has these names, its numbers are those of the true
            masks. Default: the datalist's, or in a folder of masks the values found ("label 1", ...; RV, MYO and LV
            where all files are named as ACDC's; "foreground" where they are black and white pictures).

    Returns:
        Cases as `score_cases` takes them, pred None where there is none; and the labels without background.

    Raises:
        DataError: no such folder, nothing in it, a fold or a section of a folder, no prediction that fits, or one that
            fits several cases.
    """
    if Path(truth).is_file() and not volumes.suffix_of(truth):
        found = datalists.load_datalist(truth)
        home = dataset_dir if dataset_dir is not None else Path(truth).parent
        side = None if fold is None else "validation"
        named = labels is None or set(labels) <= set(found.get("labels") or ())
        items = datalists.items(found, dataset_dir=home, section=section, fold=fold, side=side, named=named)
        items = [item for item in items if item.get("label")]
        labels = labels or found.get("labels")
    elif Path(truth).is_dir() and (fold is not None or section != "training"):
        remedy = "Name the datalist in place of the folder, or leave the fold and the section out"
        raise DataError(Problem(str(truth), "a datalist, which has folds and sections", "a folder", remedy))
    else:
        items = _items_of_folder(Path(truth))
    if not items:
        remedy = "Choose a section of the datalist with labels"
        raise DataError(Problem(str(truth), "cases with true masks", f"none in '{section}'", remedy))
    structures = structures_of(labels, source=str(truth)) if labels else _labels_found(items)
    return pair(pred_dir, items), structures


def pair(pred_dir: str | Path, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items with "pred" added: the path of the mask found below `pred_dir`, or None; rules as `pair_folders`."""
    folder = Path(pred_dir)
    index: dict[str, set[int]] = defaultdict(set)
    for number, item in enumerate(items):
        for key in item_names(item):
            index[key].add(number)
    images = {str(Path(item["image"]).resolve()) for item in items if isinstance(item.get("image"), str)}
    files = [path for path in image_files(folder) if str(path.resolve()) not in images]
    found: dict[int, list[Path]] = defaultdict(list)
    problems = []
    for path in files:
        candidates = [index[name] for name in pred_names(path, folder) if name in index]
        number = next((hits for hits in candidates if len(hits) == 1), None)
        if number:
            found[min(number)].append(path)
        elif candidates:
            cases = ", ".join(items[hit]["case"] for hit in sorted(candidates[0]))
            problems.append(Problem(str(path), "a name that fits one case", f"one that fits {cases}", BY_CASE))
    for hit, paths in found.items():
        if len(paths) > 1:
            names = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
            remedy = "Keep one mask for each case in the folder"
            problems.append(Problem(items[hit]["case"], "one prediction", f"{len(paths)}: {names}", remedy))
    if not found and not problems:
        problems = [_nothing_fits(folder, files, items)]
    if problems:
        raise DataError(problems)
    return [{**item, "pred": str(found[number][0]) if number in found else None} for number, item in enumerate(items)]


def _items_of_folder(folder: Path) -> list[dict[str, Any]]:
    files = [path for path in image_files(folder) if not _stem(path).endswith("_4d")]
    lossless = [path for path in files if not path.name.lower().endswith(JPEG)]
    masks = [path for path in lossless if TRUTH_SUFFIX.search(_stem(path))] or lossless
    if not masks:
        raise DataError(_no_masks(folder, "an empty one"))
    images = {(path.parent, _stem(path)): str(path) for path in set(files) - set(masks)}
    items = [_item_of_file(path, folder) for path in masks]
    counts = Counter(item["case"] for item in items)
    for path, item in zip(masks, items, strict=True):
        item["image"] = images.get((path.parent, TRUTH_SUFFIX.sub("", _stem(path))))
        if counts[item["case"]] > 1:  # patient001/ED.nii.gz, patient002/ED.nii.gz
            item["case"] = item["nested"]
    return items


def _item_of_file(path: Path, folder: Path) -> dict[str, Any]:
    stem = TRUTH_SUFFIX.sub("", _stem(path))
    nested = "_".join([*path.relative_to(folder).parts[:-1], stem])
    item = {"case": stem, "label": str(path), "nested": nested}
    match = ACDC_NAME.fullmatch(stem)
    return {**item, **_acdc_facts(path, match[1], int(match[2]))} if match else item


def _acdc_facts(path: Path, patient: str, frame: int) -> dict[str, str]:
    """Patient, phase and group of an ACDC mask, as far as the Info.cfg beside it has them."""
    info = path.parent / "Info.cfg"
    if not info.is_file():
        return {"patient": patient}
    facts = dict(re.findall(r"^\s*(\w+)\s*:\s*(\S+)\s*$", info.read_text(errors="replace"), re.MULTILINE))
    phase = next((name for name in ("ED", "ES") if facts.get(name) == str(frame)), "")
    case = {"case": f"{patient}_{phase}"} if phase else {}
    return {"patient": patient, "phase": phase, "group": facts.get("Group", ""), **case}


def _labels_found(items: list[dict[str, Any]]) -> dict[str, int | list[int]]:
    values: set[float] = set()
    pictures = True
    for item in items:
        mask = read_mask(item["label"])
        values |= set(np.unique(mask.array).tolist())
        pictures = pictures and not mask.has_geometry
    if pictures and values <= {0, 255}:
        return {"foreground": 1}  # see `pipeline.metrics.masks.read_truth`
    if values <= {0, *ACDC_LABELS.values()} and all(ACDC_NAME.fullmatch(_plain_stem(item)) for item in items):
        return dict(ACDC_LABELS)
    whole = sorted(int(value) for value in values if value > 0 and value == int(value))
    return structures_of({f"label {value}": value for value in whole}, source="the true masks")


def image_files(folder: Path) -> list[Path]:
    """Every image below a folder, sorted; raises DataError where there is no such folder."""
    if not folder.is_dir():
        raise DataError(_no_masks(folder, "a file" if folder.exists() else "nothing of that name"))
    paths = (path for path in folder.rglob("*") if path.is_file() and volumes.suffix_of(path))
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _stem(path: Path) -> str:
    return path.name[: len(path.name) - len(volumes.suffix_of(path))]


def _plain_stem(item: Mapping[str, Any]) -> str:
    return TRUTH_SUFFIX.sub("", _stem(Path(item["label"])))


def item_names(item: Mapping[str, Any]) -> set[str]:
    """What the prediction of an item may be called."""
    files = [Path(item[key]) for key in ("image", "label") if isinstance(item.get(key), str)]
    names = {item["case"], item.get("nested", item["case"]), *map(_stem, files)}
    return {plain for name in names for plain in _with_and_without_suffix(name)}


def pred_names(path: Path, folder: Path) -> list[str]:
    """What a prediction may be called, the surest first."""
    parents = path.relative_to(folder).parts[:-1]
    stem = _stem(path)
    names = _with_and_without_suffix("_".join([*parents, stem])) if parents else []
    names += _with_and_without_suffix(stem)
    if parents:
        names += [*_with_and_without_suffix(f"{parents[-1]}_{stem}"), parents[-1]]
    return [*names, stem.removesuffix(FIRST_CHANNEL)]


def _with_and_without_suffix(name: str) -> list[str]:
    plain = MASK_SUFFIX.sub("", name)
    return [name] if plain == name else [name, *_with_and_without_suffix(plain)]


def _nothing_fits(folder: Path, files: list[Path], items: list[dict[str, Any]]) -> Problem:
    found = f"{len(files)} files such as {files[0].name}" if files else "none"
    remedy = "Name each mask by its case or image, for example patient001_ED.nii.gz"
    return Problem(str(folder), f"masks of the {len(items)} cases such as {items[0]['case']}", found, remedy)


def _no_masks(folder: Path, found: str) -> Problem:
    suffixes = ", ".join((*volumes.NIFTI_SUFFIXES, *volumes.ITK_SUFFIXES, *volumes.PICTURE_SUFFIXES))
    return Problem(str(folder), f"a folder of masks ({suffixes})", found, "Check the path")
