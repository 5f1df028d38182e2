"""2D pictures (PNG, JPEG, BMP, TIFF) and folders of them, as volumes without millimetres."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem
from pipeline.volumes.names import is_picture, natural

GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)  # EXIF; these values swap width and height
COLOUR_REMEDY = "Save it as a grey or palette PNG whose values are the label numbers"


def read_picture(path: str | Path) -> np.ndarray:
    """The intensities of a picture as a volume of one slice.

    X is the picture's column, Y its row, counted from the upper left corner, once it is turned as its EXIF tag
    says (as viewers show it). An alpha channel is dropped; 16-bit and float grey keep their values, 1-bit is 0 and
    255, a palette gives its colours. 16-bit colour comes as 8-bit (Pillow knows no other).

    Returns:
        (X, Y, 1); of a true-colour picture (3, X, Y, 1), red, green and blue. Colour whose channels are equal is grey.

    Raises:
        DataError: unreadable, truncated, or several pages.
    """
    pixels = np.asarray(_plain(_opened(path)))
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        return pixels.transpose(2, 1, 0)[..., None]
    return _native(pixels).T[..., None]


def brightness(pixels: np.ndarray) -> np.ndarray:
    """(X, Y, Z) of a colour volume (3, X, Y, Z), weighted as ITU-R 601 does; of a grey one, itself."""
    if pixels.ndim < 4:
        return pixels
    grey = np.tensordot((0.299, 0.587, 0.114), pixels, axes=1)
    return np.rint(grey).astype(pixels.dtype)


def read_label_picture(path: str | Path) -> np.ndarray:
    """The label numbers of a picture, (X, Y, 1): grey values, or the indices of a palette.

    Raises:
        DataError: as `read_picture`; also true colour, and JPEG, whose compression smears numbers along every border.
    """
    picture = _opened(path)
    if picture.format in ("JPEG", "MPO") or picture.info.get("compression") == "jpeg":
        remedy = "Take the mask that was saved without loss, as PNG"
        found = "JPEG, which changes numbers along every border"
        raise DataError(Problem(str(path), "a mask with exact label numbers", found, remedy))
    pixels = np.asarray(picture)
    is_grey = (
        pixels.ndim == 3 and picture.mode in ("RGB", "RGBA", "RGBX") and (pixels[..., :3] == pixels[..., :1]).all()
    )
    if picture.mode in ("LA", "La", "PA") or is_grey:
        pixels = pixels[..., 0]
    if pixels.ndim != 2:
        raise DataError(Problem(str(path), "a mask of label numbers", "a colour picture", COLOUR_REMEDY))
    pixels = pixels.astype(np.uint8) if pixels.dtype == bool else _native(pixels)
    return pixels.T[..., None]


def header_shape(path: str | Path) -> tuple[int, int, int]:
    """(X, Y, 1) of a picture as it is stored, not yet turned; nothing is decoded; raises DataError."""
    with _header(path) as picture:
        return (*picture.size, 1)


def picture_shape(path: str | Path) -> tuple[int, int, int]:
    """(X, Y, 1) of a picture as it is shown, from its header alone; raises DataError where that cannot be read."""
    with _header(path) as picture:
        width, height = picture.size
        return (height, width, 1) if picture.getexif().get(ORIENTATION) in TURNED else (width, height, 1)


def write_label_picture(labels: np.ndarray, output: str | Path) -> None:
    """Write label numbers (X, Y, 1) or (X, Y) as PNG: a palette (index = number) for uint8, grey for uint16.

    The palette shows 0 in black and every other number in a colour of its own, so that the mask can be looked at.
    """
    from PIL import Image

    pixels = np.ascontiguousarray(labels.reshape(labels.shape[:2]).T)
    picture = Image.fromarray(pixels)
    if pixels.dtype == np.uint8:
        picture = picture.copy()
        picture.putpalette(palette())
    picture.save(output, format="PNG", optimize=False)


def palette() -> list[int]:
    """256 RGB colours in a row: black, then colours that neighbours in number do not share."""
    import colorsys

    colours = [(0.0, 0.0, 0.0)]
    for number in range(1, 256):
        hue = (0.98 + (number - 1) * 0.381966) % 1  # the golden section never comes back to the same hue
        colours.append(colorsys.hsv_to_rgb(hue, (0.85, 0.55, 1.0)[number % 3], (1.0, 0.95, 0.75)[number % 3]))
    return [round(255 * part) for colour in colours for part in colour]


def is_picture_folder(path: str | Path) -> bool:
    """Whether a folder directly holds pictures."""
    return Path(path).is_dir() and any(_pictures(Path(path)))


def slice_files(folder: str | Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names ("liver_2" before "liver_10"); or a picture.

    Raises:
        DataError: no picture, names without numbers, or numbers that leave gaps.
    """
    if is_picture(folder):
        return [Path(folder)]
    files = sorted(_pictures(Path(folder)), key=lambda file: natural(file.stem))
    if not files:
        raise DataError(Problem(str(folder), "a folder of pictures", "none in it", "Give the folder with the slices"))
    numbered = [[int(number) for number in re.findall(r"\d+", file.stem)] for file in files]
    numbers = np.array([found for found in numbered if len(found) == len(numbered[0])])
    steps = np.diff(numbers, axis=0)
    uneven = len(numbers) < len(files) or not numbers.size or (steps != steps[:1]).any() or not steps.any(axis=1).all()
    if len(files) > 1 and uneven:
        expected = "slices numbered in their names, without gaps"
        found = f"{len(files)} pictures from {files[0].name} to {files[-1].name} with other names or numbers among them"
        remedy = "Look for missing slices, or for pictures of other kinds"
        raise DataError(Problem(str(folder), expected, found, remedy))
    return files


