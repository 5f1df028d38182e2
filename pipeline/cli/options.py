"""Options that several verbs share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Trust = Annotated[
    bool, typer.Option("--trust", help="Run a bundle of others whatever its configurations and its code do.")
]
Weights = Annotated[
    list[Path] | None,
    typer.Option(help="Weights other than the bundle's; given several times, the answers of all are averaged."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="JSON file to write; else only a summary.")]
Folds = Annotated[int, typer.Option(min=2, help="Number of folds.")]
Seed = Annotated[int, typer.Option(min=0, help="Equal seeds give equal results.")]
Patient = Annotated[str | None, typer.Option(help="Regular expression that finds the patient in a file name.")]
Separator = Annotated[str | None, typer.Option(help="Or: the patient is the name up to this, e.g. _ (underscore).")]


def _labels(text: str) -> dict[str, int | list[int]] | None:
    from pipeline.metrics import parse_labels

    return parse_labels(text) if text else None


Labels = Annotated[
    dict | None,
    typer.Option(
        parser=_labels,
        metavar="<str>",
        help="Structures and their numbers in the masks, e.g. 1=RV,2=MYO,3=LV or lungs=1+2,infection=2.",
    ),
]


def settings(words: list[str] | None) -> dict[str, object]:
    """The words `key=value` of --set, a value as JSON where it is JSON; raises typer.BadParameter without "="."""
    return dict(map(_setting, words or []))


def _setting(text: str) -> tuple[str, object]:
    key, found, value = text.partition("=")
    if not found:
        raise typer.BadParameter(f"--set {text}: write key=value")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
