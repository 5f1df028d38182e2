"""ACDC's original folders (patientNNN with frames, masks and Info.cfg) as a datalist, split by patient."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path
from typing import Any

from pipeline.datalists import splits
from pipeline.datalists.assemble import provenance
from pipeline.datalists.datalist import SECTIONS, check_no_leak, full_path
from pipeline.datalists.folders import entries_of
from pipeline.datalists.summaries import fold_table, kept_together
from pipeline.errors import DataError, Problem
from pipeline.volumes import read_image

SPLITS = ("kfold", "official", "nnunet", "70-10-20")
LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
PHASES = ("ED", "ES")
REMEDY = "Unpack the original archive again"
log = logging.getLogger("pipeline")


def build(root: str | os.PathLike, *, split: str = "kfold", folds: int = 5, seed: int = 0) -> dict[str, Any]:
    """Read ACDC's original layout and split it by patient.

    Args:
        root: the folder that holds training/ and/or testing/, or one of the two itself. Paths in the list begin with
            training/ or testing/ in either case.
        split: "kfold": the training patients in `folds` folds, stratified by group; testing/ is "testing".
            "official": the same, but both folders must be there. "nnunet": the folds of nnU-Net's ACDC script.
            "70-10-20": of the training patients 70% are fold 1, 10% fold 0 (so `fold` 0 validates on them) and 20%
            "testing", stratified by group.
        folds: number of folds; not used by "70-10-20".
        seed: of the shuffle; not used by "nnunet", which has its own.
    Returns:
        the datalist. provenance["identical_images"] lists the cases of different patients whose voxels are the same;
        such patients share a side, with a warning, except in splits that are fixed by others ("nnunet", testing/).
    Raises:
        DataError: no ACDC folder (one problem), or every missing or unreadable file of every patient.
    """
    if split not in SPLITS:
        raise DataError(Problem("split", "one of " + ", ".join(SPLITS), split, "Choose one of these"))
    cases: dict[str, list[dict[str, Any]]] = {section: [] for section in SECTIONS}
    problems = []
    for section, folder in _patients(Path(root), split):
        try:
            cases[section] += _cases(folder, section)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    training, testing = cases.values()
    identical = find_identical(root, training + testing)
    together = linked_patients(training + testing, identical)
    side, meta = _sides(training, together, split=split, folds=folds, seed=seed)
    if split == "70-10-20":
        if testing:
            left = len({item["patient"] for item in testing})
            log.warning("70-10-20 splits training/ alone: the %d patients of testing/ are in no part of the list", left)
        testing = [item for item in training if item["patient"] not in side]
    training = [item | {"fold": side[item["patient"]]} for item in training if item["patient"] in side]
    listed = {item["case"] for item in training + testing}
    identical = [same for same in identical if listed.issuperset(same)]
    datalist = {
        "name": "acdc",
        "description": "Cardiac cine MRI, short axis, end-diastole (ED) and end-systole (ES)",
        "labels": LABELS,
        "modality": "MRI",
        "reference": "Bernard et al., IEEE TMI 37(11), 2018, doi 10.1109/TMI.2018.2837502",
        "licence": "CC BY-NC-SA 4.0",
        "split": meta,
        "provenance": provenance(training + testing, identical_images=identical),
        "training": training,
        "testing": testing,
    }
    check_no_leak(datalist)
    return datalist


def find_identical(root: str | os.PathLike, cases: list[dict[str, Any]]) -> list[list[str]]:
    """Cases of different patients whose images have the same shape and the same voxel values.

    Args:
        root: as for `build`.
        cases: items with paths that begin with their section.
    Returns:
        sets of two or more case names, sorted; empty where there are none.
    Raises:
        DataError: the images that cannot be read.
    """
    from tqdm import tqdm

    by_voxels: dict[str, list[dict[str, Any]]] = {}
    problems = []
    for item in tqdm(cases, desc="comparing images", unit="file", leave=False):
        try:
            voxels = read_image(full_path(item["image"], root)).astype("float32")
        except DataError as error:
            problems += error.problems
            continue
        digest = hashlib.blake2b(voxels.tobytes(order="A"), digest_size=16).hexdigest() + str(voxels.shape)
        by_voxels.setdefault(digest, []).append(item)
    if problems:
        raise DataError(problems)
    several = (same for same in by_voxels.values() if len({item["patient"] for item in same}) > 1)
    return sorted(sorted(item["case"] for item in same) for same in several)


def summary(datalist: dict[str, Any]) -> str:
    """What is in a datalist, for people: patients, cases, a table of patients per fold and group, identical images."""
    origin = datalist["provenance"]
    lines = [f"{origin['patients']} patients, {origin['cases']} cases", *fold_table(datalist, "patient")]
    for linked in linked_patients(datalist["training"] + datalist["testing"], origin["identical_images"]):
        lines.append(f"identical images: {' and '.join(linked)} {kept_together(datalist, linked, key='patient')}")
    return "\n".join(lines)


def linked_patients(cases: list[dict[str, Any]], identical: list[list[str]]) -> list[list[str]]:
    """The patients behind sets of identical cases, each set once."""
    patient_of = {item["case"]: item["patient"] for item in cases}
    return [list(linked) for linked in sorted({tuple(sorted({patient_of[c] for c in s})) for s in identical})]


def _patients(root: Path, split: str) -> list[tuple[str, Path]]:
    """The section and the folder of each patient."""
    places = {section: _patient_folders(root / section) for section in SECTIONS}
    if not any(places.values()):
        places["testing" if root.resolve().name == "testing" else "training"] = _patient_folders(root)
    if not any(places.values()):
        layout = "ACDC's layout: training/patientNNN/Info.cfg (or testing/, or either of them itself)"
        remedy = "Give the folder that the original archive unpacks to"
        raise DataError(Problem(str(root), layout, entries_of(root), remedy))
    needed = {"official": SECTIONS, "kfold": ()}.get(split, ("training",))
    missing = [section for section in needed if not places[section]]
    if missing:
        found = "no patients in " + " and ".join(f"{name}/" for name in missing)
        raise DataError(Problem(str(root), f"{' and '.join(needed)} for the {split} split", found, "Use --split kfold"))
    return [(section, folder) for section in SECTIONS for folder in places[section]]


def _patient_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("patient[0-9]*") if path.is_dir())


def _cases(folder: Path, section: str) -> list[dict[str, Any]]:
    """A patient's two items; raises DataError for a faulty Info.cfg, or for every missing file."""
    info = _info(folder / "Info.cfg", section)
    about = {key: info[key] for key in ("group", "height", "weight") if key in info}
    cases, problems = [], []
    for phase in PHASES:
        stem = f"{folder.name}/{folder.name}_frame{info[phase]:02d}"
        paths = {"image": f"{stem}.nii.gz", "label": f"{stem}_gt.nii.gz"}
        there = {key: f"{section}/{path}" for key, path in paths.items() if (folder.parent / path).is_file()}
        for key in ("image", "label") if section == "training" else ("image",):
            if key not in there:
                kind = "mask" if key == "label" else "image"
                problems.append(Problem(str(folder.parent / paths[key]), f"the {phase} {kind}", "no such file", REMEDY))
        case = {"case": f"{folder.name}_{phase}", "patient": folder.name, "phase": phase, "frame": info[phase]}
        cases.append(there | case | about)
    if problems:
        raise DataError(problems)
    return cases


