"""A cached dataset whose random transforms depend on (seed, epoch, item) alone, not on workers or history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from monai.data import CacheDataset, MetaTensor, get_track_meta, set_track_meta
from monai.transforms import Compose, Randomizable


class SeededCacheDataset(CacheDataset):
    """MONAI's CacheDataset with random transforms that are renewed from (seed, epoch, index) for each item.

    An interrupted and resumed training therefore sees the very samples that an uninterrupted one sees, with any
    number of workers. All random transforms draw from one stream: to renew a generator for each of them, as MONAI does,
    takes longer than most of them. Where all items are cached, metadata is dropped before the random transforms: with
    it they take twice as long (measured on bundles/acdc).

    Args:
        seed: any non-negative integer.
        **kwargs: MONAI's CacheDataset's (data, transform, cache_rate, num_workers, ...). `copy_cache=False` saves a
            copy of each volume, where the first random transform crops and none changes its input.

    Attributes:
        epoch: set by `pipeline.handlers.Randomness` at each epoch's start.
    """

    def __init__(self, *, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.epoch = 0
        self._stream = np.random.RandomState()

    def _load_cache_item(self, idx: int) -> Any:
        item = super()._load_cache_item(idx)
        return _without_metadata(item) if self._all_cached() else item

    def _transform(self, index: int) -> Any:
        self._renew(int(np.random.SeedSequence([self.seed, self.epoch, index]).generate_state(1)[0]))
        tracked = get_track_meta()
        if self._all_cached():  # else the loading transforms, which need metadata, run here too
            set_track_meta(False)
        try:
            return super()._transform(index)
        finally:
            set_track_meta(tracked)

    def _all_cached(self) -> bool:
        return bool(self.cache_num >= len(self))

    def _renew(self, seed: int) -> None:
        if self.transform.R is not self._stream:  # at first, and after MONAI gave a loading process generators
            _draw_from(self._stream, self.transform)
        self._stream.seed(seed)


def _draw_from(stream: np.random.RandomState, transform: Any) -> None:
    """Let all random transforms inside `transform` draw from one stream."""
    if isinstance(transform, Compose):  # its own set_random_state would give each part a generator
        transform.R = stream
        for part in transform.transforms:
            _draw_from(stream, part)
    elif isinstance(transform, Randomizable):
        transform.set_random_state(state=stream)


def _without_metadata(item: Any) -> Any:
    if not isinstance(item, Mapping):
        return item
    return {key: value.as_tensor() if isinstance(value, MetaTensor) else value for key, value in item.items()}
