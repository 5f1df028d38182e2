"""`volseg phantom LAYOUT OUT`: small synthetic datasets in raw layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.options import Overwrite, Seed

app = typer.Typer(no_args_is_help=True, help="Write a small synthetic dataset in a raw layout.")

Out = Annotated[Path, typer.Argument(help="Folder to write, with datalist.json.")]


@app.command("acdc")
def _acdc(
    out: Out,
    patients: Annotated[int, typer.Option(min=2, max=999, help="Number of patients.")] = 8,
    seed: Seed = 0,
    size: Annotated[Literal["full", "small"], typer.Option(help="small is for quick trials.")] = "full",
    overwrite: Overwrite = False,
) -> None:
    """Write beating-heart phantoms that look like ACDC to every reader; each patient has ED and ES.

    Example: volseg phantom acdc data/acdc --patients 8
    """
    from pipeline.phantoms import acdc

    datalist = acdc.write(out, patients=patients, seed=seed, size=size, overwrite=overwrite)
    print(f"{patients} patients, {len(datalist['training'])} cases, with {out / 'datalist.json'}")


@app.command("covid19")
def _covid19(
    out: Out,
    layout: Annotated[
        Literal["covid-19-ct-seg", "mosmed", "covid-19-20", "medicalsegmentation", "covid-semiseg"],
        typer.Option(help="The public set whose files and folders are written."),
    ] = "covid-19-ct-seg",
    patients: Annotated[int, typer.Option(min=2, max=99, help="Number of patients.")] = 6,
    seed: Seed = 0,
    size: Annotated[
        Literal["full", "small", "ct"], typer.Option(help="small: quick trials; ct: one scan of 512x512x400.")
    ] = "full",
    overwrite: Overwrite = False,
) -> None:
    """Write chest phantoms in Hounsfield units, with lungs, vessels and infections, as a public COVID-19 set has them.

    Example: volseg phantom covid19 data/covid19 --layout covid-19-ct-seg --patients 8
    """
    from pipeline.phantoms import covid19

    covid19.write(out, layout=layout, patients=patients, seed=seed, size=size, overwrite=overwrite)
    print(f"Written: {out}, in the layout of {layout}")
