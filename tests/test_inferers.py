"""Precision is lowered only where the network itself agrees, and mirrored copies are undone before averaging."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from monai.inferers import SlidingWindowInferer
from torch import nn

from pipeline import inferers
from pipeline.inferers import MirrorInferer, PrecisionInferer, cpu_has_bf16, prefers_channels_last
from pipeline.networks import in_plane


class Spy(nn.Module):
    """Returns its input and notes whether autocast was on; optionally much worse in bf16."""

    def __init__(self, broken: bool = False):
        super().__init__()
        self.broken = broken
        self.autocast = []

    def forward(self, x):
        on = torch.is_autocast_enabled("cpu")
        self.autocast.append(on)
        return -x if on and self.broken else x.clone()


@pytest.fixture
def bf16(monkeypatch):
    monkeypatch.setattr(inferers, "cpu_has_bf16", lambda device: True)


def test_auto_uses_bf16_where_both_precisions_agree(bf16):
    spy = Spy()
    out = PrecisionInferer()(torch.randn(2, 1, 4, 4, 1), spy)
    assert spy.autocast == [False, True, True]
    assert out.dtype == torch.float32


def test_auto_stays_in_fp32_where_bf16_is_wrong(bf16):
    spy, x = Spy(broken=True), torch.randn(2, 1, 4, 4, 1)
    inferer = PrecisionInferer()
    assert torch.equal(inferer(x, spy), x)
    assert torch.equal(inferer(x, spy), x)
    assert spy.autocast == [False, True, False, False], "the check runs once"


def test_auto_stays_in_fp32_without_the_instructions(monkeypatch):
    monkeypatch.setattr(inferers, "cpu_has_bf16", lambda device: False)
    spy = Spy()
    PrecisionInferer()(torch.randn(1, 1, 4, 4, 1), spy)
    assert spy.autocast == [False]


def test_a_network_that_gives_nan_in_bf16_stays_in_fp32(bf16):
    class Overflowing(Spy):
        def forward(self, x):
            return super().forward(x) * (float("nan") if torch.is_autocast_enabled("cpu") else 1.0)

    x = torch.randn(2, 1, 4, 4, 1)
    assert torch.equal(PrecisionInferer()(x, Overflowing()), x)


def test_the_precision_of_an_engine_stays_in_force(monkeypatch):
    """MONAI's engines call the inferer under autocast where they are told `amp`."""
    monkeypatch.setattr(inferers, "cpu_has_bf16", lambda device: False)
    convolution = nn.Conv3d(1, 1, 1)
    seen = []
    convolution.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    for precision in ("auto", "fp32"):
        with torch.autocast("cpu", torch.bfloat16):
            out = PrecisionInferer(precision=precision)(torch.randn(1, 1, 4, 4, 1), convolution)
        assert out.dtype == torch.float32
    assert seen == [torch.bfloat16, torch.bfloat16]
    assert PrecisionInferer()(torch.randn(1, 1, 4, 4, 1), nn.Identity().double()).dtype == torch.float32
    assert PrecisionInferer()(torch.randn(1, 1, 4, 4, 1, dtype=torch.float64), nn.Identity()).dtype == torch.float64


def test_half_precision_on_cuda_is_asked_of_torch(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "autocast", lambda *arguments: asked.append(arguments) or nullcontext())
    for precision in ("auto", "fp32", "bf16"):
        PrecisionInferer(precision=precision)._autocast(torch.device("cuda"))
    assert asked == [("cuda",), ("cuda", torch.bfloat16)]


def test_the_check_leaves_running_statistics_and_mode_alone(bf16):
    network = nn.BatchNorm3d(1)
    before = network.running_mean.clone()
    inferer = PrecisionInferer()
    assert inferer._agrees(torch.randn(1, 1, 4, 4, 2) + 5, network)
    assert torch.equal(network.running_mean, before)
    assert network.training


def test_a_real_convolution_passes_the_check():
    if not cpu_has_bf16(torch.device("cpu")):
        pytest.skip("this processor has no bfloat16 instructions")
    network = nn.Sequential(nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv3d(8, 4, 3, padding=1))
    x = torch.randn(1, 1, 16, 16, 8)
    exact = network(x)
    rough = PrecisionInferer()(x, network)
    assert 0 < (rough - exact).norm() / exact.norm() < 0.02


def test_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="auto, bf16 or fp32"):
        PrecisionInferer(precision="half")


def normalised(norm, kernel=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 8, kernel, padding="same"), norm(8), nn.ReLU(), nn.Conv3d(8, 4, kernel)).eval()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("norm", [nn.BatchNorm3d, partial(nn.InstanceNorm3d, affine=True)], ids=["batch", "instance"])
@pytest.mark.parametrize("shape", [(12, 10, 4), (16, 16, 8)], ids=["few voxels", "many"])
def test_channels_last_and_contiguous_agree(norm, shape, precision):
    network, x = in_plane(normalised(norm)), torch.randn(2, 1, *shape)
    plain = PrecisionInferer(precision=precision, memory_format="contiguous")(x, network)
    last = PrecisionInferer(precision=precision, memory_format="channels_last")(x, network)
    assert network[3].weight.is_contiguous(memory_format=torch.channels_last_3d)
    tolerance = {"fp32": 1e-5, "bf16": 2e-2}[precision]
    assert (plain - last).norm() < tolerance * plain.norm()


def test_the_norm_decides_on_the_memory_format():
    x = torch.randn(1, 1, 8, 8, 4)
    for network, last in (
        (normalised(nn.BatchNorm3d), True),
        (normalised(nn.InstanceNorm3d), False),
        (in_plane(normalised(nn.InstanceNorm3d)), True),
        (in_plane(normalised(nn.InstanceNorm3d, kernel=(3, 3, 1))), False),
    ):
        assert prefers_channels_last(network) is last
        PrecisionInferer(precision="fp32")(x, network)
        assert network[3].weight.is_contiguous() is not last


def test_a_network_in_training_keeps_its_memory_format():
    network, x = normalised(nn.BatchNorm3d).train(), torch.randn(1, 1, 8, 8, 4)
    inferer = PrecisionInferer(precision="fp32", memory_format="channels_last")
    inferer(x, network).sum().backward()
    assert network[3].weight.is_contiguous()
    inferer(x, network.eval())  # validation between two epochs
    assert network[3].weight.is_contiguous()
    with pytest.raises(ValueError, match="auto, channels_last or contiguous"):
        PrecisionInferer(memory_format="last")


def test_mirrors_average_the_four_copies_by_hand():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).reshape(1, 1, 2, 2, 1)
    weight = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).reshape(1, 1, 2, 2, 1)
    inferer = MirrorInferer(PrecisionInferer(precision="fp32"), axes=(0, 1))
    # the network keeps the upper left voxel; each copy brings another one there, and takes it back
    out = inferer(x, lambda window: window * weight)
    assert torch.equal(out, x / 4)


def test_without_axes_nothing_is_averaged():
    calls = []
    MirrorInferer(PrecisionInferer(precision="fp32"))(torch.ones(1, 1, 2, 2, 2), lambda x: calls.append(1) or x)
    assert len(calls) == 1


def test_sliding_windows_reach_the_network_through_both():
    inner = PrecisionInferer(SlidingWindowInferer((4, 4, 1), 8, 0.25, mode="gaussian"), precision="fp32")
    x = torch.randn(1, 1, 9, 7, 3)
    assert torch.allclose(MirrorInferer(inner, axes=(0, 1))(x, lambda window: 2 * window), 2 * x, atol=1e-5)
