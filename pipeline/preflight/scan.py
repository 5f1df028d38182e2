"""One file looked at: its header, and where wanted every voxel of it."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline import volumes
from pipeline.errors import DataError, Problem
from pipeline.metrics.masks import rescaled, stated_affine
from pipeline.preflight.voxels import Piece, measure, quick_digest
from pipeline.segmentation.inspection import inspect
from pipeline.volumes.faults import shape_fault
from pipeline.volumes.grid import corner_displacement
from pipeline.volumes.nifti import gzip_damage, load_nifti
from pipeline.volumes.sizes import claimed_size, is_too_short

COPY_AGAIN = "Copy or download the file again"


@dataclass(frozen=True)
class Job:
    """A file to look at.

    Args:
        file: image or label: a file, or the folder of a DICOM series or of pictures.
        is_label: whether its values are label numbers.
        indices: slices that are looked at one by one; None among them is the whole.
        full: read every voxel, not only the header.
    """

    file: str
    is_label: bool = False
    indices: tuple[int | None, ...] = (None,)
    full: bool = True


@dataclass
class Scan:
    """What is known of a file; `problems` where it cannot be read, and then nothing else is: no values, no geometry.

    Args:
        shape: in nibabel's axis order; of a picture (X, Y, 1).
        spacing: mm; 1 each where there is no geometry.
        affine: (4, 4) voxel -> RAS mm with the distances of `spacing`; `stated_affine` as the file says.
        forms_apart: mm between the corners under NIfTI's sform and qform; 0 where it has not both.
        pieces: the values, by slice; None is the whole file. Empty where only the header was read.
        digest: what equal files share, as far as that can be told without unpacking them.
    """

    file: str
    problems: list[Problem] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    stated_affine: np.ndarray = field(default_factory=lambda: np.eye(4))
    has_geometry: bool = True
    forms_apart: float = 0.0
    pieces: dict[int | None, Piece] = field(default_factory=dict)
    digest: str = ""


def scan(job: Job) -> Scan:
    """Look at a file; whatever is wrong with it ends as a problem of the result, nothing is raised.

    Memory: a few million voxels for NIfTI, one volume for every other format.
    """
    try:
        found = Scan(job.file)
        with _quiet():
            _check_size(found)
            _check_shape(found, job)
            _read_grid(found)
            if job.full or _size_differs(found):
                found.pieces = measure(job.file, found.shape, indices=job.indices, is_label=job.is_label)
            else:
                found.digest = quick_digest(job.file)
        return found
    except RefusedError as error:
        problems = error.problems
    except DataError as error:
        problems = _better_told(job.file, error.problems)
    except MemoryError:
        problems = [Problem(job.file, "a volume that fits into memory", "one that does not", "Split or crop it")]
    except Exception as error:  # the libraries below raise dozens of types
        why = f"one that is not ({type(error).__name__}: {str(error)[:120]})"
        problems = [Problem(job.file, "a readable image", why, COPY_AGAIN)]
    return unread(job.file, problems)


def unread(file: str, problems: list[Problem]) -> Scan:
    """What is known of a file that cannot be read."""
    return Scan(file, problems, has_geometry=False)


class RefusedError(DataError):
    """What is said here of a file, where other errors come from the libraries that read it."""


def _better_told(file: str, problems: list[Problem]) -> list[Problem]:
    """That the stream is damaged, or what `volseg segment` says: it knows what web pages and archives look like."""
    damage = gzip_damage(file)
    if damage:
        return [Problem(file, "a complete and undamaged gzip stream", damage, COPY_AGAIN)]
    with contextlib.suppress(Exception):
        try:
            inspect(file)
        except DataError as error:
            return error.problems
    return problems


def _read_grid(found: Scan) -> None:
    found.spacing = volumes.spacing(found.file)
    found.stated_affine = stated_affine(found.file)
    found.affine = rescaled(found.stated_affine, found.spacing)
    if volumes.is_nifti(found.file):
        found.forms_apart = _forms_apart(load_nifti(found.file).header, found.shape)


def _check_shape(found: Scan, job: Job) -> None:
    fault = shape_fault(found.shape)
    if job.is_label and len(found.shape) == 4:
        fault = "a label map with three axes", f"shape {_size(found)}", "Split it into single volumes"
    if fault:
        raise RefusedError(Problem(found.file, *fault))


def _check_size(found: Scan) -> None:
    """A header that claims more voxels than the file can hold is believed by nobody: memory would be asked for."""
    is_folder, held = os.path.isdir(found.file), os.path.getsize(found.file)
    if held == 0 and not is_folder:
        raise RefusedError(Problem(found.file, "an image", "an empty file", COPY_AGAIN))
    found.has_geometry = volumes.has_geometry(found.file)
    found.shape = volumes.trimmed(volumes.shape(found.file))
    if not is_folder and is_too_short(found.file, claimed_size(found.file)):
        expected = f"a file that can hold {_size(found)} voxels"
        raise RefusedError(Problem(found.file, expected, f"a truncated one of {held:,} bytes", COPY_AGAIN))


def _size_differs(found: Scan) -> bool:
    """Whether a .nii.gz says at its end that it unpacks to another length than its header asks for."""
    if not found.file.lower().endswith(".nii.gz"):
        return False
    stored = load_nifti(found.file).dataobj
    length = int(stored.offset) + math.prod(map(int, stored.shape)) * np.dtype(stored.dtype).itemsize
    with open(found.file, "rb") as stream:
        stream.seek(-4, os.SEEK_END)
        return int.from_bytes(stream.read(4), "little") != length % 2**32


def _forms_apart(header: Any, shape: tuple[int, ...]) -> float:
    if not (header["sform_code"] > 0 and header["qform_code"] > 0):
        return 0.0
    try:
        sform, qform = header.get_sform(), header.get_qform()
    except Exception:  # a quaternion that is none
        return 0.0
    return corner_displacement(sform, qform, shape) if np.isfinite(sform).all() else 0.0


def _size(found: Scan) -> str:
    return " x ".join(map(str, found.shape))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """nibabel logs what it mends in a header; the problem says it better."""
    from nibabel.imageglobals import LoggingOutputSuppressor

    with LoggingOutputSuppressor(), np.errstate(all="ignore"):
        yield
