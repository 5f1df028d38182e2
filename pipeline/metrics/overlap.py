"""Dice, IoU and pixel error of label maps, all from one table of counts."""

from __future__ import annotations

import numpy as np

FEW = 5  # classes, up to which it is faster to count the voxels of each pair of labels by itself


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
    return _count(_pair_codes(pred, truth, num_classes), num_classes)


def slice_confusions(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """`confusion` of every slice along the last axis, in the same single pass; their sum is the volume's table.

    Returns:
        (slices, C, C) int64.
    """
    codes = np.moveaxis(_pair_codes(pred, truth, num_classes), -1, 0)
    tables = [_count(plane, num_classes) for plane in codes]
    return np.array(tables, np.int64).reshape(-1, num_classes, num_classes)


def dice(counts: np.ndarray, members: np.ndarray | None = None) -> np.ndarray:
    """Dice = 2|A∩B| / (|A|+|B|) of each label (Zijdenbos et al. 1994; eq. 1 of the paper's measures).

    Args:
        counts: (..., C, C) tables of `confusion`.
        members: (S, C) which labels make up each structure, for structures that overlap; default: each label is one.

    Returns:
        (..., C) float64, or (..., S); NaN where a label (or structure) is in neither map.
    """
    both, in_truth, in_pred = sizes(counts, members)
    return _ratio(2 * both, in_truth + in_pred)


def iou(counts: np.ndarray, members: np.ndarray | None = None) -> np.ndarray:
    """IoU = |A∩B| / |A∪B| of each label (Jaccard's index); arguments and result as `dice`."""
    both, in_truth, in_pred = sizes(counts, members)
    return _ratio(both, in_truth + in_pred - both)


def pixel_error(counts: np.ndarray, members: np.ndarray | None = None) -> np.ndarray:
    """Pixel error = (FP + FN) / all voxels of the map, each label; NaN for a map without voxels; shapes as `dice`."""
    both, in_truth, in_pred = sizes(counts, members)
    return _ratio(in_truth + in_pred - 2 * both, counts.sum((-2, -1))[..., None])


def overall_pixel_error(counts: np.ndarray) -> np.ndarray:
    """Share of all voxels whose label differs, all classes together; (...), NaN for a map without voxels."""
    total = counts.sum((-2, -1))
    return _ratio(total - np.trace(counts, axis1=-2, axis2=-1), total)


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
    whole = np.issubdtype(labels.dtype, np.integer) or (labels == np.rint(labels)).all()
    if labels.size and not (whole and labels.min() >= 0 and labels.max() < num_classes):
        foreign = [value for value in np.unique(labels).tolist() if value not in range(num_classes)]
        raise ForeignLabels(name, f"0 to {num_classes - 1}", foreign)
    return labels.astype(np.uint8 if num_classes <= 256 else np.int64, copy=False)


def _pair_codes(pred: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """truth * C + pred of every voxel; one byte each where that holds it, which is several times faster."""
    pred = as_labels(pred, num_classes, name="prediction")
    truth = as_labels(truth, num_classes, name="truth")
    if pred.shape != truth.shape:
        raise ValueError(f"prediction has shape {pred.shape}, truth has shape {truth.shape}")
    code = np.uint8 if num_classes**2 <= 256 else np.int64
    return truth.astype(code, copy=False) * code(num_classes) + pred


def _count(codes: np.ndarray, num_classes: int) -> np.ndarray:
    if num_classes <= FEW:
        counts = [np.count_nonzero(codes == code) for code in range(num_classes**2)]
        return np.array(counts, np.int64).reshape(num_classes, num_classes)
    return np.bincount(codes.ravel(order="K"), minlength=num_classes**2).reshape(num_classes, num_classes)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator > 0)
