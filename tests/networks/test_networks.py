"""The project's own networks: sizes, dimensions, gradients, and one hand-made case for what makes each of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pipeline.errors import DataError
from pipeline.networks import FCN, DeepLabV3Plus, DeepMedic, SegNet, UNetUnpadded, in_plane

SMALL = {
    "fcn": (FCN, {"channels": (4, 6, 8), "skips": 1}),
    "segnet": (SegNet, {"channels": (4, 6), "convs": (2, 3)}),
    "deeplab": (DeepLabV3Plus, {"channels": (4, 6, 8), "blocks": 1, "atrous_channels": 8, "aspp_channels": 6,
                                "rates": (2, 3), "low_level_channels": 4}),
    "deepmedic": (DeepMedic, {"channels": (4, 4, 6, 6), "factor": 3, "classifier": (8,)}),
    "unpadded": (UNetUnpadded, {"channels": (4, 6, 8)}),
}  # fmt: skip
PLANAR = {
    name: {"kernel_size": (3, 3, 1)} | ({"factor": (3, 3, 1)} if name == "deepmedic" else {"strides": [(2, 2, 1)] * 2})
    for name in SMALL
}


def build(name: str, dims: int, **changes) -> nn.Module:
    torch.manual_seed(0)
    kind, options = SMALL[name]
    return kind(dims, 1, 3, **{**options, **changes}).eval()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(16, 16), (13, 18), (9, 8, 10), (16, 12, 5)], ids=str)
def test_logits_have_the_input_s_size(name, size):
    logits = build(name, len(size))(torch.randn(2, 1, *size))
    assert logits.shape == (2, 3, *size)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_in_plane_kernels_make_the_2d_network_of_each_slice(name):
    flat, volume = build(name, 2), build(name, 3, **PLANAR[name])
    weights = flat.state_dict()
    volume.load_state_dict({key: weights[key].reshape(value.shape) for key, value in volume.state_dict().items()})
    volume = _normalised_by_slice(volume)
    x = torch.randn(2, 1, 13, 14, 3)
    expected = torch.stack([flat(x[..., z]) for z in range(3)], dim=-1)
    assert torch.allclose(volume(x), expected, atol=1e-4)
    assert torch.allclose(in_plane(volume)(x), expected, atol=1e-4)


def _normalised_by_slice(network):
    """Instance normalisation over each slice, as a 2D network does; over the volume it would not be comparable."""

    class BySlice(nn.InstanceNorm3d):
        def forward(self, x):
            return torch.stack(
                [
                    nn.functional.instance_norm(x[..., z], weight=self.weight, bias=self.bias)
                    for z in range(x.shape[-1])
                ],
                dim=-1,
            )

    for module in network.modules():
        if type(module) is nn.InstanceNorm3d:
            module.__class__ = BySlice
    return network


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_is_trained(name):
    network = build(name, 2).train()
    network(torch.randn(2, 1, 24, 24)).square().mean().backward()
    useless = [key for key, value in network.named_parameters() if value.grad is None]
    assert useless == []


@pytest.mark.parametrize("name", SMALL)
def test_it_learns_a_bright_square(name):
    network = build(name, 2, dropout=0.0) if name != "segnet" else build(name, 2)
    image = torch.randn(4, 1, 24, 24, generator=torch.Generator().manual_seed(1)) * 0.3
    truth = torch.zeros(4, 24, 24, dtype=torch.long)
    truth[:, 6:16, 8:20] = 1
    image[:, 0] += 2 * truth
    optimizer = torch.optim.Adam(network.train().parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(network(image), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize(("name", "size"), [("fcn", (4, 4)), ("segnet", (4, 3)), ("deeplab", (4, 4)),
                                            ("deepmedic", (3, 2))])  # fmt: skip
def test_an_input_that_shrinks_to_one_voxel_is_refused(name, size):
    with pytest.raises(DataError, match=r"more than \d or \d voxels"):
        build(name, 2)(torch.zeros(1, 1, *size))


@pytest.mark.parametrize("name", SMALL)
def test_kernels_and_strides_that_do_not_fit_the_levels_are_refused(name):
    with pytest.raises(ValueError, match="must fit"):
        build(name, 3, kernel_size=(3, 3))


def test_fcn_upsampling_starts_as_linear_interpolation():
    upsample = build("fcn", 2).upsample[0]
    ramp = torch.arange(6.0).reshape(1, 1, 6, 1).expand(1, 3, 6, 5)
    with torch.no_grad():
        fine = upsample(ramp)
    assert fine.shape == (1, 3, 12, 10)
    inside = fine[0, 0, 2:-2, 4]
    assert torch.allclose(inside, torch.arange(0.75, 4.5, 0.5))  # the ramp at quarter and three-quarter voxels


def test_fcn_skips_decide_how_coarse_the_fused_scores_are():
    coarse, fine = build("fcn", 2, skips=0), build("fcn", 2, skips=2)
    assert (len(coarse.upsample), len(fine.upsample)) == (0, 2)
    x = torch.randn(1, 1, 16, 16)
    assert coarse(x).shape == fine(x).shape
    with pytest.raises(ValueError, match="skips"):
        build("fcn", 2, skips=3)


def test_segnet_puts_values_back_where_pooling_took_them():
    network = SegNet(2, 1, 1, channels=(1,), convs=1, act=None, norm=None)
    with torch.no_grad():  # encoder, decoder and output pass everything through
        for conv in (network.encoder[0][0].conv, network.decoder[0][0].conv):
            conv.weight.zero_()
            conv.weight[0, 0, 1, 1] = 1
            conv.bias.zero_()
        network.output.weight.fill_(1)
        network.output.bias.zero_()
    x = torch.tensor([[1.0, 2.0, 0.0], [3.0, 9.0, 4.0], [5.0, 6.0, 7.0]])[None, None]
    expected = torch.tensor([[0.0, 0.0, 0.0], [0.0, 9.0, 4.0], [0.0, 6.0, 7.0]])
    assert torch.equal(network(x)[0, 0], expected)


def test_deeplab_sees_far_and_keeps_low_level_detail():
    network = build("deeplab", 2, norm=None, rates=(4,))
    base = torch.zeros(1, 1, 48, 48)
    poked = base.clone()
    poked[0, 0, 24, 24] = 1
    changed = (network(poked) - network(base)).abs().sum(1)[0]
    rows = changed.gt(1e-7).any(dim=1).nonzero().flatten()
    assert rows.min() <= 4  # the image-level branch reaches everywhere
    assert rows.max() >= 43
    network.reduce[0].conv.weight.data.zero_()
    assert not torch.allclose(network(poked) - network(base), changed)


def test_deepmedic_low_pathway_is_the_window_averaged():
    network = build("deepmedic", 2)
    seen = []
    network.low.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.arange(48.0).reshape(1, 1, 6, 8)
    network(x)
    blocks = x[0, 0, :3, :3].mean(), x[0, 0, :3, 6:].mean()  # the last block is cut by the image's edge
    assert seen[0].shape == (1, 1, 2, 3)
    assert torch.allclose(seen[0][0, 0, 0, [0, 2]], torch.stack(blocks))


def test_unpadded_sizes_are_the_paper_s():
    network = UNetUnpadded(2, 1, 2, channels=(2, 2, 2, 2, 2))
    assert network.valid_size(388) == (572, 388)
    assert network.valid_size(160) == (348, 164)
    assert UNetUnpadded(3, 1, 2, channels=(2, 2), strides=[(2, 2, 1)], kernel_size=(3, 3, 1)).valid_size(7, 2) == (7, 7)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 40), width=st.integers(1, 40), levels=st.integers(1, 4))
def test_unpadded_answers_lie_on_their_voxels(height, width, levels):
    """With the skip of the full resolution alone passing its centre tap on, the network must return its input."""
    network = UNetUnpadded(2, 1, 1, channels=(1,) * levels, norm=None, act=None).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for conv in [*network.down[0], *(network.up[0] if levels > 1 else [])]:
            conv.conv.weight[0, 0, 1, 1] = 1  # of two inputs the first one, the skip
        network.output.weight.fill_(1)
    x = torch.randn(1, 1, height, width)
    assert torch.equal(network(x), x)


def test_unpadded_convolutions_see_mirrored_surroundings():
    torch.manual_seed(0)
    network = UNetUnpadded(2, 1, 2, channels=(3, 4), norm=None).eval()
    x = torch.randn(1, 1, 12, 12)
    wide = nn.functional.pad(x, (8, 8, 8, 8), mode="reflect")
    assert torch.allclose(network(x), network(wide)[..., 8:-8, 8:-8], atol=1e-5)
