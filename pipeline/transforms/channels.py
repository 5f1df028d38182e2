"""Colour pictures for grey networks, and grey ones for colour networks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipeline.errors import DataError, Problem

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class ChannelCountd(MapTransform):
    """Give images (C, X, Y, Z) the number of channels that the network takes.

    Red, green and blue become one grey channel (ITU-R BT.601), a grey image three equal ones; what fits passes
    unchanged.

    Args:
        keys: MetaTensors, channel first.
        channels: what the network takes.

    Raises:
        DataError: any other number of channels.
    """

    def __init__(self, keys: KeysCollection, channels: int) -> None:
        super().__init__(keys)
        self.channels = int(channels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self._fitted(d[key])
        return d

    def _fitted(self, image: MetaTensor) -> MetaTensor:
        found = image.shape[0]
        if found == self.channels:
            return image
        if (found, self.channels) == (3, 1):
            weights = torch.tensor(LUMA).view(3, 1, 1, 1)
            return MetaTensor((image.as_tensor() * weights).sum(dim=0, keepdim=True), meta=image.meta)
        if (found, self.channels) == (1, 3):
            return MetaTensor(image.as_tensor().repeat(3, 1, 1, 1), meta=image.meta)
        file = str(image.meta.get("filename_or_obj", "image"))
        remedy = "Set in_channels to what the images have, or list the right files"
        raise DataError(Problem(file, f"{self.channels} channels (in_channels)", str(found), remedy))
