"""CHAOS (abdomen in CT and MR: folders of DICOM slices and of PNG masks) as a datalist, split by patient."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalists.assemble import assemble
from pipeline.datalists.folders import entries_of, files_in
from pipeline.datalists.summaries import summary
from pipeline.errors import DataError, Problem
from pipeline.volumes.dicom import slice_height
from pipeline.volumes.names import natural

__all__ = ["MODALITIES", "build", "summary"]

# modality: the branch of the archive, the sequence's folder, the folders of its channels below DICOM_anon
MODALITIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "ct": ("CT", "", ("",)),
    "t1in": ("MR", "T1DUAL", ("InPhase",)),
    "t1out": ("MR", "T1DUAL", ("OutPhase",)),
    "t1dual": ("MR", "T1DUAL", ("InPhase", "OutPhase")),
    "t2": ("MR", "T2SPIR", ("",)),
}
# Grey values of the masks, for MR as the challenge gives them and as far as its masks stray: 63, 126, 189, 252.
VALUES = {
    "CT": {"liver": (1, 255)},
    "MR": {"liver": (55, 70), "right kidney": (110, 135), "left kidney": (175, 200), "spleen": (240, 255)},
}
SIDES = {"Train_Sets": "training", "Test_Sets": "testing"}
UNPACK = "Unpack CHAOS_Train_Sets.zip again"


def build(root: str | os.PathLike, *, modality: str = "ct", **folding: Any) -> dict[str, Any]:
    """List the patients of one modality: image folders of DICOM slices, labels folders of PNG slices.

    Which mask belongs to which slice is told by the order of the file names alone, "NOT by position tags in DICOM
    files": the first PNG by name belongs to the first DICOM file by name. (Source: transformToRealCoordinates in
    Python/CHAOSmetrics.py of the organisers' evaluation, github.com/emrekavur/CHAOS-evaluation.) A DICOM series is read
    in the order of positions, however, and CT's names run against it, from head to feet. So each item says "reversed":
    whether the stack of PNGs by name has to be turned round to lie on the image.

    Args:
        root: the folder that holds Train_Sets (and Test_Sets, which has no masks and becomes "testing"), one of these,
            or the folder above that.
        modality: "ct" (liver); MR, with both kidneys and the spleen too: "t1in", "t1out", "t1dual" (the two phases as
            channels), "t2". Lists of different MR modalities with one seed have the same patients in each fold. CT and
            MR patients are different people.
        folding: folds and seed, see `assemble`.
    Returns:
        the datalist; structures are numbered 1 liver, 2 right kidney, 3 left kidney, 4 spleen, and each item's
        "structures" tells the grey values found in its masks.
    Raises:
        DataError: no CHAOS folder, or no patients of this modality, in one line; else every missing folder, folders
            with different numbers of slices, names that do not follow positions, grey values that mean nothing.
    """
    from tqdm import tqdm

    if modality not in MODALITIES:
        raise DataError(Problem("modality", "one of " + ", ".join(MODALITIES), modality, "Choose one of these"))
    root = Path(root)
    items: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES.values()}
    problems: list[Problem] = []
    for patient, side in tqdm(_patients(root, modality), desc="reading slices", unit="patient", leave=False):
        try:
            items[side].append(_item(root, patient, modality, labelled=side == "training"))
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return assemble(
        **items,
        labels={name: number for number, name in enumerate(VALUES[MODALITIES[modality][0]], 1)},
        **folding,
        name=f"chaos_{modality}",
        description="Abdominal organs of healthy people, CHAOS challenge 2019",
        modality="CT" if modality == "ct" else "MRI",
        channels=[folder or modality for folder in MODALITIES[modality][2]],
        reference="Kavur et al., Medical Image Analysis 69, 2021, doi 10.1016/j.media.2020.101950",
        licence="CC BY-NC-SA 4.0",
    )


def _patients(root: Path, modality: str) -> list[tuple[Path, str]]:
    """The folder of each patient and the section of the list that it belongs to."""
    branch = MODALITIES[modality][0]
    places = {
        path: SIDES[path.name] for name in SIDES for path in (root / name, *root.glob(f"*/{name}")) if path.is_dir()
    }
    if not places and any((root / name).is_dir() for name in ("CT", "MR")):
        places = {root: SIDES.get(root.resolve().name, "training")}
    found = ((path, side) for place, side in places.items() for path in (place / branch).glob("[0-9]*"))
    patients = sorted(((path, side) for path, side in found if path.is_dir()), key=lambda one: natural(one[0]))
    if not patients:
        layout = f"CHAOS's layout: Train_Sets/{branch}/1/..., for modality {modality}"
        remedy = "Give the folder that CHAOS_Train_Sets.zip unpacks to" + (", or another modality" if places else "")
        raise DataError(Problem(str(root), layout, entries_of(root), remedy))
    return patients


def _item(root: Path, patient: Path, modality: str, *, labelled: bool) -> dict[str, Any]:
    branch, sequence, phases = MODALITIES[modality]
    dicoms = [patient / sequence / "DICOM_anon" / phase for phase in phases]
    ground = patient / sequence / "Ground"
    slices = {folder: files_in(folder, ".dcm") for folder in dicoms}
    if labelled:
        slices[ground] = files_in(ground, ".png")
    counts = {folder: len(files) for folder, files in slices.items()}
    problems = [Problem(str(folder), "slices", entries_of(folder), UNPACK) for folder, n in counts.items() if n == 0]
    if problems:
        raise DataError(problems)
    if len(set(counts.values())) > 1:
        there = ", ".join(f"{count} in {folder.relative_to(patient)}" for folder, count in counts.items())
        raise DataError(Problem(str(patient), "as many masks as images, slice by slice", there, UNPACK))
    images = [folder.relative_to(root).as_posix() for folder in dicoms]
    item = {"image": images if len(images) > 1 else images[0], "case": f"{branch}_{patient.name}_{modality}"}
    if labelled:
        item |= {
            "label": ground.relative_to(root).as_posix(),
            "structures": _structures(ground, slices[ground], VALUES[branch]),
            "reversed": _runs_against(dicoms[0], slices[dicoms[0]]),
        }
    return item | {"patient": f"{branch}_{patient.name}"}


def _structures(ground: Path, files: Iterable[Path], values: dict[str, tuple[int, int]]) -> dict[str, list[int]]:
    """The grey values of each structure; one that these masks do not show has its first allowed value."""
    from pipeline.volumes import read_mask

    found = sorted({int(value) for path in files for value in np.unique(read_mask(path))} - {0})
    ranges = ", ".join(f"{name} {low}-{high}" for name, (low, high) in values.items())
    stray = [value for value in found if not any(low <= value <= high for low, high in values.values())]
    if stray:
        raise DataError(Problem(str(ground), f"grey values 0, {ranges}", ", ".join(map(str, stray)), UNPACK))
    by_name = {name: [v for v in found if low <= v <= high] for name, (low, high) in values.items()}
    return {name: numbers or [values[name][0]] for name, numbers in by_name.items()}


def _runs_against(folder: Path, files: Sequence[Path]) -> bool:
    """Whether the slices' positions along their normal fall while the file names rise."""
    heights = [slice_height(path) for path in files]
    steps = np.sign(np.diff(heights))
    if (steps == 1).all() or (steps == -1).all():
        return bool((steps == -1).any())
    found = f"names that jump at {files[int(np.argmax(steps != steps[0])) + 1].name}"
    raise DataError(Problem(str(folder), "file names in the order of positions", found, UNPACK))
