"""Clinical numbers of truth and prediction: agreement in words, correlation and Bland-Altman plots."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.figures import Picture
from pipeline.report.load import ScoreFiles
from pipeline.report.style import GREY, INK, colours, draw_png, say_nothing


@dataclass(frozen=True)
class Quantity:
    """One clinical number of all patients: its name ("LV EDV"), unit, and truth and prediction by patient."""

    name: str
    unit: str
    truth: np.ndarray
    pred: np.ndarray


def clinical_quantities(clinical: pd.DataFrame | None) -> list[Quantity]:
    """The pairs of columns NAME_truth_UNIT and NAME_pred_UNIT of clinical.csv, patients with both values only."""
    if clinical is None:
        return []
    found = []
    for column in clinical.columns:
        match = re.fullmatch(r"(.+)_truth(?:_(\w+))?", column)
        other = column.replace("_truth", "_pred")
        if not match or other not in clinical:
            continue
        pairs = clinical[[column, other]].to_numpy(float)
        pairs = pairs[np.isfinite(pairs).all(1)]
        found.append(Quantity(_spoken(match[1]), _unit(match[2]), pairs[:, 0], pairs[:, 1]))
    return found


def agreement_plot(quantity: Quantity) -> Picture:
    """Prediction against truth above, Bland-Altman plot with bias and limits of agreement below.

    Source: Bland and Altman, Lancet 1986: limits = bias ± 1.96 SD of the differences (n - 1 in the SD).
    """
    structure = quantity.name.split()[0]
    colour = colours([structure])[structure]

    def draw(axes: Any) -> None:
        _draw_correlation(axes[0, 0], quantity, colour)
        _draw_bland_altman(axes[1, 0], quantity, colour)

    bias = np.mean(quantity.pred - quantity.truth) if len(quantity.truth) else np.nan
    said = f"bias {bias:.1f} {quantity.unit}" if np.isfinite(bias) else "no values"
    return Picture(
        name="clinical_" + re.sub(r"\W+", "_", quantity.name),
        png=draw_png(draw, size=(3.7, 6.0), rows=2),
        alt=f"{quantity.name}, prediction against truth, and Bland-Altman plot; n = {len(quantity.truth)}, {said}.",
        caption=f"{quantity.name} ({quantity.unit}), {len(quantity.truth)} patients.",
    )


def _draw_correlation(axes: Any, quantity: Quantity, colour: str) -> None:
    axes.set_title(f"{quantity.name} ({quantity.unit})")
    if not len(quantity.truth):
        return say_nothing(axes, "no patient with both values")
    both = np.concatenate([quantity.truth, quantity.pred])
    margin = 0.06 * (np.ptp(both) or 1)
    limits = both.min() - margin, both.max() + margin
    axes.plot(limits, limits, color=GREY, lw=1, ls="--")
    axes.plot(quantity.truth, quantity.pred, "o", ms=5, mew=0, color=colour, alpha=0.65)
    axes.set(xlabel="truth", ylabel="prediction", xlim=limits, ylim=limits, aspect="equal")
    axes.locator_params(nbins=5)
    return None


def _draw_bland_altman(axes: Any, quantity: Quantity, colour: str) -> None:
    if not len(quantity.truth):
        return say_nothing(axes, "no patient with both values")
    difference = quantity.pred - quantity.truth
    axes.axhline(0, color="#c9ced4", lw=1)
    axes.plot((quantity.pred + quantity.truth) / 2, difference, "o", ms=5, mew=0, color=colour, alpha=0.65)
    bias = difference.mean()
    lines = [(bias, "-", "bias")]
    if len(difference) > 1:
        reach = 1.96 * difference.std(ddof=1)
        lines += [(bias + reach, "--", "+1.96 SD"), (bias - reach, "--", "−1.96 SD")]
    for height, dashes, name in lines:
        axes.axhline(height, color=INK, lw=1.2, ls=dashes)
        axes.annotate(
            f"{name} {height:.1f}".replace("-", "−"),
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=8.5,
        )
    axes.set(xlabel="mean of truth and prediction", ylabel="prediction − truth")
    axes.margins(x=0.08, y=0.18)
    axes.locator_params(axis="x", nbins=5)
    return None


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _unit(unit: str | None) -> str:
    return {None: "", "pct": "%", "percent": "%"}.get(unit, unit or "")
