"""CT intensities on one scale, whether a file holds Hounsfield units or grey levels that were windowed before."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from pipeline.errors import DataError
from pipeline.intensity_scale import Scale, scale_of, unknown_scale, window_ends

SCALE = "ct_scale"  # of the metadata: a scale that was told from the whole volume, before it was cropped

logger = logging.getLogger("pipeline")


class HounsfieldWindowd(MapTransform):
    """Map a window of Hounsfield units to -1..1, and images that were already windowed to the same scale.

    The scale is told from the whole volume's values, never from its name, and logged: values below -50 are Hounsfield
    units (air is -1000, lung -850); else values above 300 are Hounsfield units stored with an offset of 1024; else
    values above 1 are grey levels 0..255, and what is left 0..1. A windowed image is taken to have been windowed as
    `window` says (the radiopaedia cases of COVID-19-CT-Seg: -1250..250, their authors' lung window).

    Args:
        keys: MetaTensors (C, X, Y, Z); channels share one scale.
        window: HU that become -1 and 1; values beyond are cut off.

    Raises:
        DataError: when called with numbers that may mean anything (`pipeline.intensity_scale.unknown_scale`), such as
            those of a picture with 16 bits.
    """

    def __init__(self, keys: KeysCollection, window: Sequence[float] = (-1250.0, 250.0)) -> None:
        super().__init__(keys)
        self.low, self.high = (float(value) for value in window)
        if not self.low < self.high:
            raise ValueError(f"the window must rise, got {self.low:g}..{self.high:g} HU")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            low, high = float(d[key].min()), float(d[key].max())
            if problem := unknown_scale(_name(d, key), low, high, is_picture=_is_picture(d[key])):
                raise DataError(problem)
            scale = _noted(d[key]) or scale_of(low, high)
            logger.info("%s: %s (%g to %g)", _name(d, key), scale.value, low, high)
            d[key] = self._windowed(d[key], scale)
        return d

    def _windowed(self, image: torch.Tensor, scale: Scale) -> torch.Tensor:
        low, high = window_ends(scale, self.low, self.high)
        image = image.to(torch.float32, copy=True)
        return image.sub_((low + high) / 2).div_((high - low) / 2).clamp_(-1.0, 1.0)


def _noted(image: torch.Tensor) -> Scale | None:
    noted = image.meta.get(SCALE) if isinstance(image, MetaTensor) else None
    return Scale(noted) if noted else None


def _is_picture(image: torch.Tensor) -> bool:
    return isinstance(image, MetaTensor) and not image.meta.get("has_geometry", True)


def _name(data: Mapping[Hashable, Any], key: Hashable) -> str:
    meta = data[key].meta if isinstance(data[key], MetaTensor) else {}
    return str(data.get("case") or meta.get("filename_or_obj", key))
