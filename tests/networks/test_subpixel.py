"""Pixels as channels and back: by hand, and with a network that shows what it was given."""

import pytest
import torch
from monai.networks.nets import DynUNet
from torch import nn

from pipeline.networks import Adapter, Subpixel, in_plane


class Spy(nn.Module):
    def forward(self, x):
        self.seen = x
        return x


def test_a_block_of_pixels_becomes_the_channels_of_one():
    x = torch.arange(16.0).reshape(1, 1, 4, 4, 1)  # 0 1 2 3 | 4 5 6 7 | 8 9 10 11 | 12 13 14 15
    spy = Spy()
    Subpixel(spy)(x)
    assert spy.seen.shape == (1, 4, 2, 2, 1)
    assert spy.seen[0, :, 0, 0, 0].tolist() == [0, 1, 4, 5]
    assert spy.seen[0, :, 1, 0, 0].tolist() == [8, 9, 12, 13]


@pytest.mark.parametrize("factor", [2, 3])
def test_a_network_that_changes_nothing_gives_back_every_pixel_in_its_slice(factor):
    x = torch.randn(2, 3, 6, 12, 5)
    assert torch.equal(Subpixel(Spy(), factor=factor)(x), x)


def test_several_answers_are_spread_each_by_itself():
    """As DynUNet gives them with deep supervision while it trains; afterwards there is one."""
    options = {"filters": [4, 8, 8], "norm_name": ("INSTANCE", {"affine": True}), "deep_supervision": True}
    network = DynUNet(3, 4, 8, [[3, 3, 1]] * 3, [[1, 1, 1], [2, 2, 1], [2, 2, 1]], [[2, 2, 1]] * 2, **options)
    model = Adapter(Subpixel(network), multiple=[8, 8, 1])
    x = torch.randn(2, 1, 22, 16, 3)
    answers = model.train()(x)
    assert answers.shape == (2, 2, 2, 22, 16, 3)
    assert torch.equal(model.eval()(x), answers[:, 0])


def test_slices_are_answered_one_by_one_and_every_pixel_has_a_logit_of_its_own():
    torch.manual_seed(0)
    network = DynUNet(
        3, 4, 8, [[3, 3, 1]] * 3, [[1, 1, 1], [2, 2, 1], [2, 2, 1]], [[2, 2, 1]] * 2, filters=[4, 8, 8],
        norm_name="batch",  # an instance would be all slices of a volume
    )  # fmt: skip
    model = in_plane(Adapter(Subpixel(network), multiple=[8, 8, 1])).eval()
    x = torch.randn(1, 1, 22, 16, 3)
    logits = model(x)
    assert logits.shape == (1, 2, 22, 16, 3)
    for k in range(3):
        assert torch.allclose(model(x[..., k : k + 1]), logits[..., k : k + 1], atol=1e-5)
    assert len(set(logits[0, 0, :2, :2, 0].flatten().tolist())) == 4


def test_an_input_that_does_not_divide_is_refused_without_the_adapter():
    with pytest.raises(RuntimeError, match="divisible"):
        Subpixel(Spy())(torch.zeros(1, 1, 5, 4, 1))
