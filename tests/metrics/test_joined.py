"""Scores of separate sets of cases, joined: the same as if all had been scored at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.metrics.scores import Scores, joined, read_scores
from pipeline.metrics.scoring import score_cases

BOTH = {"lungs": [1, 2], "infection": [2]}
PLACES = {"a_ED": (3, 4), "a_ES": (3, 6), "b_ED": (10, 10), "b_ES": (0, 4), "c_ED": (5, None)}


def chest(first: int) -> np.ndarray:
    """A lung of 12 x 6 x 2 voxels with an infection of 2 x 2 x 1 that begins at `first`."""
    labels = np.zeros((16, 8, 4), np.uint8)
    labels[1:15, 1:7, 1:3] = 1
    labels[first : first + 2, 2:4, 1] *= 2
    return labels


@pytest.fixture
def score(tmp_path, save_mask):
    """score(names): the scores of these cases, of which c_ED has no prediction."""

    def make(names: list[str], **options: object) -> Scores:
        cases = []
        for name in names:
            truth, pred = PLACES[name]
            case = {"case": name, "patient": name[0], "phase": name[-2:]}
            case["label"] = case["image"] = str(save_mask(tmp_path / f"{name}_gt.nii.gz", chest(truth)))
            if pred is not None:
                case["pred"] = str(save_mask(tmp_path / f"{name}.nii.gz", chest(pred)))
            cases.append(case)
        return score_cases(cases, BOTH, lesions={"infection": "lungs"}, progress=False, **options)

    return make


def test_joined_scores_are_those_of_all_cases_at_once(score, tmp_path: Path) -> None:
    whole = score(list(PLACES))
    parts = [score(["a_ED", "a_ES"]), score(["b_ED", "b_ES", "c_ED"])]
    found = joined(parts, provenance=whole.provenance)
    assert found.to_json() == whole.to_json()
    for table in ("cases", "slices"):
        pd.testing.assert_frame_equal(getattr(found, table), getattr(whole, table), check_dtype=False)
    assert found.files == whole.files
    read = joined([read_scores(part.write(tmp_path / str(i))) for i, part in enumerate(parts)])
    assert read.mean("dice", "infection") == pytest.approx(whole.mean("dice", "infection"), rel=1e-6)
    assert read.lesions.summary[0]["detected"] == whole.lesions.summary[0]["detected"] > 0


def test_a_case_counts_once(score) -> None:
    with pytest.raises(DataError, match=r"a_ES: expected a case of one of them, found two") as caught:
        joined([score(["a_ED", "a_ES"]), score(["a_ES", "b_ED"])])
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("rule", "other"), [("labels", {"lungs": 1}), ("policy", {"missing": "skip"}), ("length_unit", "px")]
)
def test_scores_by_different_rules_are_not_joined(score, rule: str, other: object) -> None:
    first = score(["a_ED"])
    with pytest.raises(DataError, match=f"scores to be joined: {rule}"):
        joined([first, replace(score(["b_ED"]), **{rule: other})])
