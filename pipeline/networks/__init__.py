"""Networks, and what fits them to a patch or runs them faster: only what MONAI lacks."""

from pipeline.networks.adapter import Adapter
from pipeline.networks.deeplab import DeepLabV3Plus
from pipeline.networks.deepmedic import DeepMedic
from pipeline.networks.fcn import FCN
from pipeline.networks.in_plane import in_plane
from pipeline.networks.plan import kernels, multiple, strides
from pipeline.networks.segnet import SegNet
from pipeline.networks.subpixel import Subpixel
from pipeline.networks.unet_unpadded import UNetUnpadded

__all__ = [
    "FCN",
    "Adapter",
    "DeepLabV3Plus",
    "DeepMedic",
    "SegNet",
    "Subpixel",
    "UNetUnpadded",
    "in_plane",
    "kernels",
    "multiple",
    "strides",
]
