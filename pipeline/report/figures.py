"""Figures of the scores: box plots with a point for each case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.metrics.scores import Scores
from pipeline.report.style import INK, colours, draw_png, say_nothing
from pipeline.report.tables import METRICS, levels_of, metrics_of, structures_of


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Args:
        name: file name without its ending.
        png: the picture.
        alt: what it shows, for a reader who cannot see it.
        caption: what stands under it.
        wide: takes the full width of the page.
    """

    name: str
    png: bytes
    alt: str
    caption: str
    wide: bool = False


def box_plot(scores: Scores, metric: str, *, by: str = "") -> Picture:
    """Boxes with a point for each case: by structure, and within it by level of `by` ("phase", "group" or "").

    Boxes span the quartiles, whiskers reach 1.5 times their range (Tukey). Undefined values are left out.
    """
    levels = levels_of(scores, by) if by else []
    boxes = [
        (structure, level, _values(scores.cases, metric, structure, by, level))
        for structure in structures_of(scores)
        for level in levels or [""]
    ]
    title = metrics_of(scores)[metric].name
    width = min(9.0, max(4.6, 1.6 + 0.45 * len(boxes)))
    png = draw_png(lambda axes: _draw_boxes(axes[0, 0], boxes, title, scores), size=(width, 3.5))
    within = f" and {by}" if levels else ""
    alt = f"Box plot of {title.split(' (')[0]} by structure{within}: {_medians(boxes, metric)}"
    caption = f"{title} by structure{within}; one point for each case."
    return Picture(f"box_{metric}" + (f"_by_{by}" if levels else ""), png, alt, caption, wide=width > 6)


def _values(cases: pd.DataFrame, metric: str, structure: str, by: str, level: str) -> np.ndarray:
    if metric not in cases:
        return np.empty(0)
    chosen = cases["structure"] == structure
    if level:
        chosen &= cases[by] == level
    return cases.loc[chosen, metric].dropna().to_numpy(float) * METRICS[metric].scale


def _draw_boxes(axes: Any, boxes: list[tuple[str, str, np.ndarray]], title: str, scores: Scores) -> None:
    axes.set_title(title)
    if not any(len(values) for _, _, values in boxes):
        return say_nothing(axes, "no defined value")
    palette = colours(structures_of(scores))
    scatter = np.random.default_rng(0)
    names = [structure for structure, _, _ in boxes]
    places = np.arange(len(boxes)) + 0.5 * np.array([len(set(names[: i + 1])) - 1 for i in range(len(names))])
    for place, (structure, _, values) in zip(places, boxes, strict=True):
        colour = palette[structure]
        line = {"color": colour, "lw": 1.4}
        box = {"facecolor": colour + "2e", "edgecolor": colour, "lw": 1.4}
        look = {"boxprops": box, "medianprops": {"color": INK, "lw": 1.8}, "whiskerprops": line, "capprops": line}
        axes.boxplot([values], positions=[place], widths=0.62, showfliers=False, patch_artist=True, **look)
        offset = scatter.uniform(-0.2, 0.2, len(values)) if len(values) > 1 else 0
        axes.plot(place + offset * np.ones(len(values)), values, "o", ms=2.8, mew=0, color=colour, alpha=0.6)
    axes.set_xticks(places, [f"{structure}\n{level}".strip() for structure, level, _ in boxes])
    axes.set_xlim(places[0] - 0.6, places[-1] + 0.6)
    axes.grid(axis="x", visible=False)
    return None


def _medians(boxes: list[tuple[str, str, np.ndarray]], metric: str) -> str:
    write = METRICS[metric].write
    said = [
        f"{structure} {level}".strip() + f" median {write(np.median(values) / METRICS[metric].scale)}"
        for structure, level, values in boxes
        if len(values)
    ]
    return ", ".join(said) + "." if said else "no defined value."
