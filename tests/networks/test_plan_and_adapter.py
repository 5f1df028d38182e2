"""Plans of kernels and strides by hand, and networks called with sizes that they would not take by themselves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.networks.nets import BasicUNet
from monai.networks.nets.basic_unet import UpCat
from torch import nn

from pipeline.errors import DataError
from pipeline.networks import Adapter, kernels, multiple, strides


def test_one_slice_gives_in_plane_kernels_and_strides():
    assert kernels([160, 160, 1], 6) == [[3, 3, 1]] * 6
    assert strides([160, 160, 1], 6, top=True) == [[1, 1, 1]] + [[2, 2, 1]] * 5
    assert multiple([160, 160, 1], 6) == [32, 32, 1]


def test_few_slices_join_in_once_the_plane_has_shrunk():
    # 192 192 16, 96 96 16, 48 48 16 (a third: joins), 24 24 8, 12 12 4
    assert kernels([192, 192, 16], 5) == [[3, 3, 1]] * 2 + [[3, 3, 3]] * 3
    assert strides([192, 192, 16], 5) == [[2, 2, 1]] * 2 + [[2, 2, 2]] * 2
    assert multiple([192, 192, 16], 5) == [16, 16, 4]
    assert kernels([96, 96, 96], 3, size=5) == [[5, 5, 5]] * 3
    assert strides([96, 96, 30], 2, ratio=2) == [[2, 2, 1]]


def test_two_axes_make_a_2d_plan():
    assert (kernels([64, 48], 2), strides([64, 48], 2)) == ([[3, 3], [3, 3]], [[2, 2]])


@given(st.lists(st.integers(1, 300), min_size=2, max_size=3), st.integers(1, 6))
def test_kernels_and_strides_tell_the_same_plan(patch, levels):
    """An axis is halved exactly where its kernel extends, and the longest axis always is."""
    kernel, stride = kernels(patch, levels), strides(patch, levels)
    assert [[1 + (k == 3) for k in level] for level in kernel[:-1]] == stride
    for axis, n in enumerate(patch):
        assert all(level[axis] == 1 for level in kernel) or n > 1
        if n == max(patch) and n > 1:
            assert all(level[axis] == 3 for level in kernel)
        assert multiple(patch, levels)[axis] == 2 ** sum(level[axis] == 2 for level in stride)


class Spy(nn.Module):
    """A convolution that passes its input on and notes its size; the second output is wrong."""

    def __init__(self, dims: int):
        super().__init__()
        self.conv = (nn.Conv2d if dims == 2 else nn.Conv3d)(1, 1, 1, bias=False)
        nn.init.ones_(self.conv.weight)
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape))
        return [self.conv(x), -x]


def test_a_2d_network_sees_each_slice_and_the_first_output_is_kept():
    spy, x = Spy(2), torch.randn(2, 1, 5, 6, 3)
    assert torch.equal(Adapter(spy)(x), x)
    assert spy.sizes == [(6, 1, 5, 6)]
    assert torch.equal(Adapter(spy)(x[..., 0]), x[..., 0])


def test_slices_keep_their_places():
    flip = nn.Sequential(nn.Conv2d(1, 2, 1))
    x = torch.randn(2, 1, 4, 5, 3)
    whole = Adapter(flip)(x)
    assert torch.allclose(whole[1, :, :, :, 2], flip(x[1:, :, :, :, 2])[0], atol=1e-6)


@pytest.mark.parametrize(("dims", "multiples", "seen"), [(2, 4, (8, 8)), (3, [4, 4, 2], (8, 8, 4)), (3, 8, (16, 8, 8))])
def test_the_input_is_continued_to_the_multiple_and_the_answer_cut_back(dims, multiples, seen):
    """And once more where the network would leave one voxel of it."""
    spy, x = Spy(dims), torch.randn(1, 1, 5, 6, 3)
    assert torch.equal(Adapter(spy, multiple=multiples)(x), x)
    assert spy.sizes[0][2:] == seen


def basic_unet(norm):
    torch.manual_seed(0)
    return BasicUNet(2, 1, 2, features=(4, 4, 8, 8, 8, 4), norm=norm)


@pytest.mark.parametrize("norm", ["batch", ("instance", {"affine": True})])
def test_padding_by_nothing_and_the_order_of_channels_in_memory_change_no_logit(norm):
    x = torch.randn(2, 1, 32, 48, 3)
    plain, adapted = basic_unet(norm), Adapter(basic_unet(norm), multiple=16)
    assert [up.is_pad for up in adapted.modules() if isinstance(up, UpCat)] == [False] * 4
    expected = torch.stack([plain(x[..., k]) for k in range(3)], dim=-1)
    if norm == "batch":  # its statistics are of all slices at once
        expected = plain(x.permute(0, 4, 1, 2, 3).flatten(0, 1)).unflatten(0, (2, 3)).permute(0, 2, 3, 4, 1)
    assert torch.allclose(adapted(x), expected, atol=1e-5)


def test_a_smaller_multiple_leaves_monais_padding_where_it_is_needed():
    adapted = Adapter(basic_unet("batch"), multiple=4)
    assert adapted(torch.randn(1, 1, 36, 36, 1)).shape == (1, 2, 36, 36, 1)


@pytest.mark.parametrize(
    ("norm", "last"), [("batch", True), ("instance", False), (("group", {"num_groups": 2}), False)]
)
def test_channels_come_last_with_batch_norm_alone(norm, last):
    weight = Adapter(basic_unet(norm)).network.conv_0.conv_1.conv.weight
    deep = Adapter(basic_unet(norm)).network.down_2.convs.conv_0.conv.weight
    assert weight.shape == (4, 4, 3, 3)
    assert weight.is_contiguous(memory_format=torch.channels_last) is last
    assert deep.is_contiguous(memory_format=torch.channels_last) is last


def test_a_network_that_needs_no_multiple_sees_the_input_as_it_is():
    spy = Spy(3)
    Adapter(spy)(torch.zeros(1, 1, 1, 1, 1))
    assert spy.sizes == [(1, 1, 1, 1, 1)]


def test_it_is_continued_by_its_last_voxels():
    seen = []
    network = nn.Sequential(nn.Conv3d(1, 1, 1))
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    Adapter(network, multiple=2)(torch.arange(3.0).reshape(1, 1, 3, 1, 1))
    assert seen[0].flatten().tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_network_of_one_size_refuses_others_in_words():
    network = Adapter(Spy(3), multiple=4, size=[8, 8, 4])
    network(torch.zeros(1, 1, 7, 8, 3))
    with pytest.raises(DataError, match="expected 8 x 8 x 4 voxels, found 9 x 8 x 3 voxels"):
        network(torch.zeros(1, 1, 9, 8, 3))


def test_what_cannot_be_adapted_is_refused():
    with pytest.raises(ValueError, match="no 2D or 3D convolution"):
        Adapter(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="does not fit"):
        Adapter(Spy(2), multiple=[2, 2, 2])
