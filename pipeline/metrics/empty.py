"""What a score is worth where a structure is absent from the truth, the prediction or both."""

from __future__ import annotations

from enum import StrEnum


class MissingPolicy(StrEnum):
    """What a case counts for which no prediction was found."""

    ZERO = "zero"
    SKIP = "skip"


BOTH, TRUTH, PRED, NEITHER = "both", "truth", "pred", ""

EMPTY = {
    "both_empty": "undefined",
    "both_empty_text": "Structure absent from truth and prediction: undefined: an empty cell, left out of the means and"
    " counted.",
    "one_empty_text": "Structure absent from only one of the two: Dice and IoU are 0, surface distances"
    " are undefined and counted as missed (prediction empty) or false (truth empty).",
}
MISSING = {
    MissingPolicy.ZERO: "A case without a prediction is scored as an empty mask: Dice and IoU 0,"
    " surface distances undefined.",
    MissingPolicy.SKIP: "A case without a prediction is left out of all tables and listed as missing.",
}


def which_is_empty(*, truth_voxels: int, pred_voxels: int) -> str:
    """The column `empty` of the score tables: "both", "truth", "pred" or "" (neither mask is empty)."""
    if truth_voxels:
        return NEITHER if pred_voxels else PRED
    return TRUTH if pred_voxels else BOTH


def describe(missing: MissingPolicy) -> dict[str, str]:
    """The policy in words and enum values, as scores.json and the report state it."""
    return {**EMPTY, "missing_prediction": missing.value, "missing_prediction_text": MISSING[missing]}
