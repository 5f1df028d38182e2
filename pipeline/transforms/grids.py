"""Grids on the way to the network: a safe Spacingd, slices last, one slice of a stack."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.transforms import Spacingd as MonaiSpacingd
from monai.utils import LazyAttr
from nibabel.orientations import io_orientation

from pipeline.errors import DataError, Problem
from pipeline.transforms.interpolation import resample
from pipeline.volumes import slice_axis, thick_axis


class Spacingd(MonaiSpacingd):
    """MONAI's Spacingd without its sampling grid, and shown only its own keys.

    On the CPU images (bilinear) and labels (nearest) are taken along one axis after the other, which gives MONAI's
    values (to rounding) faster and without three coordinates per new voxel in memory; all else is left to MONAI, to
    whose class a bundle may change at any time. The first voxel stays where it is: with oblique volumes MONAI decides
    by the last bits of the affine whether it stays or the centre does, so that two formats of one scan differ there.

    MONAI 1.6.0 and 1.6.1 call `.update` on every item whose key starts with `<key>_`, so an item that carries
    `image_path` (as MONAI Label's do) crashes there.
    """

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, Any]:
        own = {key: data[key] for key in self.keys if key in data}
        if lazy or self.lazy or not all(self._separable(own[key], n) for n, key in enumerate(self.keys) if key in own):
            return {**data, **super().__call__(own, lazy=lazy)}
        planned = super().__call__(own, lazy=True)
        modes = dict(zip(self.keys, self.mode, strict=True))
        return {**data, **{key: _carried_out(image, modes[key]) for key, image in planned.items()}}

    def _separable(self, image: MetaTensor, number: int) -> bool:
        by_axis = self.mode[number] in ("bilinear", "nearest") and self.padding_mode[number] == "border"
        known = isinstance(image, MetaTensor) and not image.pending_operations
        return by_axis and known and image.ndim == 4 and image.device.type == "cpu" and not self.align_corners[number]


def _carried_out(image: MetaTensor, mode: str) -> MetaTensor:
    """The spacing that MONAI has planned for `image`, done."""
    (plan,) = image.pending_operations
    scale = torch.as_tensor(plan[LazyAttr.AFFINE], dtype=torch.float64).diagonal()
    positions = [step * torch.arange(int(n)) for step, n in zip(scale, plan[LazyAttr.SHAPE], strict=False)]
    if mode == "nearest":
        positions = [where.round() for where in positions]
    resampled = resample(image.as_tensor().to(torch.float32), positions)
    meta = {**image.meta, "affine": image.affine.to(torch.float64) @ scale.diag()}
    return MetaTensor(resampled, meta=meta, applied_operations=[*image.applied_operations, plan])


class SliceAxisLastd(MapTransform):
    """Move the through-plane axis, the one with by far the largest spacing, to the end of (C, X, Y, Z).

    A stack of slices may be stored with its slice axis first or in the middle; in-plane kernels need it last.
    Volumes without a clear through-plane axis, a single slice along the last axis, and those that have it last already
    pass unchanged. The affine follows, so `RestoreGridd` undoes it.

    Args:
        keys: MetaTensors, channel first, three spatial axes.
        axial: for CT: without a clear through-plane axis the one along the body comes last, and of the other two the
            one from left to right comes first, whatever order they are stored in.
    """

    def __init__(self, keys: KeysCollection, *, axial: bool = False) -> None:
        super().__init__(keys)
        self.axial = axial

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = _slices_last(d[key], axial=self.axial)
        return d


class TakeSliced(MapTransform):
    """Of a stack of slices (C, X, Y, Z) the one that the item's "slice" names, as (C, X, Y, 1) where it lies in space.

    Items without "slice" pass unchanged.

    Args:
        keys: MetaTensors, channel first.

    Raises:
        DataError: the stack has no slice of that number.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if "slice" in d:
            for key in self.key_iterator(d):
                d[key] = _one_slice(d[key], int(d["slice"]))
        return d


def _slices_last(image: MetaTensor, *, axial: bool) -> MetaTensor:
    distances = image.affine[:3, :3].norm(dim=0).tolist()
    across = slice_axis(distances, image.shape[1:])
    order = [0, 1, 2]
    if axial:
        order = np.argsort(io_orientation(image.affine.cpu().numpy())[:, 0]).tolist()  # right-left, front-back, up
        across = across if thick_axis(distances) is not None or image.shape[3] == 1 else order[2]
    order = [axis for axis in order if axis != across] + [across]
    if order == [0, 1, 2]:
        return image
    affine = image.affine[:, [*order, 3]]
    moved = image.as_tensor().permute(0, *(axis + 1 for axis in order)).contiguous()
    return MetaTensor(moved, meta={**image.meta, "affine": affine})


def _one_slice(stack: MetaTensor, index: int) -> MetaTensor:
    if index >= stack.shape[3]:
        file = str(stack.meta.get("filename_or_obj", "image"))
        raise DataError(
            Problem(file, f"slice {index}", f"{stack.shape[3]} slices, counted from 0", "Build the list again")
        )
    shift = torch.eye(4, dtype=torch.float64)
    shift[2, 3] = index
    meta = dict(stack.meta)
    meta["affine"] = stack.affine.to(torch.float64) @ shift
    meta["original_affine"] = torch.as_tensor(np.asarray(stack.meta["original_affine"]), dtype=torch.float64) @ shift
    meta["spatial_shape"] = np.array([*stack.shape[1:3], 1])
    return MetaTensor(stack.as_tensor()[..., index : index + 1].clone(), meta=meta)
