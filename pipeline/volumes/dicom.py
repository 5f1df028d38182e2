"""A folder with one DICOM series, read as one volume."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, Problem

POSITION, ORIENTATION = "0020|0032", "0020|0037"  # Image Position and Image Orientation (Patient)
UNEVEN = 0.05  # share of the slice distance by which a slice may lie off its place
META = 2048  # bytes of a file within which its meta information says what it holds
STORAGE = "1.2.840.10008.5.1.4.1.1."
# what lies beside images and has no pixels (DICOM PS3.4, annex B.5): DICOMDIR, waveforms, presentation states,
# registrations, surfaces, structured reports, documents, radiotherapy structures and plans
WITHOUT_PIXELS = (
    "1.2.840.10008.1.3.10",
    *(STORAGE + n for n in ("9.", "11.", "66.1", "66.3", "66.5", "88.", "104.", "481.3", "481.5")),
)
RAW_DATA = STORAGE + "66"


def is_series_folder(path: str | Path) -> bool:
    """Whether a folder directly holds DICOM images (part 10 of the standard: the mark DICM after 128 bytes).

    A DICOMDIR, reports and what else has no pixels does not count, nor what may not be read.
    """
    path = Path(path)
    with suppress(PermissionError):
        return path.is_dir() and any(_is_image(file) for file in _files(path))
    return False


def read_series(folder: str | Path) -> Any:
    """Read the one DICOM series of a folder as a 3D SimpleITK image, slices sorted along their normal.

    Raises:
        DataError: no series, several (named with their number of files), slices missing, repeated or unevenly spaced,
            a tilted gantry, or a file that cannot be read.
    """
    import SimpleITK

    names = _one_series(Path(folder))
    with _readable(folder):
        _check_positions(folder, names)
        return SimpleITK.ReadImage(names if len(names) > 1 else names[0])


def series_headers(folder: str | Path) -> list[Any]:
    """The header of each DICOM image that a folder directly holds; something with GetSize and GetPixelID.

    Raises:
        DataError: a header that cannot be read.
    """
    with _readable(folder):
        return [_header(str(file)) for file in _files(Path(folder)) if _is_image(file)]


def slice_height(file: str | Path) -> float:
    """The position of a DICOM slice along its normal, mm; raises DataError for a file that does not tell it."""
    with _readable(file):
        return _height(_header(str(file)))


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError) as error:
        why = str(error).strip().splitlines()[-1]
        raise DataError(Problem(str(path), "a readable DICOM series", why, "Export the series again")) from error


def _one_series(folder: Path) -> list[str]:
    import SimpleITK

    closed = [file.name for file in _files(folder) if not os.access(file, os.R_OK)]
    if closed:
        found = f"{len(closed)} that may not be read, such as {closed[0]}"  # GDCM would leave it out without a word
        raise DataError(Problem(str(folder), "a readable DICOM series", found, "Ask for the right to read them"))
    reader = SimpleITK.ImageSeriesReader
    every = {uid: reader.GetGDCMSeriesFileNames(str(folder), uid) for uid in reader.GetGDCMSeriesIDs(str(folder))}
    images = {uid: [name for name in names if not _has_no_pixels(_class_of(name))] for uid, names in every.items()}
    series = {uid: names for uid, names in images.items() if names}
    if not series:
        raise DataError(Problem(str(folder), "a DICOM series", "none", "Give the folder that holds the slices"))
    if len(series) > 2 and all(len(files) == 1 for files in series.values()):
        names = _by_position([files[0] for files in series.values()])
        if names:
            return names
    if len(series) > 1:
        listing = "; ".join(f"{uid} ({len(files)} files)" for uid, files in sorted(series.items()))
        remedy = "Put each series into a folder of its own"
        raise DataError(Problem(str(folder), "one DICOM series", f"{len(series)}: {listing}", remedy))
    return next(iter(series.values()))


def _by_position(names: list[str]) -> list[str] | None:
    """Slices that each say to be a series of their own (Canon's, CHAOS's), in the order of their positions.

    None where they are not one stack: no positions, several orientations or sizes, or volumes in one file.
    """
    headers = [_header(name) for name in names]
    if not all(header.HasMetaDataKey(tag) for header in headers for tag in (POSITION, ORIENTATION)):
        return None
    directions = np.array([_floats(header, ORIENTATION) for header in headers])
    sizes = {header.GetSize() for header in headers}
    if np.abs(directions - directions[0]).max() > 1e-3 or len(sizes) > 1 or max(sizes)[2:] not in ((), (1,)):
        return None
    return [names[index] for index in np.argsort([_height(header) for header in headers])]


def _check_positions(folder: str | Path, names: list[str]) -> None:
    """GDCM sorts by position but fills no gap: a missing slice would silently stretch the heart."""
    headers = [_header(name) for name in names]
    if len(names) < 2 or not all(header.HasMetaDataKey(POSITION) for header in headers):
        return
    positions = np.array([_floats(header, POSITION) for header in headers])
    steps = np.diff(positions, axis=0)
    distances = np.linalg.norm(steps, axis=1)
    usual = float(np.median(distances))
    if len(np.unique(np.round(positions, 3), axis=0)) < len(positions):
        found = "several slices at one position"
        remedy = "Split the phases of a cine series into one folder each"
    elif np.linalg.norm(steps - np.median(steps, axis=0), axis=1).max() > UNEVEN * usual:
        found = f"slice distances from {distances.min():.2f} to {distances.max():.2f} mm, or a shifted stack"
        remedy = "Look for missing slices, or for a tilted gantry"
    else:
        if all(header.HasMetaDataKey(ORIENTATION) for header in headers):
            _check_tilt(folder, _normal(headers[0]), np.median(steps, axis=0))
        return
    raise DataError(Problem(str(folder), "evenly spaced slices", found, remedy))


def _check_tilt(folder: str | Path, normal: np.ndarray, step: np.ndarray) -> None:
    """ITK stacks slices along their normal: a tilted gantry's would be too far apart and sheared."""
    along = float(step @ normal)
    aside = float(np.linalg.norm(step - along * normal))
    if aside > UNEVEN * np.linalg.norm(step):
        found = f"a stack tilted by {np.degrees(np.arctan2(aside, abs(along))):.1f} degrees"
        remedy = "Convert it to NIfTI by a program that corrects a tilted gantry, such as dcm2niix"
        raise DataError(Problem(str(folder), "slices stacked along their normal", found, remedy))


