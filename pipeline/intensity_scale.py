"""What the numbers of a CT image mean: Hounsfield units, or grey levels that were windowed before."""

from __future__ import annotations

from enum import StrEnum

OFFSET = 1024.0  # what DICOM's unsigned storage adds to HU
BELOW_ZERO = -50.0  # resampling may undershoot grey levels a little; air and lung lie far lower in HU
GREY_LEVELS = 300.0


class Scale(StrEnum):
    """What a file's numbers mean."""

    HOUNSFIELD = "Hounsfield units"
    SHIFTED = "Hounsfield units + 1024"
    GREY = "grey levels 0..255"
    UNIT = "grey levels 0..1"


def scale_of(low: float, high: float) -> Scale:
    """What an image's numbers mean, from its smallest and its largest one."""
    if low < BELOW_ZERO:
        return Scale.HOUNSFIELD
    if high > GREY_LEVELS:
        return Scale.SHIFTED
    return Scale.GREY if high > 1.0 else Scale.UNIT


def window_ends(scale: Scale, low: float, high: float) -> tuple[float, float]:
    """What the ends of a window of Hounsfield units are in an image; one in grey levels was windowed so before."""
    ends = {
        Scale.HOUNSFIELD: (low, high),
        Scale.SHIFTED: (low + OFFSET, high + OFFSET),
        Scale.GREY: (0.0, 255.0),
        Scale.UNIT: (0.0, 1.0),
    }
    return ends[scale]
