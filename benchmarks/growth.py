"""How time and peak memory grow with voxels, cases and processes: a table, and a plot of each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.child import in_child
from benchmarks.setting import ACDC, REPOSITORY, Setting

FIGURES = REPOSITORY / "docs" / "figures"
SHAPES = (
    (64, 64, 128),
    (96, 96, 200),
    (128, 128, 256),
    (192, 192, 300),
    (256, 256, 300),
    (384, 384, 350),
    (512, 512, 400),
)
QUICK_SHAPES = ((32, 32, 12), (48, 48, 16))
CASES, QUICK_CASES = (1, 10, 50, 100, 200), (1, 3)
PROCESSES, SHARED_CASES, QUICK_SHARED_CASES = (1, 2), 200, 4
Point = dict[str, float]


def studies(setting: Setting) -> dict[str, list[Point]]:
    """Points {x, seconds, peak_mb} by voxels, by cases and by processes."""
    return {
        "voxels": by_voxels(setting),
        "cases": by_cases(setting),
        "processes": by_processes(setting),
    }


def by_voxels(setting: Setting) -> list[Point]:
    """Parts of one chest phantom through bundles/covid19 without the search for the body: all voxels are computed."""
    import nibabel as nib

    scan = nib.load(setting.chest["image"])
    points = []
    for shape in tqdm(QUICK_SHAPES if setting.quick else SHAPES, desc="voxels", unit="size"):
        shape = tuple(map(min, shape, scan.shape))
        path = setting.work / "part.nii.gz"
        starts = [(have - want) // 2 for have, want in zip(scan.shape, shape, strict=True)]
        box = tuple(slice(start, start + want) for start, want in zip(starts, shape, strict=True))
        nib.save(scan.slicer[box], path)
        done = in_child("benchmarks.ct:by_bundle", image=str(path), weights=str(setting.covid19_weights),
                        out=str(setting.work / "part"), crop_to_body=False)  # fmt: skip
        points.append({"x": float(np.prod(shape)) / 1e6, "seconds": done.seconds, "peak_mb": done.peak_mb})
    return points


def by_cases(setting: Setting) -> list[Point]:
    """Folders of small heart phantoms through `segment`, from reading the weights to the manifest."""
    points = []
    for count in tqdm(QUICK_CASES if setting.quick else CASES, desc="cases", unit="folder"):
        images = _images(setting, count)
        out = str(setting.work / f"cases{count}")
        done = in_child(
            "benchmarks.growth:segment_folder", images=str(images), out=out, weights=str(setting.acdc_weights)
        )
        points.append({"x": float(count), "seconds": done.seconds, "peak_mb": done.peak_mb})
    return points


def by_processes(setting: Setting) -> list[Point]:
    """The same folder by one and by two processes under torchrun, start-up included; the cores are shared evenly."""
    count = QUICK_SHARED_CASES if setting.quick else SHARED_CASES
    images = _images(setting, count)
    points = []
    for number in tqdm(PROCESSES, desc="processes", unit="run"):
        out = setting.work / f"processes{number}"
        command = [
            sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(number), "--standalone", "-m",
            "pipeline", "segment", str(images), str(out), "--weights", str(setting.acdc_weights), "--device", "cpu",
            "--set", "mirror_axes=[]",
        ]  # fmt: skip
        threads = max(1, (os.cpu_count() or 1) // number)
        start = time.perf_counter()
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )  # fmt: skip
        seconds = time.perf_counter() - start
        if done.returncode or len(list(out.glob("*.nii.gz"))) != count:
            raise RuntimeError(f"{number} processes ended with code {done.returncode}: {done.stderr[-2000:]}")
        points.append({"x": float(number), "seconds": seconds, "peak_mb": float("nan")})
    return points


def segment_folder(images: str, out: str, weights: str) -> int:
    """All images of a folder, one look at each window; returns the number of masks."""
    from pipeline.allocation import keep_freed_memory
    from pipeline.segmentation import segment

    keep_freed_memory()  # as the command does
    summary = segment(images, out, bundle=ACDC, weights=weights, device="cpu", overrides={"mirror_axes": []},
                      progress=False, echo=lambda _: None)  # fmt: skip
    return sum(case.outcome == "done" for case in summary.cases)


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Slope and intercept of the straight line through the points, and the largest deviation from it as a share of the
    largest value."""
    slope, intercept = np.polyfit(x, y, 1)
    off = np.abs(np.polyval([slope, intercept], x) - np.asarray(y))
    return float(slope), float(intercept), float(off.max() / max(map(abs, y)))


def markdown(found: dict[str, list[Point]]) -> str:
    """A table of each study and, where there are three points or more, its straight lines."""
    units = {"voxels": "million voxels", "cases": "cases", "processes": "processes"}
    parts = []
    for name, points in found.items():
        table = [f"| {units[name]} | seconds | peak memory (MB) |", "|---:|---:|---:|"]
        for point in points:
            memory = "" if np.isnan(point["peak_mb"]) else f"{point['peak_mb']:.0f}"
            table.append(f"| {point['x']:.4g} | {point['seconds']:.1f} | {memory} |")
        parts.append("\n".join([*table, *_lines(points, units[name])]))
    return "\n\n".join(parts)


def plot(found: dict[str, list[Point]], folder: Path = FIGURES) -> list[Path]:
    """growth_voxels.png and growth_cases.png: points and straight lines of time and memory."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    paths = []
    for name, label in (("voxels", "million voxels"), ("cases", "cases")):
        figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
        x = [point["x"] for point in found[name]]
        for panel, key, unit in zip(panels, ("seconds", "peak_mb"), ("seconds", "peak memory (MB)"), strict=True):
            y = [point[key] for point in found[name]]
            slope, intercept, _ = line(x, y)
            panel.plot(x, np.polyval([slope, intercept], x), color="0.7", zorder=1)
            panel.scatter(x, y, zorder=2)
            panel.set(xlabel=label, ylabel=unit, xlim=(0, None), ylim=(0, None))
        paths.append(folder / f"growth_{name}.png")
        figure.savefig(paths[-1], dpi=110)
        pyplot.close(figure)
    return paths


def _lines(points: list[Point], unit: str) -> Iterable[str]:
    if len(points) < 3:
        return
    x = [point["x"] for point in points]
    yield ""
    for key, what in (("seconds", "s"), ("peak_mb", "MB")):
        slope, intercept, off = line(x, [point[key] for point in points])
        told = f"{intercept:.3g} {what} + {slope:.3g} {what} for each of the {unit}"
        yield f"Straight line: {told}; largest deviation {off:.0%} of the largest value.  "


def _images(setting: Setting, count: int) -> Path:
    """A folder of `count` small heart phantoms: six different ones, linked under new names."""
    from pipeline.phantoms.acdc import write

    source = setting.work / "hearts"
    if not source.is_dir():
        write(source, patients=6, size="small")
    frames: list[Any] = sorted(path for path in source.rglob("*frame*.nii.gz") if not path.name.endswith("_gt.nii.gz"))
    folder = setting.work / f"images{count}"
    folder.mkdir(exist_ok=True)
    for number in range(count):
        shutil.copy(frames[number % len(frames)], folder / f"heart{number:03d}.nii.gz")
    return folder
