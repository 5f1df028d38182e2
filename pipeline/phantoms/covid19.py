"""Synthetic COVID-19 CT in the layout of each public collection: for the demo, the tests, and whoever lacks them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.phantoms.covid19_layouts import LAYOUTS, SLICES, TOPS, unmasked
from pipeline.phantoms.folder import check_folder

NAME = "covid19_phantoms"
SIZES = ("full", "small", "ct")


def write(
    out: str | os.PathLike,
    *,
    layout: str = "covid-19-ct-seg",
    patients: int = 6,
    seed: int = 0,
    size: str = "full",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write synthetic patients in the layout of one collection, and their datalist as OUT/datalist.json.

    The same arguments give the same files. What each layout holds stands with its function in covid19_layouts.

    Args:
        out: the folder to write to; it is made.
        layout: covid-19-ct-seg, mosmed, covid-19-20, medicalsegmentation or covid-semiseg.
        patients: how many scans, 2 to 99; where a layout consists of single slices, four times as many of these.
        seed: of everything random.
        size: "full" (256x256x40-80 voxels; slices 190-512 pixels wide), "small" (about 70x70x16-24; 64-96 pixels),
            for tests, or "ct": one patient of covid-19-ct-seg on 512x512x400 voxels, whatever `patients` says.
        overwrite: replace phantoms that are there already; other data is never replaced.
    Returns:
        the datalist: five folds or, where fewer patients have masks, as many; the scan of "ct" is in "testing".
    Raises:
        DataError: an argument out of range, or OUT holds data already.
    """
    out = Path(out)
    _check(out, layout=layout, patients=patients, size=size, overwrite=overwrite)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".phantoms.", dir=out) as temporary:
        datalist = _write_all(Path(temporary), layout=layout, patients=patients, seed=seed, size=size)
        for name in TOPS:
            _remove(out / name)
        for path in sorted(Path(temporary).iterdir()):
            os.replace(path, out / path.name)
    return datalist


def _check(out: Path, *, layout: str, patients: int, size: str, overwrite: bool) -> None:
    problems = []
    if layout not in LAYOUTS:
        problems.append(Problem("layout", "one of " + ", ".join(LAYOUTS), str(layout), "Choose one of these"))
    if not 2 <= patients <= 99:
        problems.append(Problem("patients", "2 to 99", str(patients), "Choose another number"))
    if size not in SIZES or (size == "ct" and layout in LAYOUTS and layout != "covid-19-ct-seg"):
        expected = "full or small" if size == "ct" else "full, small or ct"
        remedy = "The size ct is one of layout covid-19-ct-seg" if size == "ct" else "Choose one of these"
        problems.append(Problem("size", expected, str(size), remedy))
    problems += check_folder(out, TOPS, name=NAME, overwrite=overwrite)
    if problems:
        raise DataError(problems)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_all(out: Path, *, layout: str, patients: int, seed: int, size: str) -> dict[str, Any]:
    from tqdm import tqdm

    count = 1 if size == "ct" else patients
    writing = LAYOUTS[layout](out, patients=count, seed=seed, size=size)
    total = {"medicalsegmentation": (SLICES + 1) * count, "covid-semiseg": (SLICES + 1) * count}.get(layout, count)
    for _ in tqdm(writing, total=total, desc="writing phantoms", unit="scan"):
        pass
    return _list(out, layout=layout, patients=count, seed=seed, size=size)


def _list(out: Path, *, layout: str, patients: int, seed: int, size: str) -> dict[str, Any]:
    from pipeline.datalists import save_datalist
    from pipeline.datalists.covid19 import TARGETS, build

    if size == "ct":
        datalist = {"labels": TARGETS["both"], "modality": "CT", "provenance": {}, "training": [], "testing": [_ct()]}
    else:
        target = "both" if layout == "covid-19-ct-seg" else "infection"
        folds = min(5, patients - unmasked(layout, patients))
        datalist = build(out, target=target, folds=folds, seed=seed)
    datalist |= {
        "name": NAME,
        "description": f"Synthetic chest CT with infections in the layout {layout}; no patient's data",
        "reference": f"written by `volseg phantom covid19 --layout {layout}`",
        "licence": "CC0-1.0",
    }
    datalist["provenance"]["phantoms"] = {"layout": layout, "patients": patients, "seed": seed, "size": size}
    save_datalist(datalist, out / "datalist.json")
    return datalist


def _ct() -> dict[str, Any]:
    """The one large scan: nothing to train on, so it is there to be tested on."""
    case = "coronacases_001"
    folders = {"image": "COVID-19-CT-Seg_20cases", "label": "Lung_and_Infection_Mask"}
    files = {key: f"{folder}/{case}.nii.gz" for key, folder in folders.items()}
    structures = {"lungs": [1, 2, 3], "infection": [3]}
    return files | {"structures": structures, "case": case, "patient": case, "group": "coronacases"}
