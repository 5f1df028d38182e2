"""The losses that MONAI lacks or computes slowly; the rest is MONAI's."""

from pipeline.losses.distance_field import TruthDistanced, TruthFieldHandler, distance_field
from pipeline.losses.hausdorff_cv import HausdorffCVLoss
from pipeline.losses.hausdorff_dt import HausdorffDTLoss
from pipeline.losses.hausdorff_er import HausdorffERLoss

__all__ = [
    "HausdorffCVLoss",
    "HausdorffDTLoss",
    "HausdorffERLoss",
    "TruthDistanced",
    "TruthFieldHandler",
    "distance_field",
]
