"""What the numbers of a CT image mean: Hounsfield units, or grey levels that were windowed before."""

from __future__ import annotations

from enum import StrEnum

from pipeline.errors import Problem

OFFSET = 1024.0  # what DICOM's unsigned storage adds to HU
BELOW_ZERO = -50.0  # resampling may undershoot grey levels a little; air and lung lie far lower in HU
GREY_LEVELS = 300.0
LARGEST = 32767.0 + OFFSET  # of Hounsfield units in 16 bits


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


def unknown_scale(name: str, low: float, high: float, *, is_picture: bool) -> Problem | None:
    """What is wrong with an image whose numbers may mean anything, else None.

    A picture of more than 8 bits may hold a window stretched to any of 10 to 16 bits, or Hounsfield units with an
    offset; a volume with values above all Hounsfield units in 16 bits was stretched, too.
    """
    if low < BELOW_ZERO or high <= (GREY_LEVELS if is_picture else LARGEST):
        return None
    expected = "Hounsfield units, with or without 1024 added, or the grey levels 0..255 or 0..1 of a lung window"
    if is_picture:
        expected = "the grey levels 0..255 of a lung window (a picture does not tell what larger numbers mean)"
    remedy = "Save it with 8 bits a pixel after windowing, or as NIfTI in Hounsfield units"
    return Problem(name, expected, f"values from {low:g} to {high:g}", remedy)


def window_ends(scale: Scale, low: float, high: float) -> tuple[float, float]:
    """What the ends of a window of Hounsfield units are in an image; one in grey levels was windowed so before."""
    ends = {
        Scale.HOUNSFIELD: (low, high),
        Scale.SHIFTED: (low + OFFSET, high + OFFSET),
        Scale.GREY: (0.0, 255.0),
        Scale.UNIT: (0.0, 1.0),
    }
    return ends[scale]