def _info(file: Path, section: str) -> dict[str, Any]:
    """ED, ES, group, height and weight; the first release of testing/ has no groups."""
    try:
        info = dict(re.findall(r"^\s*(\w+)\s*:\s*(\S+)\s*$", file.read_text(encoding="utf-8"), re.MULTILINE))
        found: dict[str, Any] = {phase: int(info[phase]) for phase in PHASES}
        if section == "training" or "Group" in info:
            found["group"] = info["Group"]
        return found | {key.lower(): float(info[key]) for key in ("Height", "Weight") if key in info}
    except OSError as error:
        expected, problem = "Info.cfg", error.strerror or str(error)
    except KeyError as error:
        expected, problem = f"a line '{error.args[0]}: ...'", "none"
    except ValueError as error:
        expected, problem = "numbers for ED, ES, Height and Weight", str(error)
    raise DataError(Problem(str(file), expected, problem, REMEDY))


def _sides(
    training: list[dict[str, Any]], together: list[list[str]], *, split: str, folds: int, seed: int
) -> tuple[dict[str, int], dict[str, Any]]:
    """The fold of each patient who has one, and what to note in the datalist's "split"."""
    group_of = {item["patient"]: item["group"] for item in training}
    patients, groups = list(group_of), list(group_of.values())
    meta: dict[str, Any] = {"method": split, "folds": folds, "seed": seed, "by": "patient", "stratify": "group"}
    if split == "nnunet":
        side = splits.nnunet_acdc_folds(patients, folds)
        meta |= {"seed": 1234, "stratify": None}
    elif split == "70-10-20":
        parts = splits.holdout(patients, groups, seed=seed, together=together)
        side = {patient: int(part == "train") for patient, part in parts.items() if part != "test"}
        meta |= {"folds": 2, "validation_fold": 0}
    else:
        side = splits.kfold(patients, groups, folds=folds, seed=seed, together=together) if patients else {}
    for linked in together:
        kept = len({side.get(patient) for patient in linked}) == 1
        said = ": kept on one side" if kept else " and LEAK: this split puts them on different sides"
        log.warning("%s have identical images%s", " and ".join(linked), said)
    return side, meta
