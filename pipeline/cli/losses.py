"""`volseg losses OUT`: what each loss of the catalogue says of growing errors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Overwrite, Seed


def losses(
    out: Annotated[Path, typer.Argument(help="Folder for losses.csv, two pictures and what they show in words.")],
    catalogue: Annotated[Path, typer.Option(help="JSON with one entry for each loss.")] = Path(
        "bundles/options/losses.json"
    ),
    steps: Annotated[int, typer.Option(min=2, help="Steps of each error.")] = 8,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Draw value and gradient of every loss against growing errors of a large and a small object in 3D.

    Example: volseg losses runs/losses
    """
    from pipeline.report.loss_study import study

    for name, path in study(out, catalogue=catalogue, steps=steps, seed=seed, overwrite=overwrite).items():
        print(f"{name}: {path}")
