"""Truth in the numbers that the network is trained on, and as one channel for each structure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipeline.errors import DataError, Problem
from pipeline.structures import Labels, numbers_of, relabel_item


def footprint(label: torch.Tensor, slices: int = 1) -> torch.Tensor:
    """Where any slice of a label map has structures, and everywhere where none has.

    Small enough that a crop around the structures (MONAI's CropForegroundd, its `source_key`) costs next to nothing.

    Args:
        label: (1, X, Y, Z), zero is background.
        slices: how many equal slices come out, as a view: those of the crop's image.

    Returns:
        Booleans (1, X, Y, slices).
    """
    found = (label > 0).any(dim=-1, keepdim=True)
    found = found if found.any() else ~found
    return found.expand(*found.shape[:-1], slices)


class MapLabelsd(MapTransform):
    """Give a label map the numbers of `labels`, by what the item says of its file's numbers
    (`pipeline.structures.relabel_item`), and the original grid of the item's "image" where its file has none (a PNG).

    Where the item says "reversed" (CHAOS's PNG masks against their DICOM series), the slices are turned round first.
    "structures" and "listed" are taken out of the item, since dictionaries of different cases fit into no batch.

    Args:
        keys: label maps (1, X, Y, Z), as loaded.
        labels: name -> number or numbers.

    Raises:
        DataError: the label's shape is not the image's, or it does not tell a wanted structure.
    """

    def __init__(self, keys: KeysCollection, labels: Labels) -> None:
        super().__init__(keys)
        self.labels = labels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        told, backwards = {key: d.pop(key, None) for key in ("structures", "listed")}, d.pop("reversed", False)
        for key in self.key_iterator(d):
            label, image = d[key], d["image"]
            file = str(label.meta.get("filename_or_obj", key))
            _check_shape(label, image, file)
            meta = dict(label.meta)
            is_picture = not meta.get("has_geometry", True)
            if is_picture:
                affine = torch.as_tensor(np.asarray(image.meta["original_affine"]), dtype=torch.float64)
                meta |= {"affine": affine, "original_affine": affine}
            numbers = relabel_item(label.numpy(), told, self.labels, source=file, is_picture=is_picture)
            numbers = numbers[..., ::-1] if backwards else numbers
            d[key] = MetaTensor(torch.from_numpy(np.ascontiguousarray(numbers)), meta=meta)
        return d


class StructureChannelsd(MapTransform):
    """A label map (1, X, Y, Z) as one channel of zeros and ones for each structure, which may overlap.

    Args:
        keys: label maps in the numbers of `labels`.
        labels: name -> number or numbers; (structures, X, Y, Z) float32 come out in this order.
    """

    def __init__(self, keys: KeysCollection, labels: Labels) -> None:
        super().__init__(keys)
        self.numbers = [torch.tensor(numbers) for numbers in numbers_of(labels).values()]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            channels = [torch.isin(d[key], numbers.to(d[key])) for numbers in self.numbers]
            d[key] = torch.cat(channels).to(torch.float32)
        return d


def _check_shape(label: MetaTensor, image: MetaTensor, file: str) -> None:
    wanted = tuple(int(n) for n in image.meta["spatial_shape"])[:3]
    found = tuple(label.shape[1:])
    if found != wanted:
        expected, there = (" x ".join(map(str, shape)) for shape in (wanted, found))
        remedy = "Pair each image with the mask that was drawn on it"
        raise DataError(Problem(file, f"a mask of its image's shape {expected}", there, remedy))
