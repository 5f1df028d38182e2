"""Masks, structures and places that `volseg score` refuses."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest
from dirty_set import Case, shifted
from faults import Row, row, volseg
from preflight_set import affine, save

REFUSED = "refused"
SCORE = "volseg score MASKS LIST"


def save_mask(root, change=lambda voxels: voxels, matrix=None, cut=None):
    """The masks of both cases, that of "a" changed."""
    for name in "ab":
        case = Case(root, name)
        case.image.unlink()
        case.label.rename(root / f"{name}.nii.gz")
    save(root / "a.nii.gz", change(case_mask(root / "a.nii.gz")), matrix)
    if cut:
        (root / "a.nii.gz").write_bytes((root / "a.nii.gz").read_bytes()[:-cut])


def case_mask(path):
    return np.asarray(nib.load(path).dataobj)


SCORES = [
    row(
        *(
            "score-fold",
            "a fold that no case is in",
            f"{SCORE} --fold 7",
            REFUSED,
            "expected items of fold 7, found folds 0.",
        ),
        *(["--fold", 7], {}),
    ),
    row(
        *(
            "score-section",
            "a section that is none",
            f"{SCORE} --section x",
            REFUSED,
            "section: expected training or testing, found 'x'",
        ),
        *(["--section", "x"], {}),
    ),
    row(
        *(
            "score-empty",
            "a section without cases",
            f"{SCORE} --section testing",
            REFUSED,
            "expected items in 'testing'",
        ),
        *(["--section", "testing"], {}),
    ),
    row(
        *(
            "score-none",
            "a folder without masks",
            SCORE,
            REFUSED,
            "masks: expected masks of the 2 cases such as a, found none.",
        ),
        *([], None),
    ),
    row(
        *("score-labels", "labels that are none", f"{SCORE} --labels 1=", REFUSED, "1=: expected labels such as 1=RV"),
        *(["--labels", "1="], {}),
    ),
    row("score-lesions", "no such structure", f"{SCORE} --lesions x", REFUSED, "expected", ["--lesions", "x"], {}),
    row("score-there", "scores that exist", SCORE, "refused, kept as they are", "scores.csv", [], {"there": True}),
    row(
        "score-truncated",
        "a truncated mask",
        SCORE,
        REFUSED,
        "expected a complete file, found a truncated one",
        [],
        {"cut": 20},
    ),
    row(
        *("score-shape", "a mask of another shape", SCORE, REFUSED, "a.nii.gz: expected"),
        *([], {"change": lambda voxels: voxels[..., :4]}),
    ),
    row(
        "score-shift",
        "a mask 1.5 mm beside the truth",
        SCORE,
        REFUSED,
        "a.nii.gz: expected",
        [],
        {"matrix": shifted(affine())},
    ),
    row(
        *("score-fractions", "a mask with fractions", SCORE, REFUSED, "a.nii.gz: expected"),
        *([], {"change": lambda voxels: voxels * np.float32(0.5)}),
    ),
    row(
        *("score-foreign", "a mask with a number of no structure", SCORE, REFUSED, "a.nii.gz: expected"),
        *([], {"change": lambda voxels: voxels + np.uint8(9)}),
    ),
]


@pytest.mark.parametrize(("row", "arguments", "masks"), SCORES)
def test_score(row: Row, arguments, masks, small_list, tmp_path):
    root, datalist = small_list
    (tmp_path / "list.json").write_text(json.dumps(datalist))
    (tmp_path / "masks").mkdir()
    there = (masks or {}).pop("there", False)
    if masks is not None:
        save_mask(tmp_path / "masks", **masks)
    if there:
        (tmp_path / "scores").mkdir()
        (tmp_path / "scores" / "scores.csv").write_text("mine")
    command = ["score", "masks", "list.json", "-o", "scores", "--dataset-dir", root, *arguments]
    row.check(*volseg(*command, cwd=tmp_path))
    assert there == (tmp_path / "scores" / "scores.csv").exists()
    assert not there or (tmp_path / "scores" / "scores.csv").read_text() == "mine"
