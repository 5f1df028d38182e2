"""Score files made by hand: what the report is tested against."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

METRICS = ("dice", "iou", "pixel_error", "hd_mm", "hd95_mm")
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


def summarise(rows: list[dict], key: str | None = None) -> list[dict]:
    """The summary rows of scores.json by the statistics module alone."""
    groups: dict[tuple, list] = {}
    for row in rows:
        for metric in METRICS:
            groups.setdefault((row[key] if key else "", row["structure"], metric), []).append(row.get(metric))
    summary = []
    for (level, structure, metric), values in groups.items():
        defined = [value for value in values if value is not None]
        entry = {"structure": structure, "metric": metric, "n": len(defined), "undefined": len(values) - len(defined)}
        entry["mean"] = statistics.mean(defined) if defined else None
        entry["sd"] = statistics.stdev(defined) if len(defined) > 1 else None
        entry["median"] = statistics.median(defined) if defined else None
        entry["min"], entry["max"] = (min(defined), max(defined)) if defined else (None, None)
        summary.append({**entry, **({key: level} if key else {})})
    return summary


def write_scores(folder: Path, rows: list[dict], *, slices: list[dict] | None = None, **info: object) -> Path:
    """Write scores.csv, slices.csv and scores.json as `pipeline.metrics` does."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(score_row("x_ED", "RV", 0.5))
    pd.DataFrame(rows, columns=columns).to_csv(folder / "scores.csv", index=False)
    pd.DataFrame(slices or [], columns=[*columns[:4], "slice", *columns[4:]]).to_csv(folder / "slices.csv", index=False)
    content = {
        "version": 1,
        "labels": LABELS,
        "definitions": {"dice": "2|A∩B|/(|A|+|B|).", "hd95_mm": "The larger of the two directed 95th percentiles."},
        "policy": {"both_empty": "undefined", "both_empty_text": "Absent from both: undefined, left out."},
        "unit": "volume",
        "provenance": {"version": "0.1.0", "command": "volseg score PRED TRUTH -o OUT"},
        "summary": {
            "overall": summarise(rows),
            "by_phase": summarise(rows, "phase"),
            "by_group": summarise(rows, "group"),
            "slices": summarise(slices or []),
        },
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


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes lines (dicts or raw text) into RUN/log.jsonl and returns its path."""

    def write(*lines: dict | str) -> Path:
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (run / "log.jsonl").write_text(text, encoding="utf-8")
        return run / "log.jsonl"

    return write
