"""Learning curves from a run's log.jsonl: the loss, and the validation Dice of each structure."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, Problem
from pipeline.files import write_bytes
from pipeline.metrics.labels import MEAN
from pipeline.report.style import GREY, INK, colours, draw_png, say_nothing

Epochs = list[dict[str, Any]]


def learning_curves(log_jsonl: str | Path, out_png: str | Path) -> Path:
    """Draw the loss (left) and the validation Dice (right) over the epochs into one PNG, which may be there already.

    Args:
        log_jsonl: as `read_log` takes it.
        out_png: where the picture goes; a training draws it anew.

    Returns:
        `out_png`.

    Raises:
        DataError: there is no log.
    """
    epochs = read_log(log_jsonl)

    def both(axes: Any) -> None:
        draw_loss(axes[0, 0], epochs)
        draw_dice(axes[0, 1], epochs)

    return write_bytes(out_png, draw_png(both, size=(10, 3.8), columns=2), overwrite=True)


def run_folder(folder: str | Path) -> str | None:
    """The folder itself where it holds the log of a training, else None: weights may come from elsewhere."""
    return str(folder) if (Path(folder) / "log.jsonl").is_file() else None


def read_log(log_jsonl: str | Path) -> Epochs:
    """One entry for each epoch, in order, as the run now stands.

    A resumed run repeats epochs: the later line wins, and later epochs of the abandoned attempt are dropped.
    Lines that are no JSON (a killed run's last one) are skipped; an empty log gives an empty list.

    Args:
        log_jsonl: lines such as {"epoch": 1, "loss": 0.8, "val_dice": 0.7, "val_dice_RV": 0.6, "best": true}.

    Raises:
        DataError: there is no such file.
    """
    path = Path(log_jsonl)
    if not path.is_file():
        remedy = "Name the folder of a training, which holds log.jsonl, or leave the run out"
        raise DataError(Problem(str(path), "the log of a training", "nothing", remedy))
    epochs: dict[int, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        entry = _parse(line)
        if entry is not None:
            epochs = {epoch: old for epoch, old in epochs.items() if epoch < entry["epoch"]}
            epochs[entry["epoch"]] = entry
    return list(epochs.values())


def best_epoch(epochs: Epochs) -> dict[str, Any] | None:
    """The last epoch marked as best; else the one with the highest validation Dice; None without validation."""
    validated = [entry for entry in epochs if _number(entry, "val_dice") is not None]
    marked = [entry for entry in validated if entry.get("best")]
    return marked[-1] if marked else max(validated, key=lambda e: e["val_dice"], default=None)


def draw_loss(axes: Any, epochs: Epochs) -> None:
    """The training loss over the epochs."""
    x, y = _series(epochs, "loss")
    axes.set(title="Training loss", xlabel="epoch")
    if not x:
        return say_nothing(axes, "no loss in the log")
    axes.plot(x, y, color=INK, lw=1.6, marker=_marker(x))
    return _whole_epochs(axes, epochs)


def draw_dice(axes: Any, epochs: Epochs) -> None:
    """The validation Dice of each structure and their mean; the best epoch is marked."""
    axes.set(title="Validation Dice", xlabel="epoch")
    best = best_epoch(epochs)
    if best is None:
        return say_nothing(axes, "no validation in the log")
    keys = list(dict.fromkeys(key for entry in epochs for key in entry if key.startswith("val_dice_")))
    palette = colours(key.removeprefix("val_dice_") for key in keys)
    for key in keys:
        x, y = _series(epochs, key)
        name = key.removeprefix("val_dice_")
        axes.plot(x, y, color=palette[name], lw=1.4, marker=_marker(x), label=name)
    x, y = _series(epochs, "val_dice")
    axes.plot(x, y, color=INK, lw=2.2, marker=_marker(x), label=MEAN)
    axes.axvline(best["epoch"], color=GREY, lw=1, ls=":")
    label = f"best: {best['val_dice']:.3f}, epoch {best['epoch']}"
    axes.plot(best["epoch"], best["val_dice"], "*", ms=13, color=INK, mec="white", label=label)
    axes.legend(loc="lower right", fontsize=9, frameon=True, framealpha=0.85, edgecolor="none")
    return _whole_epochs(axes, epochs)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("epoch"), int) else None


def _number(entry: dict[str, Any], key: str) -> float | None:
    value = entry.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _series(epochs: Epochs, key: str) -> tuple[list[int], list[float]]:
    pairs = [(entry["epoch"], _number(entry, key)) for entry in epochs]
    return [x for x, y in pairs if y is not None], [y for _, y in pairs if y is not None]


def _marker(x: list[int]) -> str | None:
    return "o" if len(x) < 3 else None


def _whole_epochs(axes: Any, epochs: Epochs) -> None:
    """Ticks at whole epochs only, and room around a single one."""
    axes.xaxis.get_major_locator().set_params(integer=True)
    first, last = epochs[0]["epoch"], epochs[-1]["epoch"]
    margin = max(0.5, 0.02 * (last - first))
    axes.set_xlim(first - margin, last + margin)
