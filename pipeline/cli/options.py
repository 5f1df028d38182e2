"""Options that several verbs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="JSON file to write; else only a summary.")]
Folds = Annotated[int, typer.Option(min=2, help="Number of folds.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal results.")]
Labels = Annotated[
    str | None,
    typer.Option(help="Structures and their numbers in the masks, e.g. 1=RV,2=MYO,3=LV or lungs=1+2,infection=2."),
]
Patient = Annotated[str | None, typer.Option(help="Regular expression that finds the patient in a file name.")]
Separator = Annotated[str | None, typer.Option(help="Or: the patient is the name up to this, e.g. _ (underscore).")]


def setting(text: str) -> tuple[str, object]:
    """`key=value`, the value as JSON where it is JSON; raises typer.BadParameter without "="."""
    key, found, value = text.partition("=")
    if not found:
        raise typer.BadParameter(f"--set {text}: write key=value")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
