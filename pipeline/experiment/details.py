"""What the score files do not tell and the paper's claims need: the background's scores, and errors by their distance
from the edges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pipeline.files import write_text
from pipeline.metrics import overlap
from pipeline.metrics.files import to_csv
from pipeline.metrics.labels import Labels, classes_of, compact, members_of
from pipeline.metrics.masks import Mask, read_pred, read_truth
from pipeline.metrics.scores import Scores
from pipeline.volumes import slice_axis

BACKGROUND = "background"
WORDS = ("case", "patient", "unit", "structure", "band")  # columns of text; a case may be called 001 or NA
EDGES = (3.0, 10.0)  # mm, or pixels of pictures without millimetres
BANDS = ("near", "middle", "far")


def background_table(folder: Path, scores: Scores) -> pd.DataFrame:
    """Dice and IoU of the background: a row for each case ("volumes") and each of its slices ("slices").

    Columns case, patient, unit, slice (-1 for volumes), structure, dice, iou; undefined where it is in neither mask.
    Read from `folder`/background.csv, which is written where it is absent or older than the scores.
    """
    return _cached(folder, "background.csv", scores, _background_rows)


def band_table(folder: Path, scores: Scores) -> pd.DataFrame:
    """Wrong and all pixels of each case by their distance from the nearest edge of the truth in their slice.

    Columns case, patient, band (of `BANDS`: up to 3 mm, up to 10 mm, beyond), wrong, all. Distances are those between
    pixel centres, from a pixel to the nearest one with another label; a slice without edges is "far". Pictures count
    in pixels. Read from `folder`/bands.csv, which is written where it is absent or older than the scores.
    """
    return _cached(folder, "bands.csv", scores, _band_rows)


def background_members(structures: Labels) -> np.ndarray:
    """`members_of` with one more row, the first, for what is in no structure; (structures + 1, classes) booleans."""
    members = members_of(structures)
    return np.concatenate([~members.any(0)[None], members])


def edge_distance(truth: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Distance of every pixel (X, Y) to the nearest one with another label; infinite where all labels are equal."""
    import edt

    labels = np.asfortranarray(truth.astype(np.uint8) + 1)  # the background is a label like the others
    distance = edt.edt(labels, anisotropy=spacing, black_border=False)
    return np.where((labels == labels.flat[0]).all(), np.inf, distance)


def _background_rows(truth: Mask, pred: Mask, scores: Scores) -> Iterator[dict[str, Any]]:
    members = background_members(scores.labels)
    maps = (compact(mask.array, scores.labels) for mask in (pred, truth))
    across = slice_axis(truth.spacing, truth.shape)
    tables = overlap.slice_confusions(*(np.moveaxis(own, across, -1) for own in maps), len(classes_of(scores.labels)))
    whole = tables.sum(0, keepdims=True)
    for unit, counts in (("volumes", whole), ("slices", tables)):
        dice, iou = (measure(counts, members)[:, 0] for measure in (overlap.dice, overlap.iou))
        for index in range(len(counts)):
            place = index if unit == "slices" else -1
            yield {"unit": unit, "slice": place, "structure": BACKGROUND, "dice": dice[index], "iou": iou[index]}


def _band_rows(truth: Mask, pred: Mask, scores: Scores) -> Iterator[dict[str, Any]]:
    across = slice_axis(truth.spacing, truth.shape)
    spacing = np.delete(truth.spacing, across) if scores.length_unit == "mm" else np.ones(2)
    wrong, count = np.zeros(len(BANDS), int), np.zeros(len(BANDS), int)
    for truth_slice, pred_slice in zip(*(np.moveaxis(mask.array, across, 0) for mask in (truth, pred)), strict=True):
        band = np.digitize(edge_distance(truth_slice, tuple(spacing.tolist())), EDGES, right=True)
        differs = truth_slice != pred_slice
        wrong += np.bincount(band[differs], minlength=len(BANDS))
        count += np.bincount(band.ravel(), minlength=len(BANDS))
    for name, errors, pixels in zip(BANDS, wrong.tolist(), count.tolist(), strict=True):
        yield {"band": name, "wrong": errors, "all": pixels}


def _cached(folder: Path, name: str, scores: Scores, rows_of: Any) -> pd.DataFrame:
    path = folder / name
    if not path.is_file() or path.stat().st_mtime < (folder / "scores.json").stat().st_mtime:
        entries = [entry for entry in scores.files if entry.get("pred")]
        rows = []
        for entry in tqdm(entries, desc=f"{folder.parent.name}: {path.stem}", leave=False):
            truth, pred = read_truth(entry, scores.labels), read_pred(entry["pred"], scores.labels)
            who = {"case": entry["case"], "patient": entry.get("patient", "") or entry["case"]}
            rows += [{**who, **row} for row in rows_of(truth, pred, scores)]
        write_text(path, to_csv(pd.DataFrame(rows)), overwrite=True)
    words = dict.fromkeys(WORDS, str)
    return pd.read_csv(path, dtype=words, keep_default_na=False, na_values={c: [""] for c in ("dice", "iou")})