def read_picture_folder(folder: str | Path, *, labels: bool = False) -> np.ndarray:
    """The pictures of a folder as one volume (X, Y, Z), in the order of `slice_files`; in colour (3, X, Y, Z).

    Args:
        folder: holds one picture for each slice; or a picture, which is one slice.
        labels: read label numbers instead of intensities.

    Raises:
        DataError: as `slice_files` and the reading of each picture; pictures that differ in size, or in colour.
    """
    files = slice_files(folder)
    slices = [read_label_picture(file) if labels else read_picture(file) for file in files]
    odd = next((file for file, pixels in zip(files, slices, strict=True) if pixels.shape != slices[0].shape), None)
    if odd is not None:
        expected = "grey slices of one size" if slices[0].ndim == 3 else "slices of one size and kind"
        found = f"{files[0].name} and {odd.name}, which differ"
        raise DataError(Problem(str(folder), expected, found, "Put each series into a folder of its own"))
    return np.concatenate(slices, axis=-1)


def folder_shape(folder: str | Path) -> tuple[int, int, int]:
    """(X, Y, Z) of a folder of pictures, or of a picture, by file names and the header of the first."""
    files = slice_files(folder)
    return (*picture_shape(files[0])[:2], len(files))


@contextmanager
def _header(path: str | Path) -> Iterator[Any]:
    """Pillow's picture of a file, not decoded yet; what goes wrong within the block becomes one line."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            yield picture
    except DataError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _opened(path: str | Path) -> Any:
    """The picture, decoded and turned upright; raises DataError."""
    from PIL import ImageOps

    with _header(path) as picture:
        pages = getattr(picture, "n_frames", 1) if picture.format in ("TIFF", "PNG", "GIF") else 1
        if pages > 1:
            remedy = "Save each page as a picture of its own, or the stack as NIfTI"
            raise DataError(Problem(str(path), "one picture", f"{pages} pages", remedy))
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        upright.format = picture.format
        return upright


def _plain(picture: Any) -> Any:
    """Grey or RGB, whatever the mode."""
    if picture.mode in ("L", "RGB", *GREY_16):
        return picture
    if picture.mode in ("LA", "La"):
        return picture.getchannel(0)
    return picture.convert("L" if picture.mode == "1" else "RGB")


def _native(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _pictures(folder: Path) -> Iterator[Path]:
    return (file for file in folder.iterdir() if is_picture(file) and not file.name.startswith(".") and file.is_file())


def _unreadable(path: str | Path, error: Exception) -> DataError:
    from pipeline.volumes.itk import unreadable

    text = str(error)
    if "decompression bomb" in text:
        most, pixels = (round(int(number) / 1e6) for number in reversed(re.findall(r"\d+", text)[:2]))
        found = f"one that claims {pixels:,} million"
        remedy = "Check its header, or cut it into smaller pictures"
        return DataError(Problem(str(path), f"a picture of at most {most:,} million pixels", found, remedy))
    if "truncated" in text.lower() or "incomplete" in text.lower() or "broken data stream" in text:
        remedy = "Copy or download the file again"
        return DataError(Problem(str(path), "a complete picture", "a truncated or damaged one", remedy))
    return unreadable(path, ValueError("no picture of a known kind") if "cannot identify" in text else error)
