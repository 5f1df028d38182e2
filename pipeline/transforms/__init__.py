"""Dictionary transforms that MONAI lacks."""

from pipeline.transforms.body import CropToBodyd
from pipeline.transforms.channels import ChannelCountd
from pipeline.transforms.clean_up import RemoveSmallComponentsd
from pipeline.transforms.grids import SliceAxisLastd, Spacingd, TakeSliced
from pipeline.transforms.intensity import HounsfieldWindowd
from pipeline.transforms.labels import MapLabelsd, StructureChannelsd, footprint
from pipeline.transforms.neighbours import NeighbourSlicesd, RandUpsideDownd, slice_by_slice
from pipeline.transforms.restore import RestoreGridd, labels_on_grid
from pipeline.transforms.save import SaveMaskd

__all__ = [
    "ChannelCountd",
    "CropToBodyd",
    "HounsfieldWindowd",
    "MapLabelsd",
    "NeighbourSlicesd",
    "RandUpsideDownd",
    "RemoveSmallComponentsd",
    "RestoreGridd",
    "SaveMaskd",
    "SliceAxisLastd",
    "Spacingd",
    "StructureChannelsd",
    "TakeSliced",
    "footprint",
    "labels_on_grid",
    "slice_by_slice",
]
