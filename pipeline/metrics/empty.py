"""What a score is worth where a structure is absent from the truth, the prediction or both."""

from __future__ import annotations

from enum import StrEnum


class EmptyPolicy(StrEnum):
    """The value of Dice and IoU where neither truth nor prediction holds the structure.

    Where only one of the two holds it there is nothing to choose: Dice and IoU are 0 by their formulas.
    Surface distances need two surfaces, so they are undefined in all three situations, never 0.
    """

    UNDEFINED = "undefined"
    ZERO = "zero"
    ONE = "one"

    @property
    def value_if_both_empty(self) -> float:
        """NaN, 0 or 1."""
        return {"undefined": float("nan"), "zero": 0.0, "one": 1.0}[self.value]


class MissingPolicy(StrEnum):
    """What a case counts for which no prediction was found."""

    ZERO = "zero"
    SKIP = "skip"


BOTH, TRUTH, PRED, NEITHER = "both", "truth", "pred", ""


def which_is_empty(*, truth_voxels: int, pred_voxels: int) -> str:
    """The column `empty` of the score tables: "both", "truth", "pred" or "" (neither mask is empty)."""
    if truth_voxels:
        return NEITHER if pred_voxels else PRED
    return TRUTH if pred_voxels else BOTH


def describe(policy: EmptyPolicy, missing: MissingPolicy) -> dict[str, str]:
    """The policy in words and enum values, as scores.json and the report state it."""
    both = {
        EmptyPolicy.UNDEFINED: "undefined: an empty cell, left out of the means and counted",
        EmptyPolicy.ZERO: "Dice and IoU are 0",
        EmptyPolicy.ONE: "Dice and IoU are 1",
    }[policy]
    absent = {
        MissingPolicy.ZERO: "A case without a prediction is scored as an empty mask: Dice and IoU 0,"
        " surface distances undefined.",
        MissingPolicy.SKIP: "A case without a prediction is left out of all tables and listed as missing.",
    }[missing]
    return {
        "both_empty": policy.value,
        "missing_prediction": missing.value,
        "both_empty_text": f"Structure absent from truth and prediction: {both}.",
        "one_empty_text": "Structure absent from only one of the two: Dice and IoU are 0, surface distances"
        " are undefined and counted as missed (prediction empty) or false (truth empty).",
        "missing_prediction_text": absent,
    }
