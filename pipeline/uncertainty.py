"""How unsure a prediction is, voxel by voxel, as a map beside the mask."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipeline.volumes import write_mask

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


class SaveEntropyd(MapTransform):
    """Write OUTPUT/CASE_entropy.nii.gz, float32, on the image's own grid, before the logits become a mask.

    Of an item with "slice" it has the grid of this one slice. The path is added to the item's "maps". Voxels beyond the
    working grid take the nearest value.

    Args:
        keys: logits (classes, x, y, z) on the grid of `ref_key`.
        output_dir: folder; made where it is missing.
        ref_key: the preprocessed image; its `affine`, `original_affine` and `spatial_shape` tell both grids.
        sigmoid: as in `entropy`.
        overwrite: whether an existing map is replaced.
    """

    def __init__(
        self,
        keys: KeysCollection,
        output_dir: str,
        ref_key: str = "image",
        sigmoid: bool = False,
        overwrite: bool = False,
    ) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        self.ref_key = ref_key
        self.sigmoid = sigmoid
        self.overwrite = overwrite

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        reference = d[self.ref_key]
        like = reference.meta["filename_or_obj"]
        index = int(d["slice"]) if d.get("slice") is not None else None
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for key in self.key_iterator(d):
            logits = d[key].as_tensor() if isinstance(d[key], MetaTensor) else d[key]
            values = _on_original_grid(entropy(logits, sigmoid=self.sigmoid).cpu().numpy(), reference)
            path = self.output_dir / f"{d.get('case')}{ENDING}"
            write_mask(values, like, path, index=index, dtype=np.float32, overwrite=self.overwrite)
            d["maps"] = [*d.get("maps", []), str(path)]
        return d


def _on_original_grid(values: np.ndarray, reference: MetaTensor) -> np.ndarray:
    """Linear interpolation at the voxels of the file."""
    from scipy import ndimage

    working = np.asarray(reference.affine, dtype=np.float64)
    original = np.asarray(reference.meta["original_affine"], dtype=np.float64)
    shape = tuple(int(n) for n in reference.meta["spatial_shape"])[:3]
    matrix = np.linalg.inv(working) @ original
    return ndimage.affine_transform(values, matrix, output_shape=shape, order=1, mode="nearest").astype(np.float32)
