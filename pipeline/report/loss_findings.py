"""How each loss of the catalogue answers a growing error: what the measured curves show, in words and pictures."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

RADII = {"large": 24.0, "small": 6.0}  # mm
ERRORS = {
    "dilate": "the object grows by up to its radius",
    "erode": "it shrinks by up to its radius, until it is gone",
    "shift": "it moves by up to its diameter",
    "flip": "up to all of its voxels are missed, and as many false ones strewn elsewhere",
}
LEFT_OUT = {"consistency": "does not look at the truth", "staged": "is made of the others"}
FALLS = "falls somewhere while the error grows"
VANISHES = "has no gradient left at the end of"
WEAKENS = "has a smaller gradient with the full error than with none"
UNDEFINED = "is not a number somewhere while the error grows, so whether it falls is not known"
FALL = 1e-3  # a curve falls where a step loses more than this share of its range


def findings(curves: pd.DataFrame) -> str:
    """What the curves show, in Markdown: which losses fall although an error grows, where gradients weaken or vanish.

    A curve falls where a step loses more than a thousandth of its range; a gradient has vanished where it is below a
    thousandth of the largest of this loss and object. Of a curve with a value that is not a number neither is known.
    """
    losses = list(dict.fromkeys(curves["loss"]))
    lines = ["# How the losses answer a growing error", ""]
    lines += [f"{len(losses)} losses, one object, p = 0.9997 inside the prediction and 0.0003 outside. The errors:"]
    lines += [f"- {error}: {meaning}" for error, meaning in ERRORS.items()]
    lines += ["", "Left out: " + "; ".join(f"{name}, which {reason}" for name, reason in LEFT_OUT.items()) + "."]
    growing: dict[str, list[str]] = {}
    for size, radius in RADII.items():
        told = _told(curves[curves["object"] == size])
        growing[size] = [name for name in losses if name not in told[FALLS] and name not in told[UNDEFINED]]
        never = f"{len(growing[size])} of {len(losses)} losses never fall while any of the four errors grows"
        lines += ["", f"## The {size} object (a ball of {radius:g} mm radius)"]
        lines += [f"{never}: {_listed(growing[size])}."]
        lines += [f"- {name} {what}: {', '.join(found[name])}" for what, found in told.items() for name in found]
    lines += ["", _verdict(growing["small"])]
    return "\n".join(lines) + "\n"


def figure(curves: pd.DataFrame, quantity: str) -> bytes:
    """Panels in pairs, large and small, a line for each error."""
    from pipeline.report.style import colours, draw_png

    losses = list(dict.fromkeys(curves["loss"]))
    palette = colours(ERRORS)
    pairs = 3
    rows = math.ceil(len(losses) / pairs)

    def draw(axes: np.ndarray) -> None:
        for panel in axes.flat:
            panel.set_axis_off()
        for index, name in enumerate(losses):
            for column, size in enumerate(RADII):
                panel = axes[index // pairs, 2 * (index % pairs) + column]
                panel.set_axis_on()
                panel.set_title(f"{name.replace('_', ' ')}, {size}" if column == 0 else size, fontsize=8)
                chosen = curves[(curves["loss"] == name) & (curves["object"] == size)]
                for error, curve in chosen.groupby("error", sort=False):
                    panel.plot(curve["strength"], curve[quantity], color=palette[error], lw=1.4, label=error)
                panel.tick_params(labelsize=6, length=2)
                panel.locator_params(axis="y", nbins=3)
                panel.set_xticks([0, 1], ["none", "full"])
                panel.yaxis.get_offset_text().set_size(6)
        figure = axes[0, 0].figure
        handles, labels = axes[0, 0].get_legend_handles_labels()
        what = "Loss" if quantity == "value" else "Norm of the gradient with respect to the logits"
        figure.suptitle(f"{what} against a growing error, for a large and a small object", fontsize=11)
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)

    return draw_png(draw, size=(13, 1.5 * rows + 1), rows=rows, columns=2 * pairs)


def _told(curves: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """What can be said of the curves of one object -> loss -> the errors of which it is true."""
    told: dict[str, dict[str, list[str]]] = {FALLS: {}, VANISHES: {}, WEAKENS: {}, UNDEFINED: {}}
    largest = curves.groupby("loss")["gradient"].max()
    for (name, error), curve in curves.groupby(["loss", "error"], sort=False):
        values, gradients = curve.sort_values("strength")[["value", "gradient"]].to_numpy().T
        true = {
            FALLS: (np.diff(values) < -FALL * np.ptp(values)).any(),
            VANISHES: gradients[-1] < 1e-3 * largest[name],
            WEAKENS: gradients[-1] < gradients[0],
            UNDEFINED: not np.isfinite(values).all(),
        }
        for what in (what for what in told if true[what]):
            told[what].setdefault(name, []).append(error)
    return told


def _listed(names: list[str]) -> str:
    return ", ".join(names) if names else "none"


def _verdict(growing: list[str]) -> str:
    """What the claim of the article comes to here."""
    claimed, others = ([name for name in growing if (name in ("combo", "focal")) is wanted] for wanted in (True, False))
    return (
        "The article whose last figure this repeats says that for small objects only Combo and focal grow steadily. "
        f"Here {_listed(claimed)} of these two never fall for the small object, and of the others {len(others)}: "
        f"{_listed(others)}."
    )
