"""Volumes as the paper trains on them: every slice is one image, once in each epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.data import Dataset
from monai.transforms import Randomizable


class SliceDataset(Dataset):
    """The slices of a dataset of volumes, with random transforms that depend on (seed, epoch, slice) alone.

    Args:
        volumes: items whose `keys` are arrays (C, X, Y, Z) of one depth; best a cached dataset, since each volume is
            asked for once per slice. A single slice is a volume of depth one.
        keys: what is cut; everything else in the item is handed on.
        transform: random transforms of a slice (C, X, Y, 1); none where it is None.
        seed: of the random transforms.

    Attributes:
        epoch: set by `pipeline.handlers.Randomness` at each epoch's start.
    """

    def __init__(
        self,
        volumes: Sequence[Mapping[str, Any]],
        *,
        keys: Sequence[str] = ("image", "label"),
        transform: Callable[[Any], Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.volumes = volumes
        self.keys = tuple(keys)
        self.seed = int(seed)
        self.epoch = 0
        depths = [volumes[index][self.keys[0]].shape[-1] for index in range(len(volumes))]
        places = [(index, slice_) for index, depth in enumerate(depths) for slice_ in range(depth)]
        super().__init__(data=places, transform=transform)

    def _transform(self, index: int) -> Any:
        volume, slice_ = self.data[index]
        item = dict(self.volumes[volume])
        for key in self.keys:
            item[key] = item[key][..., slice_ : slice_ + 1]
        if isinstance(self.transform, Randomizable):
            state = np.random.SeedSequence([self.seed, self.epoch, index]).generate_state(1)
            self.transform.set_random_state(seed=int(state[0]))
        return item if self.transform is None else self.transform(item)
