"""Training with images that nobody labelled: which ones they are, and how they pass through the label's transforms."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms import MapTransform

from pipeline.datalists import ALL, list_images, load_datalist
from pipeline.datalists import items as listed_items
from pipeline.datalists.datalist import case_name, full_path, name_of, patient_of
from pipeline.errors import DataError, Problem
from pipeline.losses.compound import UNLABELLED
from pipeline.volumes import names_of

logger = logging.getLogger("pipeline")


def items(
    datalist: str | os.PathLike,
    *,
    dataset_dir: str | os.PathLike,
    fold: int | Literal["all"],
    labelled_share: float = 1.0,
    folder: str | os.PathLike | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The training side of a fold, with images whose labels are unknown or hidden.

    Unlabelled are: the cases of the datalist's list "unlabelled" (items without label); the images of `folder` that the
    datalist does not name; and the cases of the patients beyond `labelled_share`. Nothing is taken of patients of the
    held-out side or of the test list. An image of a folder is of a listed patient, whose name stands in its own or its
    folders'; where none does, a warning says so.

    Args:
        datalist: a file in the form of pipeline.datalists.
        dataset_dir, fold: as for pipeline.datalists.items; of fold "all" nothing is held out.
        labelled_share: share of the training patients whose labels are used, 0 to 1; at least one patient.
        folder: further images.
        seed: of the choice of these patients.

    Returns:
        items with "image", "label", "case" and "unlabelled": where this is true, "label" is the image itself, for
        HideLabeld to blank. First the labelled ones.

    Raises:
        DataError: as pipeline.datalists.items; a share outside 0 to 1; or nothing is unlabelled.
    """
    if not (isinstance(labelled_share, int | float) and 0 < labelled_share <= 1):
        remedy = "Give the share of the patients whose labels are used, e.g. 0.25"
        raise DataError(Problem("labelled_share", "a number above 0, at most 1", str(labelled_share), remedy))
    side = listed_items(datalist, dataset_dir=dataset_dir, fold=fold, side="train")
    chosen = _some_patients(side, labelled_share, seed)
    labelled = [item for item in side if patient_of(item) in chosen]
    others = [item for item in side if patient_of(item) not in chosen]
    others += _further(datalist, dataset_dir, fold, folder)
    if not others:
        remedy = "Name a folder by --unlabelled_dir, or hide labels by --labelled_share 0.25"
        raise DataError(Problem(str(datalist), "images without label", "none", remedy))
    return [_item(item, item["label"], False) for item in labelled] + [_item(i, i["image"], True) for i in others]


def draw_weights(chosen: Sequence[Mapping[str, Any]], *, labelled: float = 0.5) -> list[float]:
    """For each item the probability to be drawn: the labelled ones share `labelled`, the others the rest."""
    known = sum(not item["unlabelled"] for item in chosen)
    unknown = len(chosen) - known
    return [(1 - labelled) / unknown if item["unlabelled"] else labelled / known for item in chosen]


class HideLabeld(MapTransform):
    """Make the label of an unlabelled item one channel of UNLABELLED (255), which CompoundLoss knows.

    Args:
        keys: what was loaded as the label (the image itself, see `items`); without the item's "unlabelled" it stays.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item, its label blanked where it is unlabelled."""
        d = dict(data)
        if d.get("unlabelled"):
            for key in self.key_iterator(d):
                d[key] = torch.full_like(d[key][:1], UNLABELLED)
        return d


def _some_patients(side: Sequence[Mapping[str, Any]], share: float, seed: int) -> set[str]:
    patients = sorted({patient_of(item) for item in side})
    number = max(1, round(share * len(patients)))
    return set(np.random.default_rng(seed).permutation(patients)[:number].tolist())


def _further(
    datalist: str | os.PathLike, dataset_dir: str | os.PathLike, fold: int | str, folder: str | os.PathLike | None
) -> list[dict[str, Any]]:
    """The images of the list "unlabelled" and of the folder, less those of held-out and tested patients."""
    content = load_datalist(datalist)
    if not (content.get("unlabelled") or folder):
        return []
    kept_out = list(content["testing"])
    if fold != ALL:
        kept_out += listed_items(content, dataset_dir=dataset_dir, fold=fold, side="validation")
    found = _without(kept_out, _listed_without_label(content, dataset_dir), dataset_dir)
    if not folder:
        return found
    images = _of_folder(folder, content, dataset_dir)
    _tell_unknown(images, [*content["training"], *content["testing"], *(content.get("unlabelled") or ())], folder)
    return found + _without(kept_out, images, folder)


def _listed_without_label(content: Mapping[str, Any], dataset_dir: str | os.PathLike) -> list[dict[str, Any]]:
    if not content.get("unlabelled"):
        return []
    return listed_items({**content, "testing": content["unlabelled"]}, dataset_dir=dataset_dir, section="testing")


def _of_folder(
    folder: str | os.PathLike, content: Mapping[str, Any], dataset_dir: str | os.PathLike
) -> list[dict[str, Any]]:
    listed = {
        os.path.realpath(full_path(name, dataset_dir))
        for section in ("training", "testing", "unlabelled")
        for item in content.get(section) or ()
        for name in names_of(item["image"])
    }
    return [item for item in list_images(folder) if os.path.realpath(item["image"]) not in listed]


def _without(
    kept_out: Sequence[Mapping[str, Any]], images: Iterable[dict[str, Any]], root: str | os.PathLike
) -> list[dict[str, Any]]:
    """The images that are of none of these items' patients, as far as the list or their names tell it."""
    patients, names = {patient_of(item) for item in kept_out}, {name for item in kept_out for name in _names(item)}
    one_of_them = _any_of(patients)

    def kept(item: Mapping[str, Any]) -> bool:
        if item.get("patient"):
            return patient_of(item) not in patients
        return not (names & _names(item) or one_of_them.search(_place(item, root)))

    return [item for item in images if kept(item)]


def _tell_unknown(
    images: Sequence[Mapping[str, Any]], listed: Iterable[Mapping[str, Any]], folder: str | os.PathLike
) -> None:
    patients = _any_of({patient_of(item) for item in listed})
    unknown = [item["case"] for item in images if not patients.search(_place(item, folder))]
    if unknown:
        told = (
            "%s: the patients of %d of its images, such as %s, cannot be told by their names: see to it that none of "
        )
        logger.warning(told + "them is held out or tested", folder, len(unknown), unknown[0])


def _any_of(patients: Iterable[str]) -> re.Pattern[str]:
    """One of these patients' names that is not part of a longer word or number."""
    names = "|".join(map(re.escape, sorted(patients))) or r"(?!)"
    return re.compile(rf"(?<![^\W_])(?:{names})(?![^\W_])")


def _place(item: Mapping[str, Any], root: str | os.PathLike) -> str:
    """The path of an image from a folder's own name on."""
    return os.path.relpath(names_of(item["image"])[0], os.path.dirname(os.path.abspath(root)))


def _names(item: Mapping[str, Any]) -> set[str]:
    """What an item is called: its case, and its images' files."""
    return {name_of(item), *map(case_name, names_of(item["image"]))}


def _item(item: Mapping[str, Any], label: Any, unlabelled: bool) -> dict[str, Any]:
    """Of a label that is the image itself, nothing holds that the list says of a label."""
    of_labels = ("structures", "listed", "reversed") if unlabelled else ()
    kept = {key: value for key, value in item.items() if key not in of_labels}
    return {**kept, "label": label, "unlabelled": unlabelled}
