"""ACDC's original folders (patientNNN with frames, masks and Info.cfg) as a datalist, split by patient."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.datalists import splits
from pipeline.datalists.datalist import SECTIONS, check_no_leak, files_of
from pipeline.errors import DataError, Problem

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
    places = _places(Path(root), split)
    cases, problems = {}, []
    for section in SECTIONS:
        cases[section] = []
        for folder in _patient_folders(places[section]) if section in places else []:
            found, faults = _patient(folder, section)
            cases[section] += found
            problems += faults
    if problems:
        raise DataError(problems)
    identical = find_identical(places, cases["training"] + cases["testing"])
    datalist = _split(cases, identical, split=split, folds=folds, seed=seed)
    check_no_leak(datalist)
    return datalist


def find_identical(places: dict[str, Path], cases: list[dict[str, Any]]) -> list[list[str]]:
    """Cases of different patients whose images have the same shape and the same voxel values.

    Args:
        places: the folder of each section.
        cases: items with paths that begin with their section.
    Returns:
        sets of two or more case names, sorted; empty where there are none.
    Raises:
        DataError: the images that cannot be read.
    """
    import nibabel as nib
    from tqdm import tqdm

    by_voxels: dict[str, list[dict[str, Any]]] = {}
    problems = []
    for item in tqdm(cases, desc="comparing images", unit="file", leave=False):
        section, _, rest = item["image"].partition("/")
        path = places[section] / rest
        try:
            voxels = nib.load(path).get_fdata(dtype="float32")
        except Exception as error:  # a damaged gzip or header raises one of a dozen types
            reason = f"unreadable ({type(error).__name__}: {error})"
            problems.append(Problem(str(path), "a NIfTI volume", reason, REMEDY))
            continue
        digest = hashlib.blake2b(voxels.tobytes(order="A"), digest_size=16).hexdigest() + str(voxels.shape)
        by_voxels.setdefault(digest, []).append(item)
    if problems:
        raise DataError(problems)
    return sorted(
        sorted(item["case"] for item in same)
        for same in by_voxels.values()
        if len({item["patient"] for item in same}) > 1
    )


def summary(datalist: dict[str, Any]) -> str:
    """What is in a datalist, for people: patients, cases, a table of patients per fold and group, identical images."""
    provenance = datalist["provenance"]
    lines = [f"{provenance['patients']} patients, {provenance['cases']} cases"]
    columns: dict[str, dict[str, str]] = {}
    for item in datalist["training"]:
        columns.setdefault(f"fold {item['fold']}", {})[item["patient"]] = item.get("group", "?")
    for item in datalist["testing"]:
        columns.setdefault("testing", {})[item["patient"]] = item.get("group", "?")
    groups = sorted({group for patients in columns.values() for group in patients.values()})
    width = max([len("patients"), *map(len, groups)])
    lines.append(" " * width + "".join(f"{name:>9}" for name in sorted(columns)))
    for group in groups:
        counts = [Counter(columns[name].values())[group] for name in sorted(columns)]
        lines.append(f"{group:<{width}}" + "".join(f"{count:>9}" for count in counts))
    totals = [len(columns[name]) for name in sorted(columns)]
    lines.append(f"{'patients':<{width}}" + "".join(f"{total:>9}" for total in totals))
    sides = {patient: name for name, patients in columns.items() for patient in patients}
    for linked in linked_patients(datalist["training"] + datalist["testing"], provenance["identical_images"]):
        where = sorted({sides[patient] for patient in linked})
        verb = "are kept in" if len(where) == 1 else "LEAK between"
        lines.append(f"identical images: {' and '.join(linked)} {verb} {' and '.join(where)}")
    return "\n".join(lines)


def linked_patients(cases: list[dict[str, Any]], identical: list[list[str]]) -> list[list[str]]:
    """The patients behind sets of identical cases, each set once."""
    patient_of = {item["case"]: item["patient"] for item in cases}
    return [list(linked) for linked in sorted({tuple(sorted({patient_of[c] for c in s})) for s in identical})]


def _places(root: Path, split: str) -> dict[str, Path]:
    layout = "ACDC's layout: training/patientNNN/Info.cfg (or testing/, or either of them itself)"
    remedy = "Give the folder that the original archive unpacks to"
    if not root.is_dir():
        raise DataError(Problem(str(root), layout, "no such folder", remedy))
    places = {name: root / name for name in SECTIONS if _patient_folders(root / name)}
    if not places and _patient_folders(root):
        places = {"testing" if root.resolve().name == "testing" else "training": root}
    if not places:
        entries = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
        found = ", ".join(entries[:5]) + (", ..." if len(entries) > 5 else "") or "an empty folder"
        raise DataError(Problem(str(root), layout, found, remedy))
    needed = SECTIONS if split == "official" else ("training",) if split != "kfold" else ()
    missing = [name for name in needed if name not in places]
    if missing:
        found = "no patients in " + " and ".join(f"{name}/" for name in missing)
        raise DataError(Problem(str(root), f"{' and '.join(needed)} for the {split} split", found, "Use --split kfold"))
    return places


def _patient_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("patient[0-9]*") if path.is_dir())


def _patient(folder: Path, section: str) -> tuple[list[dict[str, Any]], list[Problem]]:
    info_file = folder / "Info.cfg"
    try:
        info = dict(re.findall(r"^\s*(\w+)\s*:\s*(\S+)\s*$", info_file.read_text(encoding="utf-8"), re.MULTILINE))
        frames = {phase: int(info[phase]) for phase in PHASES}
        body = {key.lower(): float(info[key]) for key in ("Height", "Weight") if key in info}
        if section == "training":
            info["Group"]  # the first release of testing/ has none
    except OSError as error:
        return [], [Problem(str(info_file), "Info.cfg", error.strerror or str(error), REMEDY)]
    except KeyError as error:
        return [], [Problem(str(info_file), f"a line '{error.args[0]}: ...'", "none", REMEDY)]
    except ValueError as error:
        return [], [Problem(str(info_file), "numbers for ED, ES, Height and Weight", str(error), REMEDY)]
    cases, problems = [], []
    for phase, frame in frames.items():
        name = f"{folder.name}_frame{frame:02d}"
        image, label = folder / f"{name}.nii.gz", folder / f"{name}_gt.nii.gz"
        for path in (image, label):
            if not path.is_file() and (path == image or section == "training"):
                problems.append(Problem(str(path), f"the {phase} {_kind(path)}", "no such file", REMEDY))
        item = {"image": f"{section}/{folder.name}/{image.name}"}
        if label.is_file():
            item["label"] = f"{section}/{folder.name}/{label.name}"
        item |= {"case": f"{folder.name}_{phase}", "patient": folder.name, "phase": phase, "frame": frame}
        cases.append(item | ({"group": info["Group"]} if "Group" in info else {}) | body)
    return cases, problems


def _kind(path: Path) -> str:
    return "mask" if path.name.endswith("_gt.nii.gz") else "image"


def _split(
    cases: dict[str, list[dict[str, Any]]], identical: list[list[str]], *, split: str, folds: int, seed: int
) -> dict[str, Any]:
    everything = cases["training"] + cases["testing"]
    together = linked_patients(everything, identical)
    group_of = {item["patient"]: item["group"] for item in cases["training"]}
    patients, groups = list(group_of), list(group_of.values())
    meta: dict[str, Any] = {"method": split, "folds": folds, "seed": seed, "by": "patient", "stratify": "group"}
    testing = cases["testing"]
    if split == "nnunet":
        side = splits.nnunet_acdc_folds(patients, folds)
        meta |= {"seed": 1234, "stratify": None}
    elif split == "70-10-20":
        parts = splits.holdout(patients, groups, seed=seed, together=together)
        side = {patient: int(part == "train") for patient, part in parts.items() if part != "test"}
        testing = [item for item in cases["training"] if parts[item["patient"]] == "test"]
        meta |= {"folds": 2, "validation_fold": 0}
    else:
        side = splits.kfold(patients, groups, folds=folds, seed=seed, together=together) if patients else {}
    training = [item | {"fold": side[item["patient"]]} for item in cases["training"] if item["patient"] in side]
    _warn(together, side)
    return {
        "name": "acdc",
        "description": "Cardiac cine MRI, short axis, end-diastole (ED) and end-systole (ES)",
        "labels": LABELS,
        "modality": "MRI",
        "reference": "Bernard et al., IEEE TMI 37(11), 2018, doi 10.1109/TMI.2018.2837502",
        "licence": "CC BY-NC-SA 4.0",
        "split": meta,
        "provenance": _provenance(training + testing, identical),
        "training": training,
        "testing": testing,
    }


def _warn(together: list[list[str]], side: dict[str, int]) -> None:
    for linked in together:
        names = " and ".join(linked)
        if len({side.get(patient) for patient in linked}) == 1:
            log.warning("%s have identical images: kept on one side", names)
        else:
            log.warning("%s have identical images and LEAK: this split puts them on different sides", names)


def _provenance(items: list[dict[str, Any]], identical: list[list[str]]) -> dict[str, Any]:
    group_of = {item["patient"]: item.get("group", "unknown") for item in items}
    files = sorted(path for item in items for path in files_of(item))
    listed = {item["case"] for item in items}
    return {
        "program": f"volseg {__version__}",
        "patients": len(group_of),
        "cases": len(items),
        "groups": dict(sorted(Counter(group_of.values()).items())),
        "files": hashlib.sha256("\n".join(files).encode()).hexdigest(),
        "identical_images": [same for same in identical if listed.issuperset(same)],
    }
