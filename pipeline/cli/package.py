"""`volseg package BUNDLE` and `volseg verify FOLDER`: bundles for other programs, and their checks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Overwrite, Trust, Weights, settings


def package(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, e.g. bundles/acdc.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of packed bundles.")] = Path("dist"),
    weights: Weights = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", help="A key that the weights were trained with, e.g. --set target=both."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What it is called, e.g. of weights of your own.")] = None,
    make_zip: Annotated[bool, typer.Option("--zip", help="Also one archive.")] = False,
    torchscript: Annotated[bool, typer.Option("--torchscript", help="Also models/model.ts.")] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Also models/model.onnx (needs onnx and onnxruntime).")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Pack a bundle for MONAI Label, MONAI Deploy, monai.bundle.load and other machines: nothing else is needed there.

    Example: volseg package bundles/acdc -o dist --zip
    """
    from pipeline import packaging

    packed = packaging.package(
        bundle,
        output,
        weights=weights,
        overrides=settings(option),
        name=name,
        make_zip=make_zip,
        torchscript=torchscript,
        onnx=onnx,
        overwrite=overwrite,
    )
    for comparison in packed.exports.values():
        print(comparison)
    print(f"Packed: {packed.folder} (its Python: {packed.module})")
    if packed.zip is not None:
        print(f"Archive: {packed.zip}")


def verify(
    folder: Annotated[Path, typer.Argument(help="Packed bundle: a folder or a zip.")],
    trust: Trust = False,
) -> None:
    """Check a packed bundle as the Model Zoo's tests do, on a CPU: files, keys, metadata, network, masks.

    Example: volseg verify dist/acdc_segmentation
    """
    from pipeline import packaging

    findings = packaging.verify(folder, trust=trust)
    for finding in findings:
        print(finding)
    failed = sum(not finding.passed for finding in findings)
    print(
        f"{folder}: {f'{failed} of {len(findings)} checks failed' if failed else f'all {len(findings)} checks passed'}"
    )
    raise typer.Exit(1 if failed else 0)
