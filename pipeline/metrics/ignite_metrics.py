"""The validation Dice of training, computed by the code that scores finished masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler
from monai.metrics import CumulativeIterationMetric
from monai.utils import convert_to_numpy, evenly_divisible_all_gather

from pipeline.metrics import overlap
from pipeline.metrics.labels import Labels, classes_of, members_of


class CaseDice(CumulativeIterationMetric):
    """Dice of each structure for each case, on label maps.

    Call it with predictions and labels: lists of (1, X, Y, Z) tensors, or tensors (B, 1, X, Y, Z), that hold
    label numbers (not one-hot), each pair on one grid; cases may differ in shape. Use it in a bundle as
    `pipeline.metrics.CaseDiceHandler`, or as `metric_fn` of `monai.handlers.IgniteMetricHandler`.

    With torch.distributed the cases of all ranks are gathered, also from ranks that had none. A sampler that
    pads its shards repeats cases, which then count twice: use `DistributedSampler(even_divisible=False)`.

    Args:
        structures: name -> label number, without background; or name -> numbers where structures overlap
            (see `pipeline.structures`): {"lungs": [1, 2], "infection": [2]}.
    """

    def __init__(self, structures: Labels) -> None:
        super().__init__()
        if not structures:
            raise ValueError("CaseDice needs at least one structure")
        self.structures = dict(structures)
        self.num_classes = max(classes_of(self.structures)) + 1
        self.members = members_of(self.structures, range(self.num_classes))

    def aggregate(self) -> torch.Tensor:
        """Mean over cases of the mean over the case's defined structures; NaN if nothing was defined.

        Raises:
            ValueError: no case was given since the last reset.
        """
        return torch.nanmean(torch.nanmean(self._cases(), dim=1))

    def by_structure(self) -> dict[str, float]:
        """Mean over the cases for each structure; NaN where no case defines it. Raises as `aggregate`."""
        cases = self._cases()
        return {name: torch.nanmean(cases[:, column]).item() for column, name in enumerate(self.structures)}

    def _cases(self) -> torch.Tensor:
        buffer = self.get_buffer()
        if not len(buffer):
            raise ValueError("no case was scored: the validation set is empty")
        return buffer

    def _sync(self) -> None:
        """Gather from all ranks; unlike MONAI's, a rank without cases takes part, else the others wait."""
        if self._synced:
            return
        own = self._buffers[0] if self._buffers else []
        data = torch.stack(own) if own else torch.empty((0, len(self.structures)), dtype=torch.float64)
        self._synced_tensors = [evenly_divisible_all_gather(data, concat=True)]
        self._synced = True

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        if y is None or y_pred.shape[1] != 1 or y.shape[1] != 1:
            shapes = tuple(y_pred.shape[1:]), None if y is None else tuple(y.shape[1:])
            raise ValueError(f"CaseDice needs two label maps with one channel each, found shapes {shapes}")
        pairs = zip(convert_to_numpy(y_pred), convert_to_numpy(y), strict=True)
        return torch.stack([self._dice(pred, truth) for pred, truth in pairs])

    def _dice(self, pred: np.ndarray, truth: np.ndarray) -> torch.Tensor:
        counts = overlap.confusion(pred, truth, self.num_classes)
        return torch.from_numpy(overlap.dice(counts, self.members))


class CaseDiceHandler(IgniteMetricHandler):
    """`CaseDice` as an ignite metric: attached as "val_dice" it sets val_dice, val_dice_RV, val_dice_MYO ...

    The values land in `engine.state.metrics`, the (cases, structures) table in `engine.state.metric_details`.

    Args:
        structures: as `CaseDice`.
        output_transform: gives (predictions, labels) from the engine's output:
            `$monai.handlers.from_engine(['pred', 'label'])`.
    """

    def __init__(self, structures: Labels, output_transform: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__(metric_fn=CaseDice(structures), output_transform=output_transform)

    def completed(self, engine: Engine, name: str) -> None:
        """Write the mean under `name` and the structures' means under `name`_STRUCTURE."""
        super().completed(engine, name)
        for structure, value in self.metric_fn.by_structure().items():
            engine.state.metrics[f"{name}_{structure}"] = value
