"""This project's side: one image through a bundle's inference.json, and the bare network on the same windows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.setting import ACDC
from pipeline.allocation import keep_freed_memory
from pipeline.segmentation.runner import BundleRunner

PLAIN = {"mirror_axes": [], "overwrite": True}  # as the peers: no mirrored copies


class Segmenter:
    """Segment items one after the other, masks kept in `out` as CASE.nii.gz; calling it gives the mask's path.

    Attributes:
        stages: of every call, the seconds to read and preprocess, of the network, to restore and write.
    """

    def __init__(self, bundle: Path, weights: Path, out: Path, **overrides: Any) -> None:
        out.mkdir(parents=True, exist_ok=True)
        keep_freed_memory()  # as the command does; peers in the same process have it, too
        self.run = BundleRunner(bundle, output_dir=out, weights=weights, device="cpu", overrides=PLAIN | overrides)
        self.stages: list[dict[str, float]] = []

    def __call__(self, item: Mapping[str, Any]) -> Path:
        from pipeline.segmentation.intake import inspect

        inspect(item["image"])  # `volseg segment` looks at each file before it reads it
        done = self.run({"image": str(item["image"]), "case": item["case"]})
        self.stages.append(done.seconds)
        return done.mask


class BareNetwork:
    """The network alone, on the windows that the bundle's inferer cuts from each item.

    The windows are cut once for each item, in `prepare`; calling it is nothing but the forward passes, in float32;
    `in_bf16` gives the same under autocast.
    """

    def __init__(self, weights: Path, *, bundle: Path = ACDC, **overrides: Any) -> None:
        parser = parsed(bundle, weights, **PLAIN | {"precision": "fp32"} | overrides)
        self.network = parser.get_parsed_content("network").eval()
        self.preprocessing = parser.get_parsed_content("preprocessing")
        self.inferer = parser.get_parsed_content("inferer")
        self.windows: dict[str, list[torch.Tensor]] = {}

    @torch.no_grad()
    def prepare(self, item: Mapping[str, Any]) -> None:
        """Cut the windows of an item; they are computed, since the coarse look decides where the fine ones lie."""
        kept: list[torch.Tensor] = []

        def keep(batch: torch.Tensor) -> torch.Tensor:
            kept.append(batch.clone())
            return self.network(batch)

        image = self.preprocessing({"image": str(item["image"]), "case": item["case"]})["image"]
        self.inferer(image.as_tensor()[None], keep)
        self.windows[item["case"]] = kept

    @torch.no_grad()
    def __call__(self, item: Mapping[str, Any]) -> None:
        for batch in self.windows[item["case"]]:
            self.network(batch)

    def in_bf16(self, item: Mapping[str, Any]) -> None:
        """The forward passes under bf16 autocast."""
        with torch.autocast("cpu", torch.bfloat16):
            self(item)


def as_shipped(bundle: Path) -> dict[str, Any]:
    """What undoes PLAIN: a bundle's own settings of the same keys."""
    return {"mirror_axes": json.loads((bundle / "inference.json").read_text(encoding="utf-8"))["mirror_axes"]}


def parsed(bundle: Path, weights: Path, **overrides: Any) -> Any:
    """MONAI's parser of a bundle's inference.json with the weights loaded into its network, on the CPU."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(bundle / "inference.json"))
    parser.update(
        {"bundle_root": str(bundle), "checkpoint": str(weights), "device": "$torch.device('cpu')", **overrides}
    )
    parser.get_parsed_content("load_weights")
    return parser


def without_output(job: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The job with its prints thrown away."""
    from contextlib import redirect_stderr, redirect_stdout

    def quiet(item: Any) -> Any:
        with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            return job(item)

    return quiet
