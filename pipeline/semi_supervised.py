"""Training with images that nobody labelled: which ones they are, and how they pass through the label's transforms."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform

from pipeline.datalists import items as listed_items
from pipeline.datalists import list_images, load_datalist
from pipeline.datalists.datalist import full_path, patient_of
from pipeline.errors import DataError, Problem
from pipeline.losses.compound import UNLABELLED
from pipeline.volumes import names_of


def items(
    datalist: str | os.PathLike,
    *,
    dataset_dir: str | os.PathLike,
    fold: int,
    labelled_share: float = 1.0,
    folder: str | os.PathLike | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """The training side of a fold, with images whose labels are unknown or hidden.

    Unlabelled are: the cases of the datalist's list "unlabelled" (items without label), less those of patients of the
    held-out side; the images of `folder` that the datalist does not name; and the cases of the patients beyond
    `labelled_share`.

    Args:
        datalist: a file in the form of pipeline.datalists.
        dataset_dir, fold: as for pipeline.datalists.items.
        labelled_share: share of the training patients whose labels are used, 0 to 1; at least one patient.
        folder: further images.
        seed: of the choice of these patients.

    Returns:
        items with "image", "label", "case" and "unlabelled": where this is true, "label" is the image itself, for
        HideLabeld to blank. First the labelled ones.

    Raises:
        DataError: as pipeline.datalists.items; a share outside 0 to 1; or nothing is unlabelled.
    """
    if not 0 < labelled_share <= 1:
        remedy = "Give the share of the patients whose labels are used, e.g. 0.25"
        raise DataError(Problem("labelled_share", "a number above 0, at most 1", str(labelled_share), remedy))
    side = listed_items(datalist, dataset_dir=dataset_dir, fold=fold, side="train")
    chosen = _some_patients(side, labelled_share, seed)
    labelled = [item for item in side if patient_of(item) in chosen]
    others = [item for item in side if patient_of(item) not in chosen]
    others += _listed_without_label(datalist, dataset_dir, fold)
    others += _of_folder(folder, datalist, dataset_dir) if folder else []
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


def _listed_without_label(
    datalist: str | os.PathLike, dataset_dir: str | os.PathLike, fold: int
) -> list[dict[str, Any]]:
    content = load_datalist(datalist)
    if not content.get("unlabelled"):
        return []
    held_out = listed_items(content, dataset_dir=dataset_dir, fold=fold, side="validation")
    forbidden = {patient_of(item) for item in held_out}
    found = listed_items({**content, "testing": content["unlabelled"]}, dataset_dir=dataset_dir, section="testing")
    return [item for item in found if patient_of(item) not in forbidden]


def _of_folder(
    folder: str | os.PathLike, datalist: str | os.PathLike, dataset_dir: str | os.PathLike
) -> list[dict[str, Any]]:
    content = load_datalist(datalist)
    listed = {
        os.path.realpath(full_path(name, dataset_dir))
        for section in ("training", "testing", "unlabelled")
        for item in content.get(section) or ()
        for name in names_of(item["image"])
    }
    return [item for item in list_images(folder) if os.path.realpath(item["image"]) not in listed]


def _item(item: Mapping[str, Any], label: Any, unlabelled: bool) -> dict[str, Any]:
    """Of a label that is the image itself, nothing holds that the list says of a label."""
    of_labels = ("structures", "listed", "reversed") if unlabelled else ()
    kept = {key: value for key, value in item.items() if key not in of_labels}
    return {**kept, "label": label, "unlabelled": unlabelled}
