"""The thin layer of VolSeg: what MONAI lacks for training, judging, running and shipping its bundles."""

__version__ = "0.1.0"
