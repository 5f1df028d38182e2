"""A picture of a mask over its image: slices side by side, structures in colour, volumes in the legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.files import write_bytes
from pipeline.structures import Labels, count_voxels, numbers_of
from pipeline.volumes import affine, first_name, has_geometry, read_image, read_mask, spacing
from pipeline.volumes.view import View

MARGIN_MM = 25.0
MOST_SLICES = 18
COLUMNS = 6
CELL, ALONE = 1.9, 6.0  # inches, width of one slice of several, and of the only one
HEAD, LINE, CURVE = 0.62, 0.3, 2.1  # inches, heights of the title, of a heading and of the volume curve
DARK, PALE = "#101418", "#e8ecf0"


def draw_preview(
    image: str | Path | Sequence[str | Path],
    mask: str | Path,
    labels: Labels,
    output: str | Path,
    *,
    title: str = "",
    index: int | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw a mask over its image as a PNG.

    Up to 18 slices, evenly chosen among those that hold a structure (of all if none does), cropped to the structures
    and 25 mm around them, in true proportions, the patient's right at the left. Of a 4D mask, the frames with the
    largest and the smallest LV (of all structures together, if none is called LV) and the volumes over time. A picture
    is shown whole, with sizes in percent of it.

    Args:
        image, mask: files on one grid, 3D or 4D; of an image in several files (channels) the first is shown.
        labels: structure -> number, or numbers where structures overlap.
        output: the PNG to write.
        title: usually the case.
        index: the mask is that of this slice of the image alone (third axis, counted from 0).
        overwrite: replace a file that exists.

    Raises:
        DataError: a file that cannot be read, or the output exists.
    """
    image = first_name(image)
    voxels, values = (array.reshape((*array.shape, 1, 1)[:4]) for array in (read_image(image), read_mask(mask)))
    voxels = voxels if index is None else voxels[:, :, index : index + 1]
    distances, measured = spacing(image), has_geometry(image)
    view = View(affine(image), distances, values.shape)
    sizes = _Sizes(
        _counts(values, labels) * (float(np.prod(distances)) / 1000 if measured else 100 / values[..., 0].size),
        list(numbers_of(labels)),
        "ml" if measured else "% of the picture",
    )
    blocks = [_Block(heading, view(voxels[..., frame]), view(values[..., frame])) for heading, frame in _moments(sizes)]
    margin = MARGIN_MM if measured else math.inf
    return write_bytes(output, _draw(blocks, sizes, labels, view, title, margin), overwrite=overwrite)


@dataclass
class _Sizes:
    """(structures, frames) sizes in `unit`, and the names of the structures."""

    values: np.ndarray
    names: list[str]
    unit: str


@dataclass
class _Block:
    heading: str
    image: np.ndarray
    mask: np.ndarray


def _counts(values: np.ndarray, labels: Labels) -> np.ndarray:
    """(structures, frames) voxels of (X, Y, Z, T)."""
    frames = [count_voxels(values[..., t], 256) for t in range(values.shape[3])]
    return np.array([[counts[list(own)].sum() for counts in frames] for own in numbers_of(labels).values()], float)


def _moments(sizes: _Sizes) -> list[tuple[str, int]]:
    curve = sizes.values[sizes.names.index("LV")] if "LV" in sizes.names else sizes.values.sum(0)
    if len(curve) == 1:
        return [("", 0)]
    largest, smallest = int(np.argmax(curve)), int(np.argmin(curve))
    return [
        (f"frame {largest + 1}: largest (end-diastole)", largest),
        (f"frame {smallest + 1}: smallest (end-systole)", smallest),
    ]


