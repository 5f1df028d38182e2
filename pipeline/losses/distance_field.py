"""Distances to the boundary of masks, and the truth's distances computed once per volume instead of at every step."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import edt
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type

from pipeline.losses.common import axis_spacing
from pipeline.structures import Labels, structure_masks

FIELD = "truth_field"


@torch.no_grad()
def distance_field(
    masks: torch.Tensor, spacing: Sequence[float] | float = 1.0, *, squared: bool = False
) -> torch.Tensor:
    """For each voxel the distance to the nearest voxel on the other side of its mask's boundary.

    Inside a mask that is the nearest voxel outside, and the other way round, from centre to centre: the sum of the two
    Euclidean distance transforms. The border of the volume is no boundary. Computed on the CPU, a mask at a time, in as
    many threads as torch uses.

    Args:
        masks: (B, C, H, W[, D]), boolean; other types count as inside above 0.5.
        spacing: mm, one number or one for each axis.
        squared: leave out the square root.

    Returns:
        float32 of the same shape and device, in mm (squared: mm^2); 0 for a mask that is empty or full.
    """
    masks = masks.as_tensor() if isinstance(masks, MetaTensor) else masks
    inside = masks if masks.dtype == torch.bool else masks > 0.5
    steps = axis_spacing(spacing, inside.ndim - 2)
    # two labels give the distances on both sides in one call; edt takes twice as long for booleans
    sides = (inside.to(torch.uint8) + 1).contiguous().cpu()
    largest, smallest = sides.flatten(2).amax(2), sides.flatten(2).amin(2)
    field = torch.zeros(sides.shape)
    transform = edt.edtsq if squared else edt.edt
    for item, channel in (largest != smallest).nonzero().tolist():
        found = transform(
            sides[item, channel].numpy(), anisotropy=steps, black_border=False, parallel=torch.get_num_threads()
        )
        field[item, channel] = torch.from_numpy(found)
    return field.to(masks.device)


class TruthDistanced(MapTransform):
    """Put the distance field of a label into the item, so that HausdorffDTLoss need not compute it at every step.

    Its key is "truth_field", its shape (structures, H, W[, D]).

    It belongs among the deterministic transforms, after resampling and padding, so that CacheDataset keeps it. From
    there it is one more key of every transform that moves voxels without changing distances: crops, flips, rotations
    by 90 degrees. Not of zooms, elastic deformations and free rotations (RandAffined, RandZoomd, Rand3DElasticd ...):
    there the field no longer belongs to the label; HausdorffDTLoss refuses such a field. A crop keeps the distances of
    the whole volume: also to boundaries outside the crop, which a field of the crop alone does not know.

    Args:
        keys: of the label map (1, H, W[, D]), or with `labels` None of its masks (C, H, W[, D]).
        labels: structure -> number or numbers; one channel for each, in this order. They must be the channels that
            the loss counts: with include_background=False the classes 1, 2, ... None: each channel is a mask.
        spacing: mm, one number or one for each axis; -1 takes an axis's from the metadata of the label, None all.
        dtype: torch.float16 halves the memory, distances are then off by up to 0.05 %.

    Raises:
        ValueError: the spacing is to be taken from a label without metadata, or `labels` is given for several channels.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        labels: Labels | None = None,
        spacing: Sequence[float] | float | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(keys)
        self.labels = labels
        self.spacing = spacing
        self.dtype = dtype

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with the field."""
        d = dict(data)
        for key in self.key_iterator(d):
            label = d[key]
            array = np.asarray(label)
            if self.labels is not None and len(array) != 1:
                raise ValueError(f"a label map has one channel, {key} has {len(array)}: leave labels out for masks")
            masks = array > 0.5 if self.labels is None else structure_masks(array[0], self.labels)
            field = distance_field(torch.from_numpy(masks[None]), self._spacing(label))[0]
            d[FIELD] = convert_to_dst_type(field, label, dtype=self.dtype)[0]
        return d

    def _spacing(self, label: Any) -> list[float]:
        """The spacing of each axis of this label."""
        axes = label.ndim - 1
        given = self.spacing if isinstance(self.spacing, Sequence) else [self.spacing] * axes
        if all(n is not None and n > 0 for n in given):
            return list(given)
        if not isinstance(label, MetaTensor):
            raise ValueError("the label has no metadata to take the spacing from: give spacing in mm")
        found = label.affine[:axes, :axes].norm(dim=0).tolist()
        return [own if n is None or n <= 0 else n for n, own in zip(given, found, strict=True)]


class TruthFieldHandler:
    """Hands the batch's distance fields to the loss: the one line that MONAI's SupervisedTrainer needs for it.

        {"_target_": "pipeline.losses.TruthFieldHandler", "loss": "@loss"}

    Every HausdorffDTLoss within `loss` uses them in this iteration. A batch without the key is trained on with fields
    computed on the way, as without this handler.

    Args:
        loss: the engine's loss function, alone or with the Hausdorff loss inside (CompoundLoss).
    """

    def __init__(self, loss: Any) -> None:
        modules = loss.modules() if isinstance(loss, torch.nn.Module) else []
        self.takers = [module for module in modules if hasattr(module, "truth_field")]

    def attach(self, engine: Engine) -> None:
        """Register around each iteration."""
        if self.takers:
            engine.add_event_handler(Events.ITERATION_STARTED, self._hand_over)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._take_back)

    def _hand_over(self, engine: Engine) -> None:
        for taker in self.takers:
            taker.truth_field = engine.state.batch.get(FIELD)

    def _take_back(self, engine: Engine) -> None:
        for taker in self.takers:
            taker.truth_field = None


@torch.no_grad()
def check_field(field: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float] | float) -> None:
    """Whether `field` is the distance field of `truth`, or a crop of one, as far as two neighbours tell.

    Where the truth changes from a voxel to the next along the axis of the smallest spacing, both have just this
    spacing as their distance: not so after a zoom, after a flip of the label alone, or with another spacing.

    Args:
        field, truth: (B, C, H, W[, D]).
        spacing: mm, one number or one for each axis.

    Raises:
        ValueError: it is not.
    """
    steps = axis_spacing(spacing, truth.ndim - 2)
    step, axis = min(
        ((step, axis) for axis, step in enumerate(steps, start=2) if truth.shape[axis] > 1), default=(0, 2)
    )
    changes = (truth > 0.5).diff(dim=axis)
    size = truth.shape[axis]
    sides = field.narrow(axis, 0, size - 1)[changes], field.narrow(axis, 1, size - 1)[changes]
    distances = torch.cat(sides).float()
    if distances.numel() and float((distances - step).abs().max()) > 0.01 * step:
        low, high = float(distances.min()), float(distances.max())
        raise ValueError(
            f"the truth field does not fit the label: beside the boundary it is {low:.3g} to {high:.3g} mm where the "
            f"spacing is {step:.3g} mm. Give the loss and TruthDistanced the same spacing and classes, TruthDistanced "
            "after resampling and padding, the field to each crop, flip and 90-degree rotation, and no zoom, free "
            "rotation or elastic deformation"
        )
