"""Separate instances of a structure: connected components, numbered, as a map beside the mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.structures import Labels, numbers_of
from pipeline.volumes import mask_name, write_mask

MOST = np.iinfo(np.uint16).max


def number_components(mask: np.ndarray, labels: Labels) -> np.ndarray:
    """Number the connected components of each structure from 1 on, the largest of a structure first.

    Args:
        mask: label numbers, (X, Y, Z); one slice may have Z = 1.
        labels: structure -> number, or numbers where structures overlap. Numbering goes on from one to the next in this
            order; where structures overlap, a later one is painted over an earlier one.

    Returns:
        uint16 map of the mask's shape, 0 where no structure is. Voxels are connected as those of lesions are
        (`pipeline.metrics.lesions.components`).

    Raises:
        ValueError: more than 65535 components.
    """
    from pipeline.metrics.lesions import components

    instances = np.zeros(mask.shape, np.uint16)
    count = 0
    for numbers in numbers_of(labels).values():
        parts, sizes = components(np.isin(mask, numbers))
        if count + len(sizes) > MOST:
            raise ValueError(f"more than {MOST} components; remove the small ones first")
        inside = parts > 0
        instances[inside] = parts[inside].astype(np.uint16) + count
        count += len(sizes)
    return instances


class SaveInstancesd(MapTransform):
    """Write the numbered components of a label map as CASE_instances beside the mask, and the path as "instances".

    uint16 on exactly the image's grid (of a picture a 16-bit PNG), atomically; numbers as `number_components` gives
    them. The mask itself is not changed.

    Args:
        keys: label map (1, X, Y, Z) on the original grid.
        output_dir: folder; made where it is missing.
        labels: structure -> number or numbers, of those that are to be taken apart.
        ref_key: the image, whose file tells geometry and format.
        overwrite: whether an existing file is replaced.
    """

    def __init__(
        self, keys: KeysCollection, output_dir: str, labels: Labels, ref_key: str = "image", overwrite: bool = False
    ) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        self.labels = labels
        self.ref_key = ref_key
        self.overwrite = overwrite

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        like = d[self.ref_key].meta["filename_or_obj"]
        index = int(d["slice"]) if d.get("slice") is not None else None
        path = self.output_dir / mask_name(f"{d['case']}_instances", like)
        for key in self.key_iterator(d):
            instances = number_components(np.asarray(d[key].cpu())[0], self.labels)
            written = write_mask(instances, like, path, index=index, dtype=np.uint16, overwrite=self.overwrite)
            d["instances"] = str(written)
        return d
