"""Separate instances of a structure: connected components, numbered, as a map beside the mask."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.structures import Labels, numbers_of
from pipeline.volumes import mask_name, write_mask

MOST = np.iinfo(np.uint16).max


def number_components(
    mask: np.ndarray, labels: Labels, structures: Iterable[str] | None = None, *, connectivity: int = 26
) -> np.ndarray:
    """Number the connected components of each structure from 1 on, the largest of a structure first.

    Args:
        mask: label numbers, (X, Y, Z); one slice may have Z = 1.
        labels: structure -> number, or numbers where structures overlap.
        structures: the structures to take apart, all of `labels` by default. Numbering goes on from one to the next in
            this order; where structures overlap, a later one is painted over an earlier one.
        connectivity: 6 (faces), 18 (edges) or 26 (corners); in a single slice these are 4, 8 and 8 neighbours.

    Returns:
        uint16 map of the mask's shape, 0 where no structure is. Components of equal size come in the order of their
        first voxel, the last axis fastest.

    Raises:
        ValueError: a structure that is not in `labels`, or more than 65535 components.
    """
    numbers = numbers_of(labels)
    names = list(numbers) if structures is None else list(structures)
    unknown = [name for name in names if name not in numbers]
    if unknown:
        raise ValueError(f"no structure called {', '.join(unknown)}; there are {', '.join(numbers)}")
    instances = np.zeros(mask.shape, np.uint16)
    count = 0
    for name in names:
        components, found = _by_size(np.isin(mask, numbers[name]), connectivity)
        if count + found > MOST:
            raise ValueError(f"more than {MOST} components; remove the small ones first")
        inside = components > 0
        instances[inside] = components[inside] + count
        count += found
    return instances


class SaveInstancesd(MapTransform):
    """Write the numbered components of a label map as CASE_instances beside the mask, and the path as "instances".

    uint16 on exactly the image's grid (of a picture a 16-bit PNG), atomically; numbers as `number_components` gives
    them. The mask itself is not changed.

    Args:
        keys: label map (1, X, Y, Z) on the original grid.
        output_dir: folder; made where it is missing.
        labels: structure -> number or numbers.
        structures: the structures to take apart, all by default.
        ref_key: the image, whose file tells geometry and format.
        connectivity: 6, 18 or 26.
        overwrite: whether an existing file is replaced.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str,
        labels: Labels,
        structures: Iterable[str] | None = None,
        ref_key: str = "image",
        connectivity: int = 26,
        overwrite: bool = False,
    ) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        self.labels = labels
        self.structures = None if structures is None else list(structures)
        self.ref_key = ref_key
        self.connectivity = connectivity
        self.overwrite = overwrite

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        like = d[self.ref_key].meta["filename_or_obj"]
        index = int(d["slice"]) if d.get("slice") is not None else None
        for key in self.key_iterator(d):
            mask = np.asarray(d[key].cpu())[0]
            instances = number_components(mask, self.labels, self.structures, connectivity=self.connectivity)
            path = self.output_dir / mask_name(f"{d['case']}_instances", like)
            written = write_mask(instances, like, path, index=index, dtype=np.uint16, overwrite=self.overwrite)
            d["instances"] = str(written)
        return d


def _by_size(region: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    """Components of a boolean map numbered by falling size, and how many there are."""
    import cc3d

    numbers = np.ascontiguousarray(region).view(np.uint8)  # cc3d 4.1.1 fails on booleans such as [1, 0, 1]
    components, found = cc3d.connected_components(
        numbers, connectivity=connectivity, return_N=True, out_dtype=np.uint32
    )
    if not found:
        return components, 0
    sizes = np.bincount(components.ravel())[1:]
    present, first = np.unique(components, return_index=True)
    starts = first[present > 0]
    rank = np.empty(found + 1, np.uint32)
    rank[0] = 0
    rank[1 + np.lexsort((starts, -sizes))] = np.arange(1, found + 1)
    return rank[components], int(found)
