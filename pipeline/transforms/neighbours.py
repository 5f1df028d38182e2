"""The slices above and below as further channels: through-plane context for networks that look at one slice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform


def slice_by_slice(volume: torch.Tensor) -> torch.Tensor:
    """The same volume (C, X, Y, Z) with each slice's values together in memory, from where slices are taken faster."""
    return volume.movedim(-1, 0).contiguous().movedim(0, -1)


class NeighbourSlicesd(MapTransform):
    """Give each slice its neighbours: (C, X, Y, Z) becomes ((2 * count + 1) * C, X, Y, Z).

    The channels of slice z are those of z - count, ..., z, ..., z + count, in this order. Beyond the ends the outermost
    slice is repeated. A slice is a step along the last axis, whatever its thickness.

    Args:
        keys: MetaTensors or tensors, channel first, three spatial axes.
        count: slices on either side; with 0 images pass unchanged.
    """

    def __init__(self, keys: KeysCollection, count: int = 1) -> None:
        super().__init__(keys)
        self.count = int(count)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self._with_neighbours(d[key]) if self.count else d[key]
        return d

    def _with_neighbours(self, image: torch.Tensor) -> torch.Tensor:
        plain = image.as_tensor() if isinstance(image, MetaTensor) else image
        number = plain.shape[-1]
        first, last = (plain[..., end : end + 1].expand(*plain.shape[:-1], self.count) for end in (0, number - 1))
        continued = torch.cat([first, plain, last], dim=-1)
        stacked = torch.cat([continued[..., step : step + number] for step in range(2 * self.count + 1)])
        if not isinstance(image, MetaTensor):
            return stacked
        return MetaTensor(stacked, meta=image.meta, applied_operations=image.applied_operations)


class RandUpsideDownd(RandomizableTransform, MapTransform):
    """Turn the neighbours of slices round (`NeighbourSlicesd`), now and then: what was above is below.

    Some files go from base to apex and others from apex to base.

    Args:
        keys: tensors ((2 * count + 1) * C, X, Y, Z).
        count: slices on either side.
        prob: how often.
    """

    def __init__(self, keys: KeysCollection, count: int = 1, prob: float = 0.5) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.count = int(count)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        self.randomize(None)
        if self._do_transform and self.count:
            for key in self.key_iterator(d):
                d[key] = d[key].unflatten(0, (2 * self.count + 1, -1)).flip(0).flatten(0, 1)
        return d
