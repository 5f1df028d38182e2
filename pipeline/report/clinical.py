"""Clinical numbers of truth and prediction: agreement in words, correlation and Bland-Altman plots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.metrics.clinical import agreement_table
from pipeline.report.figures import Picture
from pipeline.report.style import GREY, INK, colours, draw_png, say_nothing

AGREEMENT = (
    "Prediction minus truth over patients: bias and limits of agreement (bias ± 1.96 SD, Bland and Altman 1986), "
    "Pearson's r."
)
AGREEMENT_HEAD = ["Quantity", "n", "Bias", "SD", "Limits of agreement", "Mean absolute error", "r"]


def agreement_rows(clinical: pd.DataFrame | None) -> list[list[str]]:
    """`pipeline.metrics.clinical.agreement_table` in words, under AGREEMENT_HEAD; empty without clinical numbers."""
    return [] if clinical is None else [in_words(row) for row in agreement_table(clinical)]


def agreement_plot(
    clinical: pd.DataFrame,
    agreement: dict[str, Any],
    *,
    prefix: str = "clinical",
    name: str | None = None,
    colour: str | None = None,
) -> Picture:
    """Prediction against truth above, Bland-Altman plot with bias and limits of agreement below.

    Args:
        clinical: one row for each patient or case, with the columns QUANTITY_truth_UNIT and QUANTITY_pred_UNIT.
        agreement: the row of `pipeline.metrics.clinical.agreement_table` for the quantity.
        prefix: of the picture's name.
        name: of the quantity in words; default: QUANTITY without its underscores.
        colour: default that of the structure with which QUANTITY begins.
    """
    quantity, unit = agreement["quantity"], agreement["unit"]
    pairs = clinical[[f"{quantity}_{side}_{unit}" for side in ("truth", "pred")]].to_numpy(float)
    truth, pred = pairs[np.isfinite(pairs).all(1)].T
    structure = quantity.split("_")[0]
    colour = colour or colours([structure])[structure]
    words = dict(zip(AGREEMENT_HEAD, in_words(agreement, name=name), strict=True))
    name = words["Quantity"]

    def draw(axes: Any) -> None:
        axes[0, 0].set_title(name)
        if not len(truth):
            axes[1, 0].set_visible(False)
            return say_nothing(axes[0, 0], "no pair with both values")
        _draw_correlation(axes[0, 0], truth, pred, colour)
        return _draw_bland_altman(axes[1, 0], truth, pred, colour, agreement)

    said = f"n {words['n']}, bias {words['Bias']}, limits of agreement {words['Limits of agreement']}"
    alt = f"{name}, prediction against truth, and Bland-Altman plot: {said}."
    return Picture(f"{prefix}_{quantity}", draw_png(draw, size=(3.7, 6.0), rows=2), alt, f"{name}: {said}.")


def in_words(row: dict[str, Any], *, name: str | None = None) -> list[str]:
    """One row of `pipeline.metrics.clinical.agreement_table` under AGREEMENT_HEAD; `name` of the quantity as there."""
    keys = ("bias", "sd", "loa_low", "loa_high", "mae")
    bias, sd, low, high, mae = ("–" if row[key] is None else _signed(row[key]) for key in keys)
    n = str(row["n"]) + (f" ({row['undefined']} undefined)" if row["undefined"] else "")
    limits = "–" if row["sd"] is None else f"{low} to {high}"
    r = "–" if row["r"] is None else f"{row['r']:.3f}"
    unit = "%" if row["unit"] == "percent" else row["unit"]
    return [f"{name or row['quantity'].replace('_', ' ')} ({unit})", n, bias, sd, limits, mae, r]


def _signed(value: float) -> str:
    return f"{value:.1f}".replace("-", "−")


def _draw_correlation(axes: Any, truth: np.ndarray, pred: np.ndarray, colour: str) -> None:
    both = np.concatenate([truth, pred])
    margin = 0.06 * (np.ptp(both) or 1)
    limits = both.min() - margin, both.max() + margin
    axes.plot(limits, limits, color=GREY, lw=1, ls="--")
    axes.plot(truth, pred, "o", ms=5, mew=0, color=colour, alpha=0.65)
    axes.set(xlabel="truth", ylabel="prediction", xlim=limits, ylim=limits, aspect="equal")
    axes.locator_params(nbins=5)


def _draw_bland_altman(axes: Any, truth: np.ndarray, pred: np.ndarray, colour: str, agreement: dict[str, Any]) -> None:
    axes.axhline(0, color="#c9ced4", lw=1)
    axes.plot((pred + truth) / 2, pred - truth, "o", ms=5, mew=0, color=colour, alpha=0.65)
    lines = [("bias", "-", "bias")]
    if agreement["sd"]:  # neither None nor 0, where the three lines would be one
        lines += [("loa_high", "--", "+1.96 SD"), ("loa_low", "--", "−1.96 SD")]
    for key, dashes, name in lines:
        axes.axhline(agreement[key], color=INK, lw=1.2, ls=dashes)
        place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8.5}
        axes.annotate(f"{name}\n{_signed(agreement[key])}", (1.02, agreement[key]), **place)
    axes.set(xlabel="mean of truth and prediction", ylabel="prediction − truth")
    axes.margins(x=0.08, y=0.18)
    axes.locator_params(axis="x", nbins=5)
