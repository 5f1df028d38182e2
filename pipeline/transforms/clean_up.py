"""Small separate pieces of a predicted structure are taken away."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipeline.structures import Labels, remove_small_components


class RemoveSmallComponentsd(MapTransform):
    """Take away connected pieces of each structure that are smaller than a volume.

    A structure within another one (infection within lungs) leaves the outer one behind. Pieces touch by faces, edges
    or corners.

    Args:
        keys: label maps (1, X, Y, Z) whose affine tells their spacing.
        labels: name -> number or numbers.
        min_component: in ml; of an image without a known spacing the unit is 1000 voxels. 0 changes nothing.
    """

    def __init__(self, keys: KeysCollection, labels: Labels, min_component: float) -> None:
        super().__init__(keys)
        self.labels = labels
        self.min_component = float(min_component)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            pred = d[key]
            voxel_mm3 = float(torch.linalg.det(pred.affine[:3, :3].to(torch.float64)).abs())
            fewest = int(np.ceil(self.min_component * 1000 / voxel_mm3))
            if fewest > 1:
                cleaned = remove_small_components(pred[0].cpu().numpy(), self.labels, fewest)
                d[key] = MetaTensor(torch.from_numpy(cleaned)[None].to(pred.device), meta=pred.meta)
        return d
