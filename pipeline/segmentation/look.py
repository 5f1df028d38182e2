"""The first look at a case: whether its mask is there and whole, whether its image is fit to be segmented."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError, Problem
from pipeline.segmentation.inspection import ImageInfo, inspect
from pipeline.volumes import first_name, has_geometry, is_picture, read_mask, shape, trimmed


@dataclass(frozen=True)
class Look:
    """What was seen: the image's grid, or None where a whole mask makes it needless.

    Args:
        info: the grid of the image.
        damage: what is wrong with the mask that is there; "" where none is, or a whole one.
        seconds: how long it took.
    """

    info: ImageInfo | None
    damage: str = ""
    seconds: float = 0.0


def look(
    image: str | list[str],
    *,
    index: int | None = None,
    channels: int = 1,
    mask: str | None = None,
    max_memory: float | None = None,
) -> Look:
    """Look at a mask, where one is named, and at the image, where there is no whole mask.

    Args:
        image, index, channels, max_memory: as for `inspect`.
        mask: a mask that is there and would be kept.

    Raises:
        DataError: as `inspect`; a whole mask of another shape than its image, which nobody should lose unasked.
    """
    damage = ""
    if mask is not None:
        try:
            found = trimmed((*read_mask(mask).shape, 1, 1))
        except Exception as error:  # any library's
            damage = str(error).splitlines()[0] if str(error) else type(error).__name__
            if isinstance(error, DataError):
                damage = error.problems[0].found
        else:
            _check_shape(mask, found, image, index, channels)
            return Look(None)
    return Look(inspect(image, index=index, channels=channels, max_memory=max_memory), damage)


def _check_shape(mask: str, found: tuple[int, ...], image: str | list[str], index: int | None, channels: int) -> None:
    name = first_name(image)
    if Path(name).is_dir() and has_geometry(name):
        return  # a DICOM series tells its shape only when all of it is read
    try:
        wanted = trimmed((*shape(name), 1, 1))
    except DataError:
        return  # the image is gone or broken, its mask is not
    wanted = wanted[:3] if wanted[3:] == (channels,) else wanted  # the fourth axis is no time
    wanted = (*wanted[:2], 1) if index is not None else wanted
    if found != wanted and not (is_picture(mask) and found[:2] == wanted[:2]):
        expected = f"a mask of the image's shape {' x '.join(map(str, wanted))}"
        remedy = "Move it away, or let it be done again with --overwrite"
        raise DataError(Problem(mask, expected, f"one of {' x '.join(map(str, found))}", remedy))
