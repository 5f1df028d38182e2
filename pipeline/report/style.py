"""One look for all figures: colours that colour-blind readers can tell apart, and PNG bytes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from pipeline.metrics.labels import MEAN

# Okabe & Ito, Color Universal Design, 2008
_HEART = {"RV": "#0072B2", "MYO": "#009E73", "LV": "#D55E00"}
_OTHERS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
INK, GREY = "#22282f", "#6b7480"
TRUTH, PRED = "#ffc233", "#2fd6ff"  # contours over grey images

DARK = {"figure.facecolor": "#101418", "axes.facecolor": "#101418", "axes.grid": False, "text.color": "#e8ecf0"}
_STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#b9c0c8",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ed",
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
}


def colours(structures: Iterable[str]) -> dict[str, str]:
    """A colour for each structure: RV blue, MYO green, LV vermilion, others by turn; grey for the mean."""
    names = [name for name in structures if name != MEAN]
    spare = [colour for colour in _OTHERS if colour not in {_HEART[n] for n in names if n in _HEART}]
    others = [name for name in names if name not in _HEART]
    turn = {name: spare[i % len(spare)] for i, name in enumerate(others)}
    return {**{name: _HEART.get(name) or turn[name] for name in names}, MEAN: GREY}


def draw_png(
    draw: Callable[[np.ndarray], None],
    *,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    dpi: int = 160,
    style: dict[str, Any] | None = None,
) -> bytes:
    """Draw on a grid of axes and return the picture.

    Args:
        draw: is given the (rows, columns) array of matplotlib axes.
        size: width and height in inches.
        style: matplotlib settings over those of this module.

    Returns:
        PNG bytes. No pyplot, so no window, no global backend and nothing to close.
    """
    with matplotlib.rc_context({**_STYLE, **(style or {})}):
        figure = Figure(figsize=size, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
        draw(figure.subplots(rows, columns, squeeze=False))
        buffer = BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def frameless(axes: Any) -> None:
    """Leave only the picture: no ticks, no frame."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def say_nothing(axes: Any, text: str) -> None:
    """Write `text` on axes that have nothing to show."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=GREY)
