"""Which cases an input holds, and whether each file is fit to be segmented."""

from __future__ import annotations

import gzip
import logging
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datalists import list_images
from pipeline.errors import DataError, Problem
from pipeline.volumes import is_nifti, mask_name, spacing
from pipeline.volumes.dicom import is_series_folder, series_folders
from pipeline.volumes.itk import read_itk, unreadable

logger = logging.getLogger("pipeline")

MAGIC = {b"<": "a web page or XML", b"\x1f\x8b": "gzip", b"PK": "a zip archive", b"{": "JSON text"}


@dataclass(frozen=True)
class ImageInfo:
    """What is known of a readable image: shape in nibabel's axis order, spacing in mm, number of time frames."""

    shape: tuple[int, ...]
    spacing: tuple[float, float, float]
    frames: int = 1

    @property
    def is_cine(self) -> bool:
        """Whether there is a fourth axis with more than one time frame."""
        return self.frames > 1


def find_cases(inputs: str | Path | Iterable[str | Path], *, exclude: str | Path | None = None) -> list[dict[str, str]]:
    """The cases of a file, a folder, the folder of a DICOM series, or several of these.

    Args:
        inputs: one path or several. Of a folder, its images and the DICOM series folders below it.
        exclude: a folder whose content is not input (the output folder, if it lies within the input).

    Returns:
        [{"image": path, "case": name}], each image once, names unique.

    Raises:
        DataError: a path that does not exist or holds no image, or two images with one case name; all of them.
    """
    paths = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    if not paths:
        raise DataError(Problem("input", "a file or a folder", "none", "Name at least one"))
    cases: dict[Path, dict[str, str]] = {}
    problems: list[Problem] = []
    for path in paths:
        try:
            found = _cases_of(Path(path))
        except DataError as error:
            problems += error.problems
            continue
        hidden = Path(exclude).resolve() if exclude is not None and _holds(path, exclude) else None
        for item in found:
            place = Path(item["image"]).resolve()
            if hidden is None or not place.is_relative_to(hidden):
                cases.setdefault(place, item)
    twice = [case for case, number in Counter(item["case"] for item in cases.values()).items() if number > 1]
    problems += [
        Problem(case, "one image of this name", "several", "Segment them into separate folders") for case in twice
    ]
    if not problems and not cases:
        remedy = "Choose another output folder"
        problems.append(Problem(str(paths[0]), "images outside the output folder", "none", remedy))
    if problems:
        raise DataError(problems)
    return list(cases.values())


def inspect(path: str | Path) -> ImageInfo:
    """Read an image to its last byte and make sure that a network can use it.

    Args:
        path: NIfTI, MetaImage, NRRD, or the folder of a DICOM series.

    Returns:
        its grid.

    Raises:
        DataError: empty, truncated or damaged (gzip's checksum), of another format, not 2D, 3D or 3D + time, more than
            one value per voxel, NaN or infinity, one value everywhere, no positive spacing.
    """
    path = Path(path)
    if not path.is_dir():
        _check_content(path)
    voxels, shape = _nifti_voxels(path) if is_nifti(path) else _itk_voxels(path)
    found = _fault(voxels, shape)
    if found:
        raise DataError(Problem(str(path), *found))
    frames = shape[3] if len(shape) > 3 else 1
    return ImageInfo(shape=shape, spacing=spacing(path), frames=frames)


def pending(
    items: Iterable[dict[str, str]], output_dir: str | Path, *, overwrite: bool = False
) -> list[dict[str, str]]:
    """What `monai.bundle run` is to segment: readable 3D images whose mask is missing; the others are named in the log.

    `volseg segment` isolates each case while it runs; MONAI's evaluator ends with the first broken one, so that these
    are left out before it starts.

    Args:
        items: cases, as `pipeline.datalists.list_images` gives them.
        output_dir: where the masks go.
        overwrite: take cases whose mask is there, too.
    """
    chosen = []
    for item in items:
        if (Path(output_dir) / mask_name(item["case"], item["image"])).exists() and not overwrite:
            logger.info("%s: exists, skipped", item["case"])
            continue
        try:
            if inspect(item["image"]).is_cine:
                remedy = "Segment a cine frame by frame: volseg segment"
                raise DataError(Problem(item["image"], "a volume with three axes", "time frames", remedy))
        except DataError as error:
            logger.error("left out: %s", error)
            continue
        chosen.append(item)
    return chosen


