"""Separate instances of a structure: connected components, numbered, as a map beside the mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection

from pipeline.structures import Labels, members, numbers_of, painting_order
from pipeline.transforms.save import SaveOnGridd
from pipeline.volumes import mask_name

MOST = np.iinfo(np.uint16).max


def number_components(mask: np.ndarray, labels: Labels) -> np.ndarray:
    """Number the connected components of each structure from 1 on, the largest of a structure first.

    Args:
        mask: label numbers, (X, Y, Z); one slice may have Z = 1.
        labels: structure -> number, or numbers where structures overlap. Numbering goes on from one to the next in this
            order; where structures overlap, a later one is painted over an earlier one (one that holds others comes
            before them).

    Returns:
        uint16 map of the mask's shape, 0 where no structure is. Voxels are connected as those of lesions are
        (`pipeline.metrics.lesions.components`).

    Raises:
        ValueError: more than 65535 components.
    """
    from pipeline.metrics.lesions import components

    instances = np.zeros(mask.shape, np.uint16)
    count = 0
    numbers = numbers_of(labels)
    for name in painting_order(numbers):
        parts, sizes = components(members(mask, numbers[name]))
        if count + len(sizes) > MOST:
            raise ValueError(f"more than {MOST} components; remove the small ones first")
        inside = parts > 0
        instances[inside] = parts[inside].astype(np.uint16) + count
        count += len(sizes)
    return instances


class SaveInstancesd(SaveOnGridd):
    """Write the numbered components of a label map as CASE_instances beside the mask, and the path as "instances".

    uint16 (of a picture a 16-bit PNG); numbers as `number_components` gives them. The mask itself is not changed.

    Args:
        keys: label map (1, X, Y, Z) on the original grid.
        labels: structure -> number or numbers, of those that are to be taken apart.
        output_dir, ref_key, overwrite: as `SaveOnGridd` takes them.
    """

    def __init__(
        self, keys: KeysCollection, output_dir: str, labels: Labels, ref_key: str = "image", overwrite: bool = False
    ) -> None:
        super().__init__(keys, output_dir, ref_key, overwrite)
        self.labels = labels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        name = mask_name(f"{d['case']}_instances", self.image_of(d))
        for key in self.key_iterator(d):
            instances = number_components(np.asarray(d[key].cpu())[0], self.labels)
            d["instances"] = self.write(instances, name, d, np.uint16)
        return d