def _header(name: str) -> Any:
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(name)
    reader.ReadImageInformation()
    return reader


def _height(header: Any) -> float:
    return float(_normal(header) @ _floats(header, POSITION))


def _normal(header: Any) -> np.ndarray:
    """The direction across a slice, of length one where the header's two in-plane directions are."""
    rows, columns = np.split(_floats(header, ORIENTATION), 2)
    return np.cross(rows, columns)


def _floats(header: Any, tag: str) -> np.ndarray:
    return np.array([float(value) for value in header.GetMetaData(tag).split("\\")])


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith("."))


def _is_image(file: Path) -> bool:
    kind = _class_of(file)
    return kind is not None and not _has_no_pixels(kind)


def _class_of(file: str | Path) -> str | None:
    """The class of object that a DICOM file's meta information names, "" where it names none; None of another file."""
    with suppress(PermissionError), open(file, "rb") as stream:
        start = stream.read(META)
        if start[128:132] == b"DICM":
            found = re.search(rb"\x02\x00\x02\x00UI..([0-9.]+)", start, re.DOTALL)
            return found[1].decode() if found else ""
    return None


def _has_no_pixels(kind: str | None) -> bool:
    return kind is not None and (kind == RAW_DATA or kind.startswith(WITHOUT_PIXELS))
