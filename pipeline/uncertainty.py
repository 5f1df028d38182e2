"""How unsure a prediction is, voxel by voxel, as a map beside the mask."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor

from pipeline.transforms.save import SaveOnGridd

ENDING = "_entropy.nii.gz"


def entropy(logits: torch.Tensor, *, sigmoid: bool = False) -> torch.Tensor:
    """Entropy of the predicted probabilities, 0 (sure) to 1 (all classes alike).

    Args:
        logits: (classes, X, Y, Z). Of averaged probabilities (`pipeline.ensembles`) it is the predictive entropy.
        sigmoid: each channel is one structure; the most unsure one counts.

    Returns:
        (X, Y, Z), float32.
    """
    logits = logits.float()
    if sigmoid:
        p = logits.sigmoid()
        each = torch.special.entr(p) + torch.special.entr(1 - p)
        return each.amax(dim=0) / math.log(2)
    return torch.special.entr(logits.softmax(dim=0)).sum(dim=0) / math.log(logits.shape[0])


class SaveEntropyd(SaveOnGridd):
    """Write OUTPUT/CASE_entropy.nii.gz, float32, before the logits become a mask.

    The path is added to the item's "maps". Voxels beyond the working grid take the nearest value.

    Args:
        keys: logits (classes, x, y, z) on the grid of `ref_key`.
        ref_key: the preprocessed image; its `affine`, `original_affine` and `spatial_shape` tell both grids.
        sigmoid: as in `entropy`.
        output_dir, overwrite: as `SaveOnGridd` takes them.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str,
        ref_key: str = "image",
        sigmoid: bool = False,
        overwrite: bool = False,
    ) -> None:
        super().__init__(keys, output_dir, ref_key, overwrite)
        self.sigmoid = sigmoid

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            logits = d[key].as_tensor() if isinstance(d[key], MetaTensor) else d[key]
            values = _on_original_grid(entropy(logits, sigmoid=self.sigmoid).cpu().numpy(), d[self.ref_key])
            path = self.write(values, f"{d.get('case')}{ENDING}", d, np.float32)
            d["maps"] = [*d.get("maps", []), path]
        return d


def _on_original_grid(values: np.ndarray, reference: MetaTensor) -> np.ndarray:
    """Linear interpolation at the voxels of the file."""
    from scipy import ndimage

    working = np.asarray(reference.affine, dtype=np.float64)
    original = np.asarray(reference.meta["original_affine"], dtype=np.float64)
    shape = tuple(int(n) for n in reference.meta["spatial_shape"])[:3]
    matrix = np.linalg.inv(working) @ original
    return ndimage.affine_transform(values, matrix, output_shape=shape, order=1, mode="nearest").astype(np.float32)
