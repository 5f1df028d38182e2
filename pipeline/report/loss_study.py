"""How each loss of the catalogue answers a growing error, for a large and a small object: the measurement."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import DataError, Problem
from pipeline.files import refuse_existing, write_bytes, write_text
from pipeline.report.loss_findings import LEFT_OUT, RADII, figure, findings

SPACING = (1.5, 1.5, 5.0)
SIZE = (97, 65, 17)
LOGIT = 8.0  # the network is sure: p = 0.9997 or 0.0003
DRAWS = 2
REMEDY = "See bundles/options/losses.json for examples"


def study(
    output: str | Path,
    *,
    catalogue: str | Path = "bundles/options/losses.json",
    steps: int = 8,
    seed: int = 0,
    overwrite: bool = False,
) -> dict[str, Path]:
    """Measure every loss of a catalogue against four growing errors, and write what it shows.

    A ball of 24 mm and one of 6 mm radius on a grid of 97 x 65 x 17 voxels of 1.5 x 1.5 x 5 mm, one sigmoid channel,
    logits of 8 and -8. Errors grow in equal steps from none to the strongest (see ERRORS). Of an entry with several
    terms the last one is measured, which gives the entry its name; of Mumford-Shah, on the truth with noise as image.

    Args:
        output: folder, made where it is missing.
        catalogue: JSON of losses in the form of bundles/options/losses.json.
        steps: of each error.
        seed: of the flips and the noise.
        overwrite: replace the files of an earlier study.

    Returns:
        "curves": losses.csv (loss, object, error, strength 0 to 1, dice of the masks, value, gradient norm),
        "values", "gradients": PNGs with a panel for each loss and object, "findings": losses.md.

    Raises:
        DataError: no such catalogue, an entry that is no loss, or files that exist without `overwrite`.
    """
    output = Path(output)
    names = {"curves": ".csv", "values": "_value.png", "gradients": "_gradient.png", "findings": ".md"}
    paths = {what: output / f"losses{ending}" for what, ending in names.items()}
    if not overwrite:
        refuse_existing(paths.values())
    curves = measure(read_catalogue(catalogue), steps=steps, seed=seed)
    write_text(paths["curves"], curves.to_csv(index=False, float_format="%.6g"), overwrite=overwrite)
    write_bytes(paths["values"], figure(curves, "value"), overwrite=overwrite)
    write_bytes(paths["gradients"], figure(curves, "gradient"), overwrite=overwrite)
    write_text(paths["findings"], findings(curves), overwrite=overwrite)
    return paths


def read_catalogue(path: str | Path) -> dict[str, Any]:
    """The losses of a catalogue, built for one sigmoid channel on this grid; raises DataError where there is none."""
    from monai.bundle import ConfigParser

    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        remedy = "Run it in the repository's root, or name the catalogue"
        raise DataError(Problem(str(path), "a catalogue of losses in JSON", str(error), remedy)) from None
    names = [name for name in entries if name not in LEFT_OUT] if isinstance(entries, dict) else []
    if not names:
        found = "none" if isinstance(entries, dict) else type(entries).__name__
        raise DataError(Problem(str(path), "an object with an entry for each loss", found, REMEDY))
    settings = {"softmax": False, "loss_spacing": list(SPACING), "labels": {"object": 1}, "alpha": 1.0, "epochs": 100}
    parser = ConfigParser(settings | {"entries": entries})
    try:
        parser.parse()
    except Exception as error:  # such as a file that an entry takes its value from
        raise DataError(Problem(str(path), "losses that can be read", _told(error), REMEDY)) from None
    problems: list[Problem] = []
    losses = {name: _built(parser, name, str(path), problems) for name in names}
    if problems:
        raise DataError(problems)
    return losses


def _built(parser: Any, name: str, source: str, problems: list[Problem]) -> Any:
    """The loss of an entry, of several terms the last one; None with a problem where the entry gives none."""
    try:
        found = parser.get_parsed_content(f"entries::{name}")
        loss = getattr(found, "losses", [found])[-1]
    except Exception as error:  # whatever the entry's own class or expression raises
        problems.append(Problem(f"{source}: {name}", "a loss", _told(error), REMEDY))
        return None
    if not callable(loss):
        problems.append(Problem(f"{source}: {name}", "an object with a loss as _target_", repr(found), REMEDY))
    return loss


def _told(error: Exception) -> str:
    """The first line of what was raised, by its cause where there is one."""
    words = str(error.__cause__ or error) or type(error).__name__
    return words.splitlines()[0].rstrip(" ,.")


def measure(losses: Mapping[str, Any], *, steps: int = 8, seed: int = 0) -> pd.DataFrame:
    """Value and norm of the gradient with respect to the logits, a row for each loss, object, error and strength."""
    import torch
    from tqdm import tqdm

    rows = []
    tasks = [(name, size) for name in losses for size in RADII]
    for name, size in tqdm(tasks, desc="losses", unit="curve"):
        truth = ball(RADII[size])
        noise = np.random.default_rng(seed).normal(0, 0.3, truth.shape)
        given = [torch.from_numpy(x).float()[None, None] for x in (truth, truth + noise)]
        for error, strength, masks in _errors(truth, RADII[size], steps, seed):
            measured = np.array([_value_and_gradient(losses[name], mask, *given) for mask in masks])
            dice = np.mean([_dice(mask, truth) for mask in masks])
            rows.append((name, size, error, strength, dice, *measured.mean(0)))
    return pd.DataFrame(rows, columns=["loss", "object", "error", "strength", "dice", "value", "gradient"])


def ball(radius: float, *, shift: float = 0.0) -> np.ndarray:
    """Mask of the voxels whose centres lie within `radius` mm of the middle, moved by `shift` mm along axis 0."""
    x, y, z = np.ogrid[tuple(slice(n) for n in SIZE)]
    x, y, z = (step * (axis - (n - 1) / 2) for axis, n, step in zip((x, y, z), SIZE, SPACING, strict=True))
    return (x - shift) ** 2 + y**2 + z**2 <= radius**2


def _errors(truth: np.ndarray, radius: float, steps: int, seed: int) -> Iterator[tuple[str, float, list[np.ndarray]]]:
    """Each error at each strength, with the predicted masks that show it (several where it is random)."""
    generator = np.random.default_rng(seed)
    orders = [(generator.permutation(np.flatnonzero(truth)), generator.permutation(np.flatnonzero(~truth)))]
    orders += [tuple(generator.permutation(order) for order in orders[0]) for _ in range(DRAWS - 1)]
    for strength in np.linspace(0, 1, steps + 1):
        yield "dilate", strength, [ball(radius * (1 + strength))]
        yield "erode", strength, [ball(radius * (1 - strength)) if strength < 1 else np.zeros_like(truth)]
        yield "shift", strength, [ball(radius, shift=2 * radius * strength)]
        yield "flip", strength, [_flipped(truth, *order, strength) for order in orders]


def _flipped(truth: np.ndarray, inside: np.ndarray, outside: np.ndarray, strength: float) -> np.ndarray:
    """The truth with the first voxels of both orders flipped, as many in each."""
    flipped = truth.copy()
    number = round(strength * len(inside))
    flipped.flat[inside[:number]] = False
    flipped.flat[outside[:number]] = True
    return flipped


def _value_and_gradient(loss: Any, mask: np.ndarray, truth: Any, image: Any) -> tuple[float, float]:
    import torch

    from pipeline.losses import MumfordShahLoss

    logits = torch.from_numpy(np.where(mask, np.float32(LOGIT), np.float32(-LOGIT)))[None, None].requires_grad_()
    value = loss(logits, truth, image=image) if isinstance(loss, MumfordShahLoss) else loss(logits, truth)
    value.backward()
    return float(value.detach()), float(logits.grad.norm())


def _dice(mask: np.ndarray, truth: np.ndarray) -> float:
    return 2 * float((mask & truth).sum()) / float(mask.sum() + truth.sum())
