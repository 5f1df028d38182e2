"""Figures 4 and 5 of the paper: its three measures over the epochs, one line for each loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd

from pipeline.experiment.collection import Result
from pipeline.report.curves import read_log
from pipeline.report.document import Cell, Figure, Table
from pipeline.report.experiment_numbers import MEASURES, four
from pipeline.report.figures import Picture
from pipeline.report.paper_tables import DataResults, loss_name
from pipeline.report.style import colours, draw_png, say_nothing


def curve_figure(part: DataResults, number: str) -> Figure:
    """Validation Dice, IoU and pixel error (means over slices) by epoch: mean over runs, band from least to largest."""
    runs = {loss_name(alpha): results for alpha, results in part.by_alpha.items()}

    def draw(axes: np.ndarray) -> None:
        for panel, (measure, name) in zip(axes[0], MEASURES.items(), strict=True):
            draw_curves(panel, runs, f"val_slice_{measure}", name)

    png, svg = draw_both(draw, size=(11, 3.4), columns=3)
    count = max(len(results) for results in part.by_alpha.values())
    spread = f"; band: {count} runs, the least to the largest" if count > 1 else ""
    caption = (
        f"Figure {number}, {part.name}: Dice, IoU and pixel error of the held-out slices after each epoch{spread}. "
        "The tables score the weights of the last epoch, unless the settings say “best”."
    )
    alt = f"Three line charts of Dice, IoU and pixel error over the epochs on {part.name}, a line for each loss."
    return Figure(Picture(f"figure_{number}_{part.level.split(' ')[0]}", png, alt, caption), svg)


def late_epochs_table(data: Sequence[DataResults]) -> Table | None:
    """Mean ± SD of the three measures over the last fifth of the epochs (at least two) of each loss's runs.

    It says how much of a difference in the tables, which score one epoch, is the choice of that epoch. None where no
    log has enough epochs.
    """
    rows = [
        [part.name, loss_name(alpha), str(len(late["dice"])), *(_spread(values) for values in late.values())]
        for part in data
        for alpha, results in part.by_alpha.items()
        if len((late := _late(results))["dice"]) > 1
    ]
    caption = (
        "How much the choice of the epoch decides: mean ± SD over the last fifth of the epochs of all runs; beneath, "
        "the least and the largest. The tables score the last epoch alone."
    )
    return Table(caption, ["Data", "Loss", "epochs", *MEASURES.values()], rows) if rows else None


def _late(results: Sequence[Result]) -> dict[str, pd.Series]:
    """Measure -> the values of the last fifth of each run's epochs, all runs together."""
    found = {}
    for measure in MEASURES:
        series = [_series(result, f"val_slice_{measure}") for result in results]
        found[measure] = pd.concat([values.iloc[-max(2, round(len(values) / 5)) :] for values in series])
    return found


def _spread(values: pd.Series) -> Cell:
    return Cell(f"{four(values.mean())} ± {four(values.std())}", f"{four(values.min())} to {four(values.max())}")


def draw_curves(panel: Any, runs: dict[str, Sequence[Result]], key: str, title: str) -> None:
    """One line for each name: the mean of its runs' logs, with a band over them."""
    panel.set(title=title, xlabel="epoch")
    drawn = False
    palette = colours(runs)
    for name, results in runs.items():
        table = pd.DataFrame({index: _series(result, key) for index, result in enumerate(results)}).sort_index()
        if table.empty:
            continue
        drawn = True
        mean = table.mean(axis=1)
        panel.plot(mean.index, mean, color=palette[name], lw=1.8, label=name, marker="o" if len(mean) < 3 else None)
        if table.shape[1] > 1:
            panel.fill_between(table.index, table.min(axis=1), table.max(axis=1), color=palette[name], alpha=0.18, lw=0)
    if not drawn:
        say_nothing(panel, "not in the logs")
        return
    panel.xaxis.get_major_locator().set_params(integer=True)
    panel.legend(fontsize=9)


def draw_both(draw: Callable[[np.ndarray], None], **options: Any) -> tuple[bytes, bytes]:
    """`draw_png`'s picture, and the same as SVG."""
    svg = BytesIO()

    def both(axes: np.ndarray) -> None:
        draw(axes)
        axes.flat[0].figure.savefig(svg, format="svg", metadata={"Date": None})

    return draw_png(both, **options), svg.getvalue()


def _series(result: Result, key: str) -> pd.Series:
    """Epoch -> value, from the run's log; empty where it has none."""
    path = result.folder / "log.jsonl"
    epochs = read_log(path) if path.is_file() else []
    return pd.Series({entry["epoch"]: float(entry[key]) for entry in epochs if entry.get(key) is not None}, dtype=float)
