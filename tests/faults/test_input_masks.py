"""Masks that do not fit their images, and patients on two sides of a split, told by one call of `volseg check`."""

from __future__ import annotations

import dirty_set
import numpy as np
from checked_set import (  # noqa: F401 - the fixture and the tests of ROWS are collected here
    AGAIN,
    checked,
    of,
    pytest_generate_tests,
    test_each_fault_is_told,
    test_good_cases_are_not_accused,
)
from dirty_set import content, header, listed, moved_by, one, renamed, voxels


def mask(id, what, message, spoil, **options):
    """A row about the label of the case of this name."""
    return of(id, what, message, spoil, **{"file": f"labels/{id}.nii.gz", **options})


LABELS = [
    mask(
        *("mask-truncated", "a truncated mask"),
        f": expected a complete and undamaged gzip stream, found a truncated one. {AGAIN}",
        content(lambda old: old[:-20], "label"),
    ),
    mask(
        *("mask-shape", "a mask of another shape", ": expected the shape 12 x 11 x 5 of"),
        voxels(lambda old: old[..., :4], "label"),
    ),
    mask(
        *("mask-shift", "a mask 1.5 mm beside its image", ": expected the grid of"),
        moved_by(dirty_set.shifted, "label"),
    ),
    mask(
        *("mask-flip", "a mask whose first axis is turned round", ": expected the grid of"),
        moved_by(dirty_set.flipped, "label"),
    ),
    mask(
        *("mask-pixdim", "a mask that lost its spacing (pixdim)", ": expected the grid of"),
        header(80, "<3f", 1, 1, 1, which="label"),
    ),
    mask(
        *("mask-time", "a mask with a time axis", ": expected a label map with three axes"),
        voxels(lambda old: np.stack([old] * 2, -1), "label"),
    ),
    mask(
        *("mask-fractions", "an interpolated mask", ": expected whole label numbers, found voxels 1 with fractions."),
        voxels(one(1.5), "label"),
    ),
    mask(
        *("mask-nan", "NaN in a mask", ": expected whole label numbers, found voxels 1 NaN or infinite."),
        voxels(one(np.nan), "label"),
    ),
    mask(
        *("mask-foreign", "a number that no structure has", ": expected only the labels 0, 1, 2, 3, found also 7."),
        voxels(one(7, np.uint8), "label"),
    ),
    mask(
        *("mask-negative", "a negative number", ": expected label numbers from 0 to 255, found -1."),
        voxels(one(-1, np.int16), "label"),
    ),
    mask(
        *(
            "mask-large",
            "a number that does not fit into a byte",
            ": expected label numbers from 0 to 255, found 1000.",
        ),
        voxels(one(1000, np.int16), "label"),
    ),
    mask(
        *("mask-image", "the image in the place of the mask", ": expected label numbers, found more than 256"),
        lambda case: dirty_set.save(case.label, case.voxels + 1),
    ),
    mask(
        *(
            "mask-self",
            "one file named as image and as mask",
            ": expected an image and its mask, found one file named as",
        ),
        lambda case: case.item.update(label=case.item["image"]),
        file="images/mask-self.nii.gz",
    ),
    mask(
        *("mask-jpeg", "a mask saved as JPEG", ": expected a mask with exact label numbers, found JPEG"),
        renamed("mask.jpg", dirty_set.picture("L"), "label"),
        file="labels/mask.jpg",
    ),
    mask(
        *("mask-colour", "a mask in colours", ": expected a mask of label numbers, found a colour picture."),
        renamed("colour.png", dirty_set.picture("RGB"), "label"),
        file="labels/colour.png",
    ),
    mask(
        *("mask-structures", "an item whose structures leave one of the list's out", ": expected a mask of MYO"),
        listed(structures={"RV": [1], "LV": [3]}),
    ),
    mask("mask-missing", "a mask that is not there", ": expected a file, since", lambda case: case.label.unlink()),
]
SETS = [
    of(
        *(
            "image-twice",
            "one image in two folds",
            "-again.nii.gz: expected an image that no other side of the split has",
        ),
        dirty_set.same_image(fold=1),
        file="images/image-twice",
    ),
    of(
        *("patient-twice", "a patient in two folds", ": expected one fold, found folds 0, 1."),
        dirty_set.same_patient,
        file="patient-twice",
    ),
    of(
        *("patient-tested", "a patient in training and testing", ": expected training or testing, found both."),
        dirty_set.tested_patient,
        file="patient-tested",
    ),
]
ROWS = [*LABELS, *SETS]
