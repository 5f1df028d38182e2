"""Whether axes stand upright on one another, and how far two grids lie apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.errors import Problem
from pipeline.metrics.masks import GRID_TOLERANCE_MM, lost_pixdim
from pipeline.preflight.scan import Scan
from pipeline.volumes.faults import spacing_fault
from pipeline.volumes.grid import corner_displacement, volume_shape

UPRIGHT = 1e-3  # largest cosine between two axes, 0.06 degrees; SimpleITK refuses files from about 2e-4 on
LENGTH = 0.01  # share by which an affine's column may differ from pixdim
FORMS_MM = 1.0  # how far corners may lie apart under sform and qform


def axes_fault(affine: np.ndarray) -> str:
    """What is wrong with the directions of a voxel -> mm matrix; "" where its three axes are upright on one another."""
    if not np.isfinite(affine).all():
        return "an affine with NaN or infinity"
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    if not lengths.all() or np.linalg.matrix_rank(columns / lengths) < 3:
        return "axes that span no volume"
    cosines = (columns / lengths).T @ (columns / lengths)
    largest = np.abs(cosines - np.eye(3)).max()
    if largest > UPRIGHT:
        return f"two axes at {np.degrees(np.arccos(min(largest, 1.0))):.2f} degrees"
    return ""


def scan_problems(scan: Scan) -> Iterator[tuple[str, Problem]]:
    """What is wrong with one file (image or label) by name of the check: that it cannot be read, or its axes."""
    for problem in scan.problems:
        yield "readable", problem
    fault = axes_fault(scan.stated_affine) if scan.has_geometry else ""
    if fault:
        remedy = (
            "Resample it to a grid with upright axes (a tilted gantry is corrected by dcm2niix), or mend the affine"
        )
        yield "axes", Problem(scan.file, "three axes at right angles", fault, remedy)


def scan_warnings(scan: Scan) -> Iterator[tuple[str, Problem]]:
    """What is odd about the geometry of one file, by name of the check."""
    if not scan.has_geometry or axes_fault(scan.stated_affine):
        return
    axes = min(len(scan.shape), 3)
    wanted = np.array(scan.spacing[:axes])
    if scan.forms_apart > FORMS_MM:
        remedy = "Nothing for VolSeg, which takes the sform as nibabel does; SimpleITK may take the other"
        found = f"corners up to {scan.forms_apart:.1f} mm apart"
        yield "forms", Problem(scan.file, "one grid in sform and qform", found, remedy)
    if fault := spacing_fault(wanted):
        yield "spacing", Problem(scan.file, *fault)


def unlike_pixdim(scan: Scan) -> str:
    """How far pixdim and the affine differ in their distances; "" where they agree to a hundredth."""
    axes = min(len(scan.shape), 3)
    lengths = np.linalg.norm(scan.stated_affine[:3, :axes], axis=0)
    wanted = np.array(scan.spacing[:axes])
    if not scan.has_geometry or not (np.abs(lengths - wanted) > LENGTH * wanted).any():
        return ""
    return f"{_mm(lengths)} in the affine and {_mm(wanted)} in pixdim"


def grid_problem(scan: Scan, image: Scan) -> Problem | None:
    """Why a label (or a second channel) does not lie on the grid of its image: shape, or corners over 0.1 mm apart."""
    shape, wanted = (volume_shape(one.shape) for one in (scan, image))
    if shape != wanted:
        expected, found = (" x ".join(map(str, size)) for size in (wanted, shape))
        remedy = (
            "Look whether it belongs to this image; else resample it to the image's grid, labels by nearest neighbour"
        )
        return Problem(scan.file, f"the shape {expected} of {image.file}", found, remedy)
    if not all(one.has_geometry and not axes_fault(one.stated_affine) for one in (scan, image)):
        return None
    distance = corner_displacement(scan.affine, image.affine, wanted)
    if distance <= GRID_TOLERANCE_MM:
        return None
    expected = f"the grid of {image.file}"
    if lost_pixdim(scan, image):
        found = f"its affine, but pixdim {_mm(scan.spacing)} instead of {_mm(image.spacing)}"
        return Problem(scan.file, expected, found, "Copy the image's pixdim into its header")
    found = f"corners up to {distance:.1f} mm away"
    return Problem(scan.file, expected, found, "Save it with its image's header, or resample it to the image's grid")


def _mm(values: np.ndarray | tuple[float, ...]) -> str:
    return " x ".join(f"{value:.3g}" for value in values) + " mm"
