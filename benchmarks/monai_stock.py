"""MONAI's stock classes in the arrangement of its model zoo, with a bundle's network, weights and windows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monai.inferers import SlidingWindowInferer
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    NormalizeIntensityd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

from benchmarks.ours import parsed
from benchmarks.setting import COVID19
from pipeline.transforms import NeighbourSlicesd

SW_BATCH = 4  # as the zoo's bundles have it


class StockMonai:
    """float32, SlidingWindowInferer with overlap 0.5, softmax -> Invertd -> argmax -> SaveImaged.

    Args:
        bundle: whose network, spacing and window size are taken; the rest is MONAI's.
        weights: as for the bundle.
        out: folder of the masks, CASE.nii.gz.
    """

    def __init__(self, bundle: Path, weights: Path, out: Path) -> None:
        parser = parsed(bundle, weights)
        self.network = parser.get_parsed_content("network").eval()
        spacing, patch = parser.get_parsed_content("spacing"), parser.get_parsed_content("patch_size")
        scan = bundle.name == COVID19.name
        self.preprocessing = Compose([
            LoadImaged("image"),
            EnsureChannelFirstd("image"),
            *([ScaleIntensityRanged("image", -1250, 250, -1, 1, clip=True)] if scan else []),
            Spacingd("image", spacing, mode="bilinear"),
            *([] if scan else [NormalizeIntensityd("image", channel_wise=True)]),
            *([] if scan else [NeighbourSlicesd("image", parser.get_parsed_content("neighbours"))]),
        ])  # fmt: skip
        several = parser.get_parsed_content("softmax")
        self.inferer = SlidingWindowInferer(patch, SW_BATCH, 0.5)
        self.postprocessing = Compose([
            Activationsd("pred", softmax=several, sigmoid=not several),
            Invertd("pred", self.preprocessing, "image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", **({"argmax": True} if several else {"threshold": 0.5})),
            SaveImaged("pred", output_dir=out, output_postfix="", separate_folder=False, print_log=False),
        ])  # fmt: skip
        self.out = out

    @torch.no_grad()
    def __call__(self, item: Mapping[str, Any]) -> Path:
        """Segment one item; returns the path of its mask."""
        data = self.preprocessing({"image": str(item["image"])})
        data["pred"] = self.inferer(data["image"][None], self.network)[0]
        self.postprocessing(data)
        return self.out / Path(item["image"]).name
