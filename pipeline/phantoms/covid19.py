"""Synthetic COVID-19 CT in the layout of each public collection: for the demo, the tests, and whoever lacks them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import Problem
from pipeline.phantoms.covid19_layouts import LAYOUTS, SLICES, TOPS, unmasked
from pipeline.phantoms.folder import write_phantoms

CT = {
    "image": "COVID-19-CT-Seg_20cases/coronacases_001.nii.gz",
    "label": "Lung_and_Infection_Mask/coronacases_001.nii.gz",
    "structures": {"lungs": [1, 2, 3], "infection": [3]},
    "case": "coronacases_001",
    "patient": "coronacases_001",
    "group": "coronacases",
}


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
    settings = {"layout": layout, "patients": 1 if size == "ct" else patients, "seed": seed, "size": size}
    problems = _problems(layout, patients, size)
    own = {"name": "covid19_phantoms", "tops": TOPS}
    draw = partial(_draw, **settings)
    return write_phantoms(Path(out), draw, **own, settings=settings, problems=problems, overwrite=overwrite)


def _problems(layout: str, patients: int, size: str) -> list[Problem]:
    problems = []
    if layout not in LAYOUTS:
        problems.append(Problem("layout", "one of " + ", ".join(LAYOUTS), str(layout), "Choose one of these"))
    if not 2 <= patients <= 99:
        problems.append(Problem("patients", "2 to 99", str(patients), "Choose another number"))
    if size == "ct" and layout in LAYOUTS and layout != "covid-19-ct-seg":
        problems.append(Problem("size", "full or small", size, "The size ct is one of layout covid-19-ct-seg"))
    elif size not in ("full", "small", "ct"):
        problems.append(Problem("size", "full, small or ct", str(size), "Choose one of these"))
    return problems


def _draw(out: Path, *, layout: str, patients: int, seed: int, size: str) -> dict[str, Any]:
    from tqdm import tqdm

    from pipeline.datalists.covid19 import TARGETS, build

    total = patients * (SLICES + 1 if layout in ("medicalsegmentation", "covid-semiseg") else 1)
    writing = LAYOUTS[layout](out, patients=patients, seed=seed, size=size)
    for _ in tqdm(writing, total=total, desc="writing phantoms", unit="scan"):
        pass
    if size == "ct":  # one scan: nothing to train on, so it is there to be tested on
        datalist = {"labels": TARGETS["both"], "modality": "CT", "provenance": {}, "training": [], "testing": [CT]}
    else:
        target = "both" if layout == "covid-19-ct-seg" else "infection"
        datalist = build(out, target=target, folds=min(5, patients - unmasked(layout, patients)), seed=seed)
    return datalist | {
        "description": f"Synthetic chest CT with infections in the layout {layout}; no patient's data",
        "reference": f"written by `volseg phantom covid19 --layout {layout}`",
    }
