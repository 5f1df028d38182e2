"""nnU-Net's own predictor (nnunetv2) with a bundle's network: plans and dataset.json are made by hand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.ours import parsed
from benchmarks.setting import ACDC
from pipeline.transforms import NeighbourSlicesd

CONFIGURATION = "2d"
RESAMPLING = {"is_seg": False, "order_z": 0, "force_separate_z": None}


class NNUNet:
    """nnUNetPredictor, step size 0.5, Gaussian weights, no mirroring, in one process (no workers to start).

    Its 2d configuration gives the network one slice at a time, which gets its neighbours as channels after the
    preprocessing, as in the bundle. Its own are reading and writing (SimpleITK), cropping, z-score, resampling
    (order 3, logits order 1) and windows.

    Raises:
        ImportError: nnunetv2 is not installed (the extra `benchmark`).
    """

    def __init__(self, weights: Path, out: Path, *, bundle: Path = ACDC) -> None:
        os.environ.setdefault("nnUNet_def_n_proc", str(torch.get_num_threads()))
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):  # unset, they are warned of
            os.environ.setdefault(name, str(out))
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        parser = parsed(bundle, weights)
        labels = parser.get_parsed_content("labels")
        plans = PlansManager(
            _plans(parser.get_parsed_content("patch_size")[:2], parser.get_parsed_content("spacing")[:2])
        )
        network = InSlices(parser.get_parsed_content("network").eval())
        neighbours = NeighbourSlicesd("image", parser.get_parsed_content("neighbours"))

        class Predictor(nnUNetPredictor):
            def predict_sliding_window_return_logits(self, input_image: torch.Tensor) -> torch.Tensor:
                slices_last = neighbours({"image": input_image.movedim(1, -1)})["image"]
                return super().predict_sliding_window_return_logits(slices_last.movedim(-1, 1))

        self.predictor = Predictor(
            tile_step_size=0.5, use_gaussian=True, use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False
        )
        self.predictor.manual_initialization(
            network,
            plans,
            plans.get_configuration(CONFIGURATION),
            [network.state_dict()],
            {"labels": {"background": 0, **labels}, "channel_names": {"0": "MRI"}, "file_ending": ".nii.gz"},
            "nnUNetTrainer",
            None,
        )
        out.mkdir(parents=True, exist_ok=True)
        self.out = out

    def __call__(self, item: Mapping[str, Any]) -> Path:
        """Segment one item; returns the path of its mask."""
        target = self.out / item["case"]
        self.predictor.predict_from_files_sequential([[str(item["image"])]], [str(target)])
        return target.with_name(f"{target.name}.nii.gz")


class InSlices(nn.Module):
    """The 3D network of a bundle as nnU-Net calls a 2D one: (B, C, Y, X), since SimpleITK's arrays are transposed."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes, Y, X)."""
        return self.network(x.transpose(2, 3)[..., None])[..., 0].transpose(2, 3)


def _plans(patch: list[int], spacing: list[float]) -> dict[str, Any]:
    """As nnU-Net's planner writes them for ACDC, as far as its predictor reads them."""
    default = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": "none",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 1,
        "patch_size": list(patch),
        "spacing": list(spacing),
        "median_image_size_in_voxels": list(patch),
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": default,
        "resampling_fn_seg": default,
        "resampling_fn_probabilities": default,
        "resampling_fn_data_kwargs": {**RESAMPLING, "order": 3},
        "resampling_fn_seg_kwargs": {**RESAMPLING, "is_seg": True, "order": 1},
        "resampling_fn_probabilities_kwargs": {**RESAMPLING, "order": 1},
        "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
        "batch_dice": True,
    }
    return {
        "dataset_name": "benchmark",
        "plans_name": "benchmark",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {CONFIGURATION: configuration},
    }
