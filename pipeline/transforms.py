"""Dictionary transforms that MONAI lacks: a safe Spacingd, slices last, and masks on the original grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.transforms import Spacingd as MonaiSpacingd

from pipeline.volumes import mask_name, slice_axis, write_mask


class Spacingd(MonaiSpacingd):
    """MONAI's Spacingd, shown only its own keys.

    MONAI 1.6.0 and 1.6.1 call `.update` on every item whose key starts with `<key>_`, so an item that carries
    `image_path` (as MONAI Label's do) crashes there.
    """

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        own = {key: data[key] for key in self.keys if key in data}
        return {**data, **super().__call__(own, lazy=lazy)}


class SliceAxisLastd(MapTransform):
    """Move the through-plane axis, the one with by far the largest spacing, to the end of (C, X, Y, Z).

    A stack of slices may be stored with its slice axis first or in the middle; in-plane kernels need it last.
    Volumes without a clear through-plane axis, a single slice along the last axis, and those that have it last already
    pass unchanged. The affine follows, so `RestoreGridd` undoes it.

    Args:
        keys: MetaTensors, channel first, three spatial axes.
        ratio: how many times the largest spacing must exceed the last axis's to be moved.
    """

    def __init__(self, keys: KeysCollection, ratio: float = 1.5, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.ratio = ratio

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self._slices_last(d[key])
        return d

    def _slices_last(self, image: MetaTensor) -> MetaTensor:
        thick = slice_axis(image.affine[:3, :3].norm(dim=0).tolist(), image.shape[1:], ratio=self.ratio)
        if thick == 2:
            return image
        order = [axis for axis in range(3) if axis != thick] + [thick]
        affine = image.affine[:, [*order, 3]]
        moved = image.as_tensor().permute(0, *(axis + 1 for axis in order)).contiguous()
        return MetaTensor(moved, meta={**image.meta, "affine": affine})


class RestoreGridd(MapTransform):
    """Turn logits on the working grid into one label map on the original grid of the image.

    Logits are interpolated linearly, a slab of slices at a time, and the largest class is taken there, so memory
    stays at classes x one slab. Voxels outside the working grid take the nearest logits.

    Args:
        keys: logits (classes, x, y, z) on the grid of `ref_key`.
        ref_key: the preprocessed image; its `affine`, `original_affine` and `spatial_shape` tell both grids.
        slab: voxels of the original grid that are computed at a time.

    Raises:
        ValueError: where the two grids are not aligned with each other (a rotation between them).
    """

    def __init__(self, keys: KeysCollection, ref_key: str = "image", slab: int = 2**21) -> None:
        super().__init__(keys)
        self.ref_key = ref_key
        self.slab = slab

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        reference = d[self.ref_key]
        affine = torch.as_tensor(np.asarray(reference.meta["original_affine"]), dtype=torch.float64)
        shape = [int(n) for n in reference.meta["spatial_shape"]][:3]
        for key in self.key_iterator(d):
            logits = d[key].as_tensor() if isinstance(d[key], MetaTensor) else d[key]
            labels = labels_on_grid(logits, reference.affine.to(torch.float64).cpu(), affine, shape, slab=self.slab)
            meta = {**reference.meta, "affine": affine, "spatial_shape": np.asarray(shape)}
            d[key] = MetaTensor(labels[None], meta=meta)
        return d


def labels_on_grid(
    logits: torch.Tensor,
    working_affine: torch.Tensor,
    affine: torch.Tensor,
    shape: Sequence[int],
    *,
    slab: int = 2**21,
) -> torch.Tensor:
    """Largest class of `logits` (C, x, y, z), interpolated linearly at the voxels of the grid (`shape`, `affine`).

    Args:
        working_affine, affine: 4 x 4, voxel to mm, of the logits' grid and of the wanted one.
        shape: the wanted X, Y, Z.
        slab: voxels computed at a time.

    Returns:
        uint8 labels (X, Y, Z) on the logits' device.
    """
    axes, positions = _aligned_axes(torch.linalg.inv(working_affine) @ affine, shape)
    aligned = logits.permute(0, *(axis + 1 for axis in axes))
    labels = torch.empty(tuple(shape), dtype=torch.uint8, device=logits.device)
    step = max(1, slab // (shape[0] * shape[1]))
    for start in range(0, shape[2], step):
        part = _interpolate(aligned, positions[2][start : start + step], dim=3)
        part = _interpolate(_interpolate(part, positions[0], dim=1), positions[1], dim=2)
        labels[:, :, start : start + step] = part.argmax(dim=0)
    return labels


def _aligned_axes(matrix: torch.Tensor, shape: Sequence[int]) -> tuple[list[int], list[torch.Tensor]]:
    """For each original axis, the working axis that runs along it and the working coordinate of each voxel."""
    linear = matrix[:3, :3]
    axes = linear.abs().argmax(dim=0).tolist()
    off_axis = linear.clone()
    off_axis[axes, [0, 1, 2]] = 0
    drift = off_axis.abs() @ torch.tensor(list(shape), dtype=torch.float64)
    if sorted(axes) != [0, 1, 2] or float(drift.max()) > 0.5:
        raise ValueError("the working grid is rotated against the original one; resample with SpatialResample instead")
    positions = [
        matrix[axes[j], j] * torch.arange(shape[j], dtype=torch.float64) + matrix[axes[j], 3] for j in range(3)
    ]
    return axes, positions


def _interpolate(x: torch.Tensor, positions: torch.Tensor, dim: int) -> torch.Tensor:
    """Values of `x` at fractional `positions` along `dim`, clamped to its ends."""
    size = x.shape[dim]
    positions = positions.clamp(0, size - 1)
    lower = positions.floor().long().clamp(max=max(size - 2, 0))
    weight = positions - lower
    if bool((weight == 0).all()):
        return (
            x
            if len(lower) == size and bool((lower == torch.arange(size)).all())
            else x.index_select(dim, lower.to(x.device))
        )
    view = [-1 if axis == dim else 1 for axis in range(x.ndim)]
    weight = weight.to(x).view(view)
    lower = lower.to(x.device)
    return torch.lerp(x.index_select(dim, lower), x.index_select(dim, (lower + 1).clamp(max=size - 1)), weight)


class SaveMaskd(MapTransform):
    """Write a label map as uint8 on the image's exact grid, atomically, and put the path into the item as "mask".

    Args:
        keys: label map (1, X, Y, Z) on the original grid.
        output_dir: folder; made where it is missing.
        ref_key: the image, whose file tells geometry and format.
        overwrite: whether an existing mask is replaced.
    """

    def __init__(self, keys: KeysCollection, output_dir: str, ref_key: str = "image", overwrite: bool = False) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        self.ref_key = ref_key
        self.overwrite = overwrite

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        like = d[self.ref_key].meta["filename_or_obj"]
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for key in self.key_iterator(d):
            mask = np.asarray(d[key].cpu())[0].astype(np.uint8)
            path = self.output_dir / mask_name(d.get("case"), like)
            d["mask"] = str(write_mask(mask, like, path, overwrite=self.overwrite))
        return d
