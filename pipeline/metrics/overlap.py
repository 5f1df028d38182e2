"""Dice, IoU and pixel error of label maps, all from one table of counts."""

from __future__ import annotations

import numpy as np

from pipeline.metrics.empty import EmptyPolicy


class ForeignLabels(ValueError):  # noqa: N818
    """A label map holds values that are no labels.

    Args:
        name: which map ("truth").
        expected: the labels there are ("0 to 3").
        found: the values that are none of them.
    """

    def __init__(self, name: str, expected: str, found: list[float]) -> None:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        self.expected, self.found = expected, ", ".join(f"{value:g}" for value in found[:5]) + more
        super().__init__(f"{name}: labels are {expected}, found {self.found}")


def confusion(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the voxels of every pair of labels in one pass.

    Args:
        pred: label map of any shape; integers, booleans, or floats that hold whole numbers.
        truth: label map of the same shape.
        num_classes: C, background included; labels run from 0 to C-1.

    Returns:
        (C, C) int64; row = label in the truth, column = label in the prediction. All zero for empty arrays.

    Raises:
        ValueError: the shapes differ, or a map holds values that are no labels (they are named).
    """
    codes = _pair_codes(pred, truth, num_classes)
    return _count(codes.ravel(order="K"), num_classes)


def slice_confusions(pred: np.ndarray, truth: np.ndarray, num_classes: int, *, axis: int = -1) -> np.ndarray:
    """`confusion` of every slice along `axis`, in the same single pass; their sum is the volume's table.

    Returns:
        (slices, C, C) int64.
    """
    codes = np.moveaxis(_pair_codes(pred, truth, num_classes), axis, 0)
    tables = [_count(plane.ravel(order="K"), num_classes) for plane in codes]
    return np.stack(tables) if tables else np.zeros((0, num_classes, num_classes), np.int64)


def dice(
    counts: np.ndarray, members: np.ndarray | None = None, *, policy: EmptyPolicy = EmptyPolicy.UNDEFINED
) -> np.ndarray:
    """Dice = 2|A∩B| / (|A|+|B|) of each label (Zijdenbos et al. 1994; eq. 1 of the paper's measures).

    Args:
        counts: (..., C, C) tables of `confusion`.
        members: (S, C) which labels make up each structure, for structures that overlap; default: each label is one.
        policy: value where a label (or structure) is in neither map.

    Returns:
        (..., C) float64, or (..., S).
    """
    both, in_truth, in_pred = sizes(counts, members)
    return _ratio(2 * both, in_truth + in_pred, policy)


def iou(
    counts: np.ndarray, members: np.ndarray | None = None, *, policy: EmptyPolicy = EmptyPolicy.UNDEFINED
) -> np.ndarray:
    """IoU = |A∩B| / |A∪B| of each label (Jaccard's index); arguments and result as `dice`."""
    both, in_truth, in_pred = sizes(counts, members)
    return _ratio(both, in_truth + in_pred - both, policy)


def pixel_error(counts: np.ndarray, members: np.ndarray | None = None) -> np.ndarray:
    """Pixel error = (FP + FN) / all voxels of the map, each label; NaN for a map without voxels; shapes as `dice`."""
    both, in_truth, in_pred = sizes(counts, members)
    return _ratio(in_truth + in_pred - 2 * both, counts.sum((-2, -1))[..., None], EmptyPolicy.UNDEFINED)


def overall_pixel_error(counts: np.ndarray) -> np.ndarray:
    """Share of all voxels whose label differs, all classes together; (...), NaN for a map without voxels."""
    total = counts.sum((-2, -1))
    return _ratio(total - np.trace(counts, axis1=-2, axis2=-1), total, EmptyPolicy.UNDEFINED)


def sizes(counts: np.ndarray, members: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels in both maps, in the truth and in the prediction, of each label or structure; arguments as `dice`."""
    if members is None:
        return np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(-1), counts.sum(-2)
    members = np.asarray(members, np.int64)
    both = ((members @ counts) * members).sum(-1)  # all pairs of labels that are both the structure's
    return both, counts.sum(-1) @ members.T, counts.sum(-2) @ members.T


def as_labels(labels: np.ndarray, num_classes: int, *, name: str = "label map") -> np.ndarray:
    """The map as unsigned integers, checked to hold labels 0 to num_classes-1 only.

    Raises:
        ForeignLabels: with the values that are no labels (the first five).
    """
    labels = np.asarray(labels)
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    whole = np.issubdtype(labels.dtype, np.integer)
    if labels.size and not (labels.min() >= 0 and labels.max() < num_classes and (whole or _all_whole(labels))):
        foreign = [value for value in np.unique(labels).tolist() if value not in range(num_classes)]
        raise ForeignLabels(name, f"0 to {num_classes - 1}", foreign)
    return labels.astype(np.uint8 if num_classes <= 256 else np.int64, copy=False)


def _all_whole(values: np.ndarray) -> bool:
    return bool((values == np.rint(values)).all())


def _pair_codes(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """truth * C + pred of every voxel; one byte each where that holds it, which is several times faster."""
    pred = as_labels(pred, num_classes, name="prediction")
    truth = as_labels(truth, num_classes, name="truth")
    if pred.shape != truth.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth has shape {truth.shape}")
    small = num_classes**2 <= 256
    truth = truth if small else truth.astype(np.int64)
    return truth * truth.dtype.type(num_classes) + pred


def _count(codes: np.ndarray, num_classes: int) -> np.ndarray:
    counts = np.bincount(codes, minlength=num_classes**2).astype(np.int64, copy=False)
    return counts.reshape(num_classes, num_classes)


def _ratio(numerator: np.ndarray, denominator: np.ndarray, policy: EmptyPolicy) -> np.ndarray:
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    empty = np.full(denominator.shape, policy.value_if_both_empty)
    return np.divide(numerator, denominator, out=empty, where=denominator > 0)
