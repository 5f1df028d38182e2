"""From logits on the working grid to one label map on the image's own."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipeline.structures import Labels, numbers_of, own_numbers, painting_order
from pipeline.transforms.interpolation import interpolate

RIM = 1.0  # voxels of the working grid; resampling leaves up to one of them beyond its outermost centres


class RestoreGridd(MapTransform):
    """Turn logits on the working grid into one label map on the original grid of the image.

    Logits are interpolated linearly, a slab of slices at a time, and the labels are taken there, so memory stays at
    channels x one slab; only the box that holds all that is not background is looked at, since between voxels that all
    say background every point does. Without `labels` the channels are classes, background first, and the largest wins.
    With `labels` each channel is one structure on its own, there where its logit is above 0 (a probability of 0.5), and
    later structures are painted over earlier ones, but none over one that it holds. Voxels beyond the working grid,
    where nothing was computed (a cropped body), are background; a rim of one working voxel takes the nearest logits.

    Args:
        keys: logits (channels, x, y, z) on the grid of `ref_key`.
        ref_key: the preprocessed image; its `affine`, `original_affine` and `spatial_shape` tell both grids.
        labels: name -> number or numbers of the structure behind each channel (`pipeline.structures`).
        slab: voxels of the original grid that are computed at a time.

    Raises:
        ValueError: where the two grids are not aligned with each other (a rotation between them), or the number of
            channels is not that of the labels.
    """

    def __init__(
        self, keys: KeysCollection, ref_key: str = "image", labels: Labels | None = None, slab: int = 2**21
    ) -> None:
        super().__init__(keys)
        self.ref_key = ref_key
        own = {} if labels is None else own_numbers(labels)
        self.numbers = None if labels is None else list(own.values())
        self.order = [list(own).index(name) for name in painting_order(numbers_of(labels))] if own else []
        self.slab = slab

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        reference = d[self.ref_key]
        working = reference.affine.to(torch.float64).cpu()
        affine = torch.as_tensor(np.asarray(reference.meta["original_affine"]), dtype=torch.float64)
        shape = [int(n) for n in reference.meta["spatial_shape"]][:3]
        for key in self.key_iterator(d):
            logits = d[key].as_tensor() if isinstance(d[key], MetaTensor) else d[key]
            how = {"numbers": self.numbers, "order": self.order, "slab": self.slab}
            labels = labels_on_grid(logits, working, affine, shape, **how)
            meta = {**reference.meta, "affine": affine, "spatial_shape": np.asarray(shape)}
            d[key] = MetaTensor(labels[None], meta=meta)
        return d


def labels_on_grid(
    logits: torch.Tensor,
    working_affine: torch.Tensor,
    affine: torch.Tensor,
    shape: Sequence[int],
    *,
    numbers: Sequence[int] | None = None,
    order: Sequence[int] = (),
    slab: int = 2**21,
) -> torch.Tensor:
    """Labels of `logits` (C, x, y, z), interpolated linearly at the voxels of the grid (`shape`, `affine`).

    Args:
        working_affine, affine: 4 x 4, voxel to mm, of the logits' grid and of the wanted one.
        shape: the wanted X, Y, Z.
        numbers: None: the largest channel's index. Else the number painted where each channel is above 0.
        order: of the channels, in which they are painted; as they come where it is empty.
        slab: voxels computed at a time.

    Returns:
        uint8 labels (X, Y, Z) on the logits' device; 0 more than one working voxel beyond the logits.
    """
    if numbers is not None and len(numbers) != logits.shape[0]:
        raise ValueError(f"{logits.shape[0]} channels of logits for {len(numbers)} structures")
    axes, positions = _aligned_axes(torch.linalg.inv(working_affine) @ affine, shape)
    aligned = logits.permute(0, *(axis + 1 for axis in axes))
    found = (aligned[1:] > aligned[:1] if numbers is None else aligned > 0).any(dim=0)
    inside = [_between(where, *_extent(found, axis)) for axis, where in enumerate(positions)]
    positions = [where[part] for where, part in zip(positions, inside, strict=True)]
    # laid out as files are, slice after slice: they are written from there
    labels = torch.zeros(tuple(shape)[::-1], dtype=torch.uint8, device=logits.device).permute(2, 1, 0)
    block = labels[tuple(inside)]
    step = max(1, slab // max(1, block.shape[0] * block.shape[1]))
    for start in range(0, block.shape[2], step):
        part = interpolate(aligned, positions[2][start : start + step], dim=3)
        part = interpolate(interpolate(part, positions[0], dim=1), positions[1], dim=2)
        block[:, :, start : start + step] = _largest(part) if numbers is None else _paint(part, numbers, order)
    return labels


def _largest(logits: torch.Tensor) -> torch.Tensor:
    """The index of the largest channel, of the first one among equals: torch's argmax over the first axis of a volume
    takes 20 to 100 times as long."""
    best = logits[0]
    labels = torch.zeros(best.shape, dtype=torch.uint8, device=logits.device)
    for number, channel in enumerate(logits[1:], start=1):
        labels = torch.maximum(labels, (channel > best).to(torch.uint8).mul_(number))
        best = torch.maximum(best, channel)
    return labels


def _paint(logits: torch.Tensor, numbers: Sequence[int], order: Sequence[int]) -> torch.Tensor:
    painted = torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for channel in order or range(len(numbers)):
        painted[logits[channel] > 0] = numbers[channel]
    return painted


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


def _extent(found: torch.Tensor, axis: int) -> tuple[int, int]:
    """The first and the last index along `axis` at which anything is found; (0, -2) where nothing is."""
    others = [other for other in range(found.ndim) if other != axis]
    places = found.any(dim=others[1]).any(dim=others[0]).nonzero().flatten()
    return (int(places[0]), int(places[-1])) if len(places) else (0, -2)


def _between(positions: torch.Tensor, first: int, last: int) -> slice:
    """The run of positions from a rim before the working voxel `first` to a rim behind `last`."""
    near = torch.nonzero((positions >= first - RIM) & (positions <= last + RIM)).flatten()
    return slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0)
