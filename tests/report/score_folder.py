"""Score files made by hand: what the report is tested against."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}


def score_row(case: str, structure: str, dice: float | None, **other: object) -> dict[str, object]:
    """One row of scores.csv; IoU and distances follow from the Dice, so that all columns differ."""
    fixed = {"case": case, "patient": case.split("_")[0], "phase": case.split("_")[-1], "group": "NOR"}
    numbers = {
        "dice": dice,
        "iou": None if dice is None else dice / (2 - dice),
        "pixel_error": None if dice is None else 0.05 * (1 - dice),
        "hd_mm": None if not dice else 40 * (1 - dice),
        "hd95_mm": None if not dice else 20 * (1 - dice),
    }
    counts = {"truth_ml": 80.0, "pred_ml": 81.0, "truth_voxels": 900, "pred_voxels": 910, "empty": ""}
    return {**fixed, "structure": structure, **numbers, **counts, **other}


def write_scores(folder: Path, rows: list[dict], *, slices: list[dict] | None = None, **info: object) -> Path:
    """Write scores.csv, slices.csv and scores.json as `pipeline.metrics` does."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(score_row("x_ED", "RV", 0.5))
    (folder / "cases.json").write_text("[]", encoding="utf-8")
    pd.DataFrame(rows, columns=columns).to_csv(folder / "scores.csv", index=False)
    pd.DataFrame(slices or [], columns=[*columns[:4], "slice", *columns[4:]]).to_csv(folder / "slices.csv", index=False)
    content = {
        "version": 1,
        "labels": LABELS,
        "definitions": {"dice": "2|A∩B|/(|A|+|B|).", "hd95_mm": "The larger of the two directed 95th percentiles."},
        "policy": {
            "both_empty": "undefined",
            "both_empty_text": "Absent from both: undefined, left out.",
            "missing_prediction_text": "Without a prediction: scored as empty.",
        },
        "unit": "volume",
        "provenance": {"version": "0.1.0", "command": "volseg score PRED TRUTH -o OUT", "warnings": []},
        "summary": {},  # the report derives it from the tables
        "missing": [],
        "clinical": None,
        **info,
    }
    (folder / "scores.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_volumes(folder: Path, cases: list[str], *, shape: tuple[int, ...] = (40, 30, 4)) -> None:
    """Image, label and pred of each case as NIfTI with 1.5 x 1.5 x 8 mm voxels, and cases.json."""
    entries = []
    for case in cases:
        entry: dict[str, object] = {"case": case, "patient": case, "phase": "", "group": ""}
        x, y = np.mgrid[: shape[0], : shape[1]]
        for shift, name in enumerate(("image", "label", "pred")):
            array = np.zeros(shape, np.uint8)
            array[np.hypot(x - shape[0] / 2 - shift, y - shape[1] / 2) < 8] = 2
            array[np.hypot(x - shape[0] / 2 - shift, y - shape[1] / 2) < 5] = 3
            path = folder / f"volume{len(entries)}_{name}.nii.gz"
            volume = nib.Nifti1Image(array * (60 if name == "image" else 1), np.diag([-1, -1, 1, 1]))
            volume.header["pixdim"][1:4] = 1.5, 1.5, 8
            nib.save(volume, path)
            entry[name] = str(path)
        entries.append(entry)
    (folder / "cases.json").write_text(json.dumps(entries), encoding="utf-8")
