"""Small pieces go, the rest stays to the voxel."""

import numpy as np
import torch
from monai.data import MetaTensor

from pipeline.transforms import RemoveSmallComponentsd

BOTH = {"lungs": [1, 2], "infection": [2]}


def mask():
    array = np.zeros((20, 12, 8), np.uint8)
    array[1:11, 1:11, 1:7] = 1  # lungs, 600 voxels
    array[2:6, 2:6, 2:5] = 2  # a lesion of 48
    array[8, 8, 3] = 2  # one of 1
    array[14:16, 2:4, 2:4] = 1  # a stray piece of 8
    return array


def cleaned(array, ml, spacing=(1.0, 1.0, 1.0)):
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    pred = MetaTensor(torch.from_numpy(array)[None], affine=affine)
    return RemoveSmallComponentsd("pred", BOTH, ml)({"pred": pred})["pred"][0].numpy()


def test_pieces_below_the_volume_go_and_lungs_stay_behind_a_lesion():
    wanted = mask()
    wanted[8, 8, 3] = 1
    wanted[14:16, 2:4, 2:4] = 0
    assert np.array_equal(cleaned(mask(), 0.009), wanted)
    assert np.array_equal(cleaned(mask(), 0.0), mask())


def test_the_volume_is_in_millilitres():
    assert cleaned(mask(), 0.008)[14, 2, 2] == 1, "8 voxels of 1 mm3 are 0.008 ml"
    assert cleaned(mask(), 0.03, spacing=(1, 1, 5))[14, 2, 2] == 1, "and of 5 mm3 0.04 ml"
    assert cleaned(mask(), 0.05, spacing=(1, 1, 5))[14, 2, 2] == 0


def test_pieces_that_touch_by_a_corner_are_one():
    array = np.zeros((6, 6, 6), np.uint8)
    array[1:3, 1:3, 1:3] = array[3:5, 3:5, 3:5] = 1
    assert cleaned(array, 0.016).sum() == 16
    assert cleaned(array, 0.017).sum() == 0
