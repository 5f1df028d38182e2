"""Cardiac volumes, ejection fractions and myocardial mass by patient, and how well two sets of them agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import DataError, Problem
from pipeline.metrics.files import records, write_files
from pipeline.metrics.labels import MEAN

# g/ml; Schulz-Menger et al., J Cardiovasc Magn Reson 22:19, 2020, doi 10.1186/s12968-020-00610-6
MYOCARDIAL_DENSITY = 1.05
CAVITIES = ("LV", "RV")
MYOCARDIUM = "MYO"
SIDES = ("truth", "pred")
PHASES = ("ED", "ES")

# The table of the ACDC challenge's own script: volume predicted, error = predicted - truth, order LV, RV, MYO.
ACDC_ORDER = ("LV", "RV", "MYO")
ACDC_CSV = "acdc.csv"


def clinical_table(cases: pd.DataFrame, *, missing: Sequence[str] = ()) -> pd.DataFrame | None:
    """One row for each patient, of truth and prediction.

    Args:
        cases: rows of scores.csv with the phases ED and ES.
        missing: cases without a prediction: their predicted volumes are undefined, not 0 ml.

    Returns:
        patient, group, {LV,RV}_{EDV,ESV}_{truth,pred}_ml, {LV,RV}_EF_{truth,pred}_percent and
        MYO_ED_mass_{truth,pred}_g, for the structures that were scored; NaN where a phase is absent or the
        end-diastolic volume is 0. None where there are no ED and ES cases of named patients or no such structure.
        Cases of no known patient, and all but the first of a patient and phase, are not in it: see `left_out`.
    """
    cases = cases[cases["patient"].astype(bool)]
    structures = set(cases["structure"])
    heart = [name for name in (*CAVITIES, MYOCARDIUM) if name in structures]
    if not heart or not set(PHASES) <= set(cases["phase"]):
        return None
    cases = cases.assign(pred_ml=cases["pred_ml"].mask(cases["case"].isin(missing)))
    table = cases.drop_duplicates("patient")[["patient", "group"]].set_index("patient", drop=False)
    keys = ["patient", "structure", "phase"]
    ml = cases.drop_duplicates(keys).set_index(keys)[["truth_ml", "pred_ml"]].astype(float).unstack(keys[1:])
    for cavity in (name for name in CAVITIES if name in heart):
        for volume, phase in (("EDV", "ED"), ("ESV", "ES")):
            for side in SIDES:
                table[f"{cavity}_{volume}_{side}_ml"] = ml[f"{side}_ml", cavity, phase]
        for side in SIDES:
            edv, esv = (table[f"{cavity}_{volume}_{side}_ml"] for volume in ("EDV", "ESV"))
            table[f"{cavity}_EF_{side}_percent"] = 100 * (edv - esv) / edv.where(edv > 0)
    for side in SIDES if MYOCARDIUM in heart else ():
        table[f"{MYOCARDIUM}_ED_mass_{side}_g"] = ml[f"{side}_ml", MYOCARDIUM, "ED"] * MYOCARDIAL_DENSITY
    return table.reset_index(drop=True)


def left_out(cases: pd.DataFrame) -> dict[str, list[str]]:
    """Why -> the ED and ES cases that `clinical_table` leaves out; empty where there is no such table."""
    if clinical_table(cases) is None:
        return {}
    hearts = cases[cases["phase"].isin(PHASES)].drop_duplicates("case")
    named = hearts["patient"].astype(bool)
    again = hearts.duplicated(["patient", "phase"]) & named
    reasons = {"no patient is known": ~named, "an earlier case is of the same patient and phase": again}
    return {why: hearts.loc[which, "case"].tolist() for why, which in reasons.items() if which.any()}


def to_json(clinical: pd.DataFrame) -> dict[str, Any]:
    """The entry "clinical" of scores.json."""
    return {"patients": records(clinical), "agreement": agreement_table(clinical)}


def agreement_table(clinical: pd.DataFrame) -> list[dict[str, Any]]:
    """`agreement` of every quantity in the table of `clinical_table`, with its name and unit."""
    rows = []
    for column in (name for name in clinical if "_truth_" in name):
        quantity, unit = column.split("_truth_")
        pred = clinical[f"{quantity}_pred_{unit}"]
        rows.append({"quantity": quantity, "unit": unit, **agreement(pred, clinical[column])})
    return rows


def agreement(pred: Sequence[float], truth: Sequence[float]) -> dict[str, float | int | None]:
    """How well predictions agree with the truth (Bland and Altman, Lancet 1986, doi 10.1016/S0140-6736(86)90837-8).

    Args:
        pred, truth: one value for each patient; a pair with an undefined (NaN) value is left out and counted.

    Returns:
        n; r (Pearson; None for n < 3 or constant values); bias (mean of pred - truth); sd (of the differences, n - 1;
        None for n < 2); loa_low and loa_high (bias ± 1.96 sd); mae (mean absolute error); undefined.
    """
    pairs = np.array([np.asarray(pred, float), np.asarray(truth, float)])
    defined = pairs[:, np.isfinite(pairs).all(0)]
    n = defined.shape[1]
    difference = defined[0] - defined[1]
    bias = float(difference.mean()) if n else None
    sd = float(difference.std(ddof=1)) if n > 1 else None
    varies = n > 2 and bool((np.ptp(defined, axis=1) > 0).all())
    return {
        "n": n,
        "r": float(np.corrcoef(defined)[0, 1]) if varies else None,
        "bias": bias,
        "sd": sd,
        "loa_low": None if sd is None else bias - 1.96 * sd,
        "loa_high": None if sd is None else bias + 1.96 * sd,
        "mae": float(np.abs(difference).mean()) if n else None,
        "undefined": pairs.shape[1] - n,
    }


def check_acdc(structures: Iterable[str], path: str | Path) -> None:
    """Raise DataError where none of the structures is called RV, MYO or LV; `path` is the table's."""
    names = [name for name in dict.fromkeys(structures) if name != MEAN]
    if not set(ACDC_ORDER) & set(names):
        remedy = "Give --labels 1=RV,2=MYO,3=LV"
        raise DataError(Problem(str(path), "structures called RV, MYO and LV", ", ".join(names), remedy))


def write_acdc_csv(cases: pd.DataFrame, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write the table that the ACDC challenge's own script writes: Name, Dice LV, Volume LV, Err LV(ml), ...

    Volumes are the prediction's, in ml; Err is prediction minus truth. Structures not scored give empty cells.

    Raises:
        DataError: the file exists and `overwrite` is false, or no structure is called RV, MYO or LV.
    """
    path = Path(path)
    check_acdc(cases["structure"], path)
    table = pd.DataFrame({"Name": list(dict.fromkeys(cases["case"]))})
    for structure in ACDC_ORDER:
        rows = cases[cases["structure"] == structure].set_index("case").reindex(table["Name"])
        table[f"Dice {structure}"] = rows["dice"].to_numpy()
        table[f"Volume {structure}"] = rows["pred_ml"].to_numpy()
        table[f"Err {structure}(ml)"] = (rows["pred_ml"] - rows["truth_ml"]).to_numpy()
    content = table.to_csv(index=False, float_format="%.6g")
    write_files(path.parent, {path.name: content}, overwrite=overwrite)
    return path
