"""The losses that MONAI lacks or computes slowly; the rest is MONAI's."""

from pipeline.losses.active_contour import ActiveContourLoss
from pipeline.losses.combo import ComboLoss
from pipeline.losses.compound import CompoundLoss
from pipeline.losses.consistency import ConsistencyLoss
from pipeline.losses.deep_supervision import DeepSupervision
from pipeline.losses.dice_ce import DiceCELoss
from pipeline.losses.distance_field import TruthDistanced, TruthFieldHandler, distance_field
from pipeline.losses.distance_penalised_ce import DistancePenalisedCELoss
from pipeline.losses.exponential_logarithmic import ExponentialLogarithmicLoss
from pipeline.losses.hausdorff_cv import HausdorffCVLoss
from pipeline.losses.hausdorff_dt import HausdorffDTLoss
from pipeline.losses.hausdorff_er import HausdorffERLoss
from pipeline.losses.mumford_shah import MumfordShahLoss
from pipeline.losses.schedule import LossSchedule
from pipeline.losses.sensitivity_specificity import SensitivitySpecificityLoss

__all__ = [
    "ActiveContourLoss",
    "ComboLoss",
    "CompoundLoss",
    "ConsistencyLoss",
    "DeepSupervision",
    "DiceCELoss",
    "DistancePenalisedCELoss",
    "ExponentialLogarithmicLoss",
    "HausdorffCVLoss",
    "HausdorffDTLoss",
    "HausdorffERLoss",
    "LossSchedule",
    "MumfordShahLoss",
    "SensitivitySpecificityLoss",
    "TruthDistanced",
    "TruthFieldHandler",
    "distance_field",
]
