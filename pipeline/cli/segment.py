"""`volseg segment IMAGES OUT`: masks of new images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Overwrite, Trust, Weights, settings
from pipeline.errors import DataError


def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="Images, folders or datalists (NIfTI, .mha, .nrrd, DICOM, PNG, JPG, TIFF), then the output."
        ),
    ],
    bundle: Annotated[Path, typer.Option(help="Bundle: its folder, its zip, or an inference.json.")] = Path(
        "bundles/acdc"
    ),
    trust: Trust = False,
    weights: Weights = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU where there is one.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="PNG of each case with the structures outlined.")] = False,
    statistics: Annotated[bool, typer.Option("--statistics", help="JSON with millilitres of each structure.")] = False,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="A key of inference.json, e.g. --set mirror_axes=[0,1].")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Seconds for each step of a case; then it is given up. Default: 900 for reading alone."
        ),
    ] = None,
    max_memory: Annotated[
        float | None, typer.Option(help="Gigabytes that a case may claim in its header; default: what is free.")
    ] = None,
    ahead: Annotated[
        bool, typer.Option("--ahead/--no-ahead", help="Read and write other cases while one is computed.")
    ] = True,
    overwrite: Overwrite = False,
) -> None:
    """Segment images: masks on exactly their grids, a manifest, and what failed with its reason.

    A 4D cine is segmented frame by frame. Masks that exist are kept, so that a second run does what is missing.
    Exit code: 0 all done, 1 a case failed (the others are done), 2 bad request, 130 after Ctrl-C, 143 after SIGTERM.

    Examples: volseg segment heart.nii.gz out/ --preview --statistics;
    volseg segment scans/ out/ --weights runs/acdc/models/model.pt;
    torchrun --nproc_per_node 2 -m pipeline segment scans/ out/
    """
    from pipeline import segmentation
    from pipeline.allocation import keep_freed_memory
    from pipeline.packaging.trust import trusted_bundle

    if len(inputs) < 2:
        raise typer.BadParameter("name at least one input and the output folder")
    keep_freed_memory()
    try:
        with trusted_bundle(bundle, trust=trust) as found:
            summary = segmentation.segment(
                inputs[:-1],
                inputs[-1],
                bundle=found,
                weights=weights,
                device=device,
                preview=preview,
                statistics=statistics,
                timeout=timeout,
                max_memory=max_memory,
                ahead=ahead,
                overrides=settings(option),
                overwrite=overwrite,
            )
    except KeyboardInterrupt as error:
        raise typer.Exit(segmentation.exit_code(error)) from None
    except DataError:
        segmentation.let_the_first_speak()
        raise
    raise typer.Exit(summary.exit_code)
