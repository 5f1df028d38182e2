"""The paper's three measures during training: Dice, IoU and pixel error, as means over slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler
from monai.metrics import CumulativeIterationMetric
from monai.utils import convert_to_numpy

from pipeline.experiment.details import background_members
from pipeline.metrics import overlap
from pipeline.metrics.labels import Labels, classes_of, compact, members_of

MEASURES = ("dice", "iou", "pixel_error")


class SliceScores(CumulativeIterationMetric):
    """Means over all slices of all cases; a slice's Dice and IoU are means over what is defined in it.

    Call it with predictions and labels as `pipeline.metrics.CaseDice`: label maps (1, X, Y, Z), a case each.

    Args:
        structures: name -> number, or numbers where they overlap.
        background: whether the background counts as one more structure in Dice and IoU.
    """

    def __init__(self, structures: Labels, *, background: bool = False) -> None:
        super().__init__()
        self.structures = dict(structures)
        self.classes = len(classes_of(self.structures))
        self.members = background_members(self.structures) if background else members_of(self.structures)

    def aggregate(self) -> dict[str, float]:
        """Each of `MEASURES`; NaN where no slice defines it. Raises ValueError where no case was given."""
        buffer = self.get_buffer()
        if buffer is None or not len(buffer):
            raise ValueError("no case was scored: the validation set is empty")
        return dict(zip(MEASURES, torch.nanmean(buffer, dim=0).tolist(), strict=True))

    def _compute_tensor(self, y_pred: torch.Tensor, y: torch.Tensor | None = None, **_: Any) -> torch.Tensor:
        pairs = zip(convert_to_numpy(y_pred), convert_to_numpy(y), strict=True)
        return torch.cat([self._slices(pred, truth) for pred, truth in pairs])

    def _slices(self, pred: np.ndarray, truth: np.ndarray) -> torch.Tensor:
        """(slices, measures) of one case, NaN where a slice does not define it."""
        pred, truth = (compact(array, self.structures) for array in (pred, truth))
        tables = overlap.slice_confusions(pred, truth, self.classes)
        by_structure = (torch.from_numpy(measure(tables, self.members)) for measure in (overlap.dice, overlap.iou))
        means = [torch.nanmean(values, dim=-1) for values in by_structure]
        return torch.stack([*means, torch.from_numpy(overlap.overall_pixel_error(tables))], dim=-1).double()


class SliceScoresHandler(IgniteMetricHandler):
    """`SliceScores` as an ignite metric: attached as "val_slice" it sets val_slice_dice, val_slice_iou, ...

    Args:
        structures, background: as `SliceScores`.
        output_transform: gives (predictions, labels) from the engine's output.
    """

    def __init__(
        self,
        structures: Labels,
        output_transform: Callable[[Any], Any] = lambda output: output,
        *,
        background: bool = False,
    ) -> None:
        metric = SliceScores(structures, background=background)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=False)

    def completed(self, engine: Engine, name: str) -> None:
        """Write each measure as `name`_MEASURE into `engine.state.metrics`."""
        for measure, value in self.compute().items():
            engine.state.metrics[f"{name}_{measure}"] = value
