"""Grey and colour."""

import pytest
import torch
from monai.data import MetaTensor

from pipeline.errors import DataError
from pipeline.transforms import ChannelCountd


def test_colours_become_grey_by_their_luma_and_grey_becomes_three():
    colour = MetaTensor(torch.tensor([100.0, 200.0, 50.0]).view(3, 1, 1, 1))
    grey = ChannelCountd("image", 1)({"image": colour})["image"]
    assert grey.flatten().tolist() == pytest.approx([0.299 * 100 + 0.587 * 200 + 0.114 * 50])
    assert ChannelCountd("image", 3)({"image": grey})["image"].flatten().tolist() == [grey.item()] * 3
    assert ChannelCountd("image", 3)({"image": colour})["image"] is colour


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(DataError, match=r"expected 1 channels \(in_channels\), found 2"):
        ChannelCountd("image", 1)({"image": MetaTensor(torch.zeros(2, 3, 3, 3))})
