"""Files that are odd but usable: `volseg check` warns and ends with 0."""

from __future__ import annotations

import dirty_set
import pytest
from checked_set import CHECK, check_all
from dirty_set import header, one, voxels
from faults import Row, row

OFTEN = [f"good-{number}" for number in range(40)]
ODD = "told as a warning; the case is used"


def odd(id, what, message, spoil, *, outcome=ODD, file=None):
    """A row about a case that is odd but usable."""
    message = f"{file or f'images/{id}.nii.gz'}{message}" if message else "no problems"
    return row(id, what, CHECK, outcome, message, spoil, exit_code=0)


WARNINGS = [
    odd(
        *(
            "two-forms",
            "sform and qform that disagree",
            ": expected one grid in sform and qform, found corners up to 20",
        ),
        dirty_set.two_forms,
    ),
    odd("one-bit", "one bit of the header's size changed", "", header(0, "<i", 349), outcome="read as it is meant"),
    odd("slope-inf", "an infinite scale", "", header(112, "<2f", float("inf"), 1), outcome="read without a scale"),
    odd("minus", "a negative spacing", "", header(80, "<f", -1.5), outcome="read as 1.5 mm, as all readers do"),
    odd("values", "a value of two million", ": expected intensities of a scanner", voxels(one(2e6))),
    odd("spacing", "1 x 1 x 1 mm where others are not", ": expected a measured spacing", dirty_set.one_millimetre),
    odd(
        "mask-as-image", "an image with four values", ": expected an image in grey levels", voxels(lambda old: old % 4)
    ),
    odd(
        *("no-rv", "a mask without one structure", ": expected voxels of RV, found none."),
        voxels(lambda old: old * (old != 1), "label"),
        file="labels/no-rv.nii.gz",
    ),
    odd(
        *("tiny", "a structure of one voxel", ": expected 10 voxels of RV or more, found 1."),
        voxels(dirty_set.one_of_first, "label"),
        file="labels/tiny.nii.gz",
    ),
    odd(
        *("twins", "one image twice on one side of the split", "-again.nii.gz: expected an image of its own"),
        dirty_set.same_image(fold=0),
        file="images/twins",
    ),
]


@pytest.fixture(scope="module")
def warned(tmp_path_factory):
    return check_all(tmp_path_factory.mktemp("odd"), OFTEN, WARNINGS)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "spoil"), WARNINGS)
def test_oddities_are_warnings(row: Row, spoil, warned):
    code, output, found = warned
    row.check(code, output)
    assert found["problems"] == []
