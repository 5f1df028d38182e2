"""`volseg VERB`: each verb reads its arguments, calls one function and prints what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli.check import check
from pipeline.cli.datalist import app as datalist
from pipeline.cli.experiment import ManyValues, experiment
from pipeline.cli.losses import losses
from pipeline.cli.package import package, verify
from pipeline.cli.phantom import app as phantom
from pipeline.cli.score import score
from pipeline.cli.segment import segment

app = typer.Typer(
    name="volseg",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="3D segmentation of the heart and the lungs: datalists, phantoms, inference, scores and reports. "
    "Training is MONAI's own command: "
    "[bold]python -m monai.bundle run training --config_file bundles/acdc/train.json[/bold]. "
    "Research use only, not a medical device.",
)
app.add_typer(datalist, name="datalist")
app.add_typer(phantom, name="phantom")
for verb in (check, segment, score, losses, package, verify):
    app.command()(verb)
app.command(cls=ManyValues)(experiment)


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(f"volseg {__version__}")
        raise typer.Exit
