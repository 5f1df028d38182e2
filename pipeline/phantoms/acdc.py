"""Synthetic short-axis cine MRI in ACDC's original layout: for the demo, the tests, and whoever lacks the real set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import Problem
from pipeline.phantoms.folder import write_phantoms
from pipeline.phantoms.heart import GROUPS, draw_heart
from pipeline.phantoms.scan import Grid, Scanner

CINE_FRAMES, CINE_ES = 10, 4  # of the one patient that keeps its 4D file; frames count from 1, the first is ED
TYPES = {np.dtype(np.float32): 900.0, np.dtype(np.int16): 420.0, np.dtype(np.uint8): 130.0}  # brightness of blood
MATRICES = ((216, 256), (154, 224), (232, 256), (176, 208), (256, 216), (192, 240))


def write(
    out: str | os.PathLike, *, patients: int = 8, seed: int = 0, overwrite: bool = False, size: str = "full"
) -> dict[str, Any]:
    """Write synthetic patients as OUT/training/patientNNN/ and their datalist as OUT/datalist.json.

    Each patient has an image and a mask at ED and ES and an Info.cfg; the first also a 4D cine file. The groups take
    turns. Headers are ACDC's: a unit affine (sform code 2, qform code 0) and the true spacing only in pixdim. The same
    arguments give the same voxels.

    Args:
        out: the folder to write to; it is made.
        patients: how many, 2 to 999.
        seed: of everything random.
        overwrite: replace phantoms that are there already; other data is never replaced.
        size: "full" (about 216x256 voxels of 1.2-1.9 mm, 6-12 slices of 5-10 mm) or "small" (64-96 voxels of about
            3 mm, 5-7 slices of 10 mm), for tests.
    Returns:
        the datalist: `patients` patients in five folds or, where there are fewer patients, as many.
    Raises:
        DataError: a number or size out of range, or OUT holds data already.
    """
    problems = []
    if not 2 <= patients <= 999:
        problems.append(Problem("patients", "2 to 999", str(patients), "Choose another number"))
    if size not in ("full", "small"):
        problems.append(Problem("size", "full or small", str(size), "Choose one of the two"))

    def draw(folder: Path) -> dict[str, Any]:
        from tqdm import tqdm

        from pipeline.datalists.acdc import build

        for number in tqdm(range(1, patients + 1), desc="writing phantoms", unit="patient"):
            _write_patient(folder / "training" / f"patient{number:03d}", number, seed=seed, size=size)
        return build(folder, folds=min(5, patients), seed=seed) | {
            "description": "Synthetic short-axis cine MRI in ACDC's layout; no patient's data",
            "reference": "written by `volseg phantom acdc`",
        }

    own = {"name": "acdc_phantoms", "tops": ("training",), "foreign": ("testing",)}
    settings = {"patients": patients, "seed": seed, "size": size}
    return write_phantoms(Path(out), draw, **own, settings=settings, problems=problems, overwrite=overwrite)


def _write_patient(folder: Path, number: int, *, seed: int, size: str) -> None:
    generator = np.random.default_rng((seed, number))
    scanner = _scanner(number, generator, size=size)
    dtype = list(TYPES)[(number - 1) % len(TYPES)]
    cine = number == 1
    es = CINE_ES if cine else int(generator.integers(8, 14))
    squeezes = {frame: _phase(frame) for frame in range(1, CINE_FRAMES + 1)} if cine else {1: 0.0, es: 1.0}
    folder.mkdir(parents=True)
    movie = []
    for frame, squeeze in squeezes.items():
        image, label = (_turned(volume, number) for volume in scanner.frame(squeeze))
        movie.append(_convert(image, dtype))
        if frame in (1, es):
            stem = folder / f"{folder.name}_frame{frame:02d}"
            _save(movie[-1], scanner.grid.spacing, f"{stem}.nii.gz")
            _save(label, scanner.grid.spacing, f"{stem}_gt.nii.gz")
    if cine:
        _save(np.stack(movie, axis=-1), (*scanner.grid.spacing, 1.0), str(folder / f"{folder.name}_4d.nii.gz"))
    height = generator.integers(150, 190)
    info = {"ED": 1, "ES": es, "Group": scanner.heart.group, "Height": f"{height}.0"}
    info |= {"NbFrame": CINE_FRAMES if cine else 30, "Weight": f"{generator.integers(50, 100)}.0"}
    text = "".join(f"{key}: {value}\n" for key, value in info.items())
    (folder / "Info.cfg").write_text(text, encoding="utf-8")


def _scanner(number: int, generator: np.random.Generator, *, size: str) -> Scanner:
    group = GROUPS[(number - 1) % len(GROUPS)]
    if size == "small":
        thickness, inplane = 10.0, round(generator.uniform(2.8, 3.2), 4)
        heart = draw_heart(group, generator, length=generator.uniform(42.0, 52.0))
        rows, columns = int(4 * generator.integers(16, 21)), int(4 * generator.integers(19, 25))
        fewest, most = 5, 7
    else:
        thickness = float(generator.choice([5.0, 8.0, 9.0, 10.0, 10.0]))
        length = generator.uniform(50.0, 56.0) if thickness < 6.0 else generator.uniform(72.0, 92.0)
        heart = draw_heart(group, generator, length=length)
        rows, columns = MATRICES[generator.integers(len(MATRICES))]
        inplane = round(generator.uniform(*np.clip((270.0 / rows, 360.0 / rows), 1.2, 1.9)), 4)
        fewest, most = 6, 12
    first = -thickness * generator.uniform(-0.4, 0.9)  # just below the base, or a slice of the atria first
    slices = int(np.clip(np.ceil((heart.extent - first) / thickness), fewest, most))
    grid = Grid(shape=(rows, columns, slices), spacing=(inplane, inplane, thickness))
    return Scanner(heart, grid, generator, first_depth=first)


def _phase(frame: int) -> float:
    """How far the heart has contracted in a cine frame: 0 at the first, 1 at CINE_ES, back to 0 after the last."""
    share = np.interp(frame, (1, CINE_ES, CINE_FRAMES + 1), (0.0, 1.0, 0.0))
    return float(0.5 - 0.5 * np.cos(np.pi * share))


def _turned(volume: np.ndarray, number: int) -> np.ndarray:
    """A few patients lie otherwise in the plane: every fourth is mirrored, every seventh turned by a quarter."""
    volume = np.flip(volume, axis=0) if number % 4 == 0 else volume
    return np.rot90(volume, axes=(0, 1)) if number % 7 == 0 else volume


def _convert(image: np.ndarray, dtype: np.dtype) -> np.ndarray:
    scaled = image * TYPES[dtype]
    if dtype.kind == "f":
        return scaled.astype(dtype)
    return np.clip(np.rint(scaled), 0, np.iinfo(dtype).max).astype(dtype)


def _save(volume: np.ndarray, spacing: tuple[float, ...], path: str) -> None:
    """Write NIfTI with ACDC's header: the unit affine says nothing, pixdim has the spacing."""
    import nibabel as nib

    image = nib.Nifti1Image(np.ascontiguousarray(volume), None)
    image.header.set_zooms(spacing)
    image.header.set_sform(np.diag([-1.0, -1.0, 1.0, 1.0]), code=2)
    image.header.set_qform(None, code=0)
    image.header["quatern_d"] = 1.0
    nib.save(image, path)
