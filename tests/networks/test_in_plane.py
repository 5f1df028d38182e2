"""In-plane networks computed slice by slice equal PyTorch's own 3D convolutions."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.networks.nets import DynUNet, UNet
from torch import nn

from pipeline.networks import in_plane


@settings(deadline=None, max_examples=25)
@given(
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    dilation=st.sampled_from([1, 2]),
    bias=st.booleans(),
    depth=st.integers(1, 4),
    batch=st.integers(1, 3),
    last=st.booleans(),
)
def test_convolutions_agree(kernel, stride, dilation, bias, depth, batch, last):
    conv = nn.Conv3d(
        2, 3, (kernel, kernel, 1), (stride, stride, 1), (1, 2, 0), dilation=(dilation, dilation, 1), bias=bias
    )
    x = torch.randn(batch, 2, 13, 12, depth)
    x = x.contiguous(memory_format=torch.channels_last_3d) if last else x
    fast = in_plane(copy.deepcopy(conv))
    assert type(fast) is not nn.Conv3d, "else it would be compared with itself"
    assert torch.allclose(fast(x), conv(x), atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("depth", [1, 3])
def test_transposed_convolutions_agree(depth, layout):
    conv = nn.ConvTranspose3d(2, 3, (2, 2, 1), (2, 2, 1))
    x = torch.randn(2, 2, 5, 6, depth).contiguous(memory_format=layout)
    fast = in_plane(copy.deepcopy(conv))
    assert type(fast) is not nn.ConvTranspose3d
    assert torch.allclose(fast(x), conv(x), atol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        UNet(3, 1, 4, (8, 16, 16), ((2, 2, 1), (2, 2, 1)), (3, 3, 1), (3, 3, 1), num_res_units=1, norm="instance"),
        DynUNet(3, 1, 4, [[3, 3, 1]] * 3, [[1, 1, 1], [2, 2, 1], [2, 2, 1]], [[2, 2, 1]] * 2, filters=[4, 8, 8]),
    ],
    ids=["UNet", "DynUNet"],
)
def test_networks_gradients_and_parameters_agree(network):
    fast = in_plane(copy.deepcopy(network))
    assert {k: v.shape for k, v in fast.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}
    x = torch.randn(2, 1, 16, 20, 3)
    for net in (network, fast):
        net(x).square().mean().backward()
    assert torch.allclose(fast(x), network(x), atol=1e-5)
    for mine, theirs in zip(fast.parameters(), network.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, atol=1e-5)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("depth", [1, 3, 20])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_instance_norms_agree(affine, depth, layout):
    norm = nn.InstanceNorm3d(6, affine=affine)
    if affine:
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    fast = in_plane(copy.deepcopy(norm))
    assert type(fast) is not nn.InstanceNorm3d
    x = (4 + 5 * torch.randn(3, 6, 9, 8, depth)).contiguous(memory_format=layout)
    expected = (x - x.mean((2, 3, 4), keepdim=True)) / (x.var((2, 3, 4), keepdim=True, unbiased=False) + 1e-5).sqrt()
    if affine:
        expected = expected * norm.weight.view(6, 1, 1, 1) + norm.bias.view(6, 1, 1, 1)
    for made in (fast(x), norm(x)):
        assert torch.allclose(made, expected, atol=1e-4)
    assert fast(x).is_contiguous(memory_format=layout)


def test_instance_norms_with_running_statistics_are_left_alone():
    norm = nn.InstanceNorm3d(6, track_running_stats=True)
    assert type(in_plane(norm)) is nn.InstanceNorm3d


def test_kernels_along_z_are_left_alone():
    conv = nn.Conv3d(1, 1, 3, padding=1)
    assert type(in_plane(nn.Sequential(conv))[0]) is nn.Conv3d