def _holds(folder: str | Path, other: str | Path) -> bool:
    return Path(folder).is_dir() and Path(other).resolve().is_relative_to(Path(folder).resolve())


def _cases_of(path: Path) -> list[dict[str, str]]:
    if not path.is_dir():
        return list_images(path)
    if is_series_folder(path):
        return [{"image": str(path), "case": path.resolve().name}]
    series = series_folders(path)
    found = [{"image": str(folder), "case": "_".join(folder.relative_to(path).parts)} for folder in series]
    try:
        return found + list_images(path)
    except DataError:
        if found:
            return found
        raise


def _check_content(path: Path) -> None:
    """Name what a file really is, where a library would only say that it is none of its own."""
    remedy = "Copy or download the file again"
    if not path.exists():
        raise DataError(Problem(str(path), "an image", "nothing of that name", "Check the path"))
    with path.open("rb") as stream:
        start = stream.read(512).lstrip()
    if not start:
        raise DataError(Problem(str(path), "an image", "an empty file", remedy))
    kind = next((kind for mark, kind in MAGIC.items() if start.startswith(mark)), "another kind of file")
    if path.name.lower().endswith(".gz") and kind != "gzip":
        raise DataError(Problem(str(path), "a file compressed by gzip", kind, remedy))
    if start.startswith(b"<"):
        raise DataError(Problem(str(path), "an image", kind, remedy))


def _nifti_voxels(path: Path) -> tuple[np.ndarray, tuple[int, ...]]:
    import nibabel as nib

    try:
        image = nib.load(path)
        opener = gzip.open if path.name.lower().endswith(".gz") else open
        with opener(path, "rb") as stream:
            image = type(image).from_stream(stream)
            shape = _trimmed(image.shape)
            voxels = np.asanyarray(image.dataobj)
            while stream.read(2**20):  # gzip compares its checksum only at the end of the stream
                pass
    except Exception as error:
        if "Expected" in str(error) or _ends_early(path):
            remedy = "Copy or download the file again"
            raise DataError(Problem(str(path), "a complete file", "a truncated one", remedy)) from error
        raise unreadable(path, error) from error
    return voxels, shape


def _ends_early(path: Path) -> bool:
    """Whether a gzip stream stops before its end; the libraries then complain of whatever they missed first."""
    if not path.name.lower().endswith(".gz"):
        return False
    try:
        with gzip.open(path, "rb") as stream:
            while stream.read(2**20):
                pass
    except EOFError:
        return True
    except (OSError, zlib.error):
        return False
    return False


def _itk_voxels(path: Path) -> tuple[np.ndarray, tuple[int, ...]]:
    import SimpleITK

    image = read_itk(path)
    voxels = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        voxels = voxels.view([("", voxels.dtype)] * voxels.shape[-1])[..., 0]  # one record per voxel, as NIfTI's RGB
    shape = image.GetSize()
    if len(shape) > 3:  # only NIfTI has a time axis that is known as one
        remedy = "Split it into single volumes, or convert the cine series to NIfTI"
        found = f"{len(shape)} axes"
        raise DataError(Problem(str(path), "a volume with three axes", found, remedy))
    return voxels, _trimmed(shape)


def _trimmed(shape: Iterable[int]) -> tuple[int, ...]:
    sizes = [int(size) for size in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    return tuple(sizes)


def _fault(voxels: np.ndarray, shape: tuple[int, ...]) -> tuple[str, str, str] | None:
    """What was expected, what was found and the remedy, or None for a good volume."""
    size = " x ".join(map(str, shape))
    if not 2 <= len(shape) <= 4 or 0 in shape:
        return "a volume with three axes, or four with time", f"shape {size}", "Split it into single volumes"
    if min(shape[:2]) < 2:
        return "at least two voxels along both in-plane axes", f"shape {size}", "Check the export"
    if voxels.dtype.names or voxels.dtype.kind not in "iufb":
        return "one real number per voxel", f"{_kind(voxels.dtype)} voxels", "Convert it to a grey-scale volume"
    if voxels.dtype.kind == "f":
        bad = int(voxels.size - np.count_nonzero(np.isfinite(voxels)))
        if bad:
            return "finite intensities", f"{bad} voxels that are NaN or infinite", "Repair the file or leave it out"
    if voxels.min() == voxels.max():
        return "an image with contrast", f"the value {voxels.flat[0]:g} everywhere", "Check the export"
    return None


def _kind(dtype: Any) -> str:
    return "colour" if dtype.names else str(dtype)
