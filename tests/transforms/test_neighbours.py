"""Neighbouring slices as channels."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from pipeline.transforms import NeighbourSlicesd, RandUpsideDownd, slice_by_slice

STACK = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # two channels, five slices


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_slice_gets_its_neighbours_in_order_and_the_ends_are_repeated(count):
    out = NeighbourSlicesd("image", count)({"image": STACK})["image"]
    assert out.shape == (2 * (2 * count + 1), 3, 4, 5)
    for z in range(5):
        for place, step in enumerate(range(-count, count + 1)):
            expected = STACK[..., min(max(z + step, 0), 4)]
            assert torch.equal(out[2 * place : 2 * place + 2, ..., z], expected)


def test_no_neighbours_and_a_single_slice():
    assert NeighbourSlicesd("image", 0)({"image": STACK})["image"] is STACK
    single = NeighbourSlicesd("image", 1)({"image": STACK[..., 2:3]})["image"]
    assert torch.equal(single, torch.cat([STACK[..., 2:3]] * 3))


def test_slice_by_slice_holds_the_same_values_with_each_slice_together():
    out = slice_by_slice(STACK)
    assert torch.equal(out, STACK)
    assert out[..., 2].is_contiguous()
    assert not STACK[..., 2].is_contiguous()


def test_where_the_image_lies_is_kept():
    affine = torch.diag(torch.tensor([2.0, 2, 8, 1]))
    image = MetaTensor(STACK, meta={"affine": affine, "original_affine": affine.numpy(), "filename_or_obj": "a.nii.gz"})
    out = NeighbourSlicesd("image", 1)({"image": image})["image"]
    assert torch.equal(out.affine, image.affine)
    assert out.meta["filename_or_obj"] == "a.nii.gz"
    assert image.shape[0] == 2


def test_upside_down_is_the_stack_turned_round():
    """What the network sees of the middle slice is what it would see of the stack with its slices in reverse."""
    turn = RandUpsideDownd("image", count=1, prob=1.0)
    turned = turn({"image": NeighbourSlicesd("image", 1)({"image": STACK})["image"]})["image"]
    reverse = NeighbourSlicesd("image", 1)({"image": STACK.flip(3)})["image"].flip(3)
    assert torch.equal(turned, reverse)


def test_upside_down_happens_as_often_as_asked():
    turn = RandUpsideDownd("image", count=1, prob=0.25)
    turn.set_random_state(seed=0)
    image = torch.arange(3.0).reshape(3, 1, 1, 1)
    turned = [bool(turn({"image": image})["image"][0] == 2) for _ in range(2000)]
    assert np.mean(turned) == pytest.approx(0.25, abs=0.04)