def _draw(blocks: Sequence[_Block], sizes: _Sizes, labels: Labels, view: View, title: str, margin: float) -> bytes:
    from matplotlib.figure import Figure

    from pipeline.report.style import colours

    colour = colours(sizes.names)
    rows, columns = _crop(np.concatenate([block.mask for block in blocks]), view, margin)
    chosen = _slices(np.stack([block.mask for block in blocks]))
    lines = -(-len(chosen) // COLUMNS)
    wide = -(-len(chosen) // lines)
    across = CELL if len(chosen) > 1 else ALONE
    cell = across * (rows.stop - rows.start) * view.row_mm / ((columns.stop - columns.start) * view.column_mm)
    cine = len(blocks) > 1
    width = max(across * wide, 6.0)
    height = HEAD + len(blocks) * (lines * cell + LINE * cine) + CURVE * cine
    figure = Figure(figsize=(width, height), facecolor=DARK)
    _head(figure, sizes, colour, title, height)
    top = height - HEAD
    for block in blocks:
        if cine:
            figure.text(0.1 / width, (top - 0.2) / height, block.heading, color=PALE, fontsize=9)
            top -= LINE
        low, high = np.percentile(block.image[chosen][:, rows, columns].astype(float), [1, 99.5])
        for place, index in enumerate(chosen):
            left, bottom = (place % wide) * across, top - (place // wide + 1) * cell
            axes = figure.add_axes((left / width, bottom / height, across / width, cell / height))
            picture, structures = (array[index][rows, columns] for array in (block.image, block.mask))
            _slice(axes, picture.astype(float), structures, labels, colour, view, (low, max(high, low + 1e-6)))
            text = f"{index + 1}/{len(block.mask)}" if len(block.mask) > 1 else ""
            axes.text(0.03, 0.97, text, transform=axes.transAxes, color=PALE, fontsize=7, va="top")
        top -= lines * cell
    if cine:
        _curve(figure, sizes, colour, height, width)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, facecolor=DARK)
    return buffer.getvalue()


def _head(figure: Any, sizes: _Sizes, colour: Mapping[str, str], title: str, height: float) -> None:
    figure.text(0.1 / figure.get_figwidth(), 1 - 0.22 / height, title, color=PALE, fontsize=11, weight="bold")
    left = 0.1 / figure.get_figwidth()
    for name, curve in zip(sizes.names, sizes.values, strict=True):
        size = f"{curve[0]:.1f}" if len(curve) == 1 else f"{curve.min():.1f} to {curve.max():.1f}"
        text = f"\N{BLACK SQUARE} {name} {size} {sizes.unit}"
        figure.text(left, 1 - 0.48 / height, text, color=_bright(colour[name]), fontsize=9.5, weight="bold")
        left += (0.35 + 0.085 * len(text)) / figure.get_figwidth()


def _slice(
    axes: Any,
    picture: np.ndarray,
    structures: np.ndarray,
    labels: Labels,
    colour: Mapping[str, str],
    view: View,
    window: tuple[float, float],
) -> None:
    axes.imshow(picture, cmap="gray", vmin=window[0], vmax=window[1], aspect=view.row_mm / view.column_mm)
    axes.set_axis_off()
    for name, numbers in numbers_of(labels).items():
        found = np.isin(structures, numbers)
        if not found.any():
            continue
        shade = _bright(colour[name])
        axes.contourf(found, levels=[0.5, 1.5], colors=[shade], alpha=0.22)
        around = (-1.5, found.shape[1] + 0.5, -1.5, found.shape[0] + 0.5)  # outlines close at the border, too
        axes.contour(np.pad(found, 1), levels=[0.5], colors=[shade], linewidths=1.1, extent=around)
    axes.set_xlim(-0.5, picture.shape[1] - 0.5)
    axes.set_ylim(picture.shape[0] - 0.5, -0.5)


def _curve(figure: Any, sizes: _Sizes, colour: Mapping[str, str], height: float, width: float) -> None:
    bottom, left = 0.5, 0.7
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + 0.2) / width, (CURVE - 0.75) / height))
    axes.set_facecolor(DARK)
    for name, curve in zip(sizes.names, sizes.values, strict=True):
        axes.plot(
            np.arange(1, len(curve) + 1), curve, marker="o", markersize=3, color=_bright(colour[name]), label=name
        )
    axes.set_xlabel("frame", color=PALE, fontsize=8)
    axes.set_ylabel(sizes.unit, color=PALE, fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(colors=PALE, labelsize=7)
    axes.grid(color="#2a323a", linewidth=0.6)
    axes.spines[:].set_color("#4a545e")


def _bright(colour: str) -> tuple[float, float, float]:
    """The colour, lighter: the report's colours are made for white paper."""
    from matplotlib.colors import to_rgb

    return tuple(0.65 * part + 0.35 for part in to_rgb(colour))  # type: ignore[return-value]


def _crop(mask: np.ndarray, view: View, margin_mm: float = MARGIN_MM) -> tuple[slice, slice]:
    """Rows and columns that hold a structure, and a margin; everything where none does or the margin has no end."""
    spans = []
    for axis, step in ((1, view.row_mm), (2, view.column_mm)):
        size = mask.shape[axis]
        held = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        margin = round(min(margin_mm / step, size))
        first, last = (held[0] - margin, held[-1] + margin) if held.size else (0, size - 1)
        spans.append(slice(max(0, int(first)), min(size, int(last) + 1)))
    return spans[0], spans[1]


def _slices(masks: np.ndarray) -> list[int]:
    """Up to 18 slice numbers, evenly spaced over those that hold a structure in (blocks, slices, rows, columns)."""
    held = np.flatnonzero(masks.any(axis=(0, 2, 3)))
    first, last = (int(held[0]), int(held[-1])) if held.size else (0, masks.shape[1] - 1)
    count = min(MOST_SLICES, last - first + 1)
    return sorted({round(value) for value in np.linspace(first, last, count)})
