"""`volseg datalist LAYOUT ROOT`: raw folders become lists of cases with folds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.cli.options import Folds, Labels, Output, Overwrite, Patient, Seed, Separator

app = typer.Typer(no_args_is_help=True, help="Build the list of cases, with folds, from a raw data folder.")


@app.command("acdc")
def _acdc(
    root: Annotated[Path, typer.Argument(help="ACDC's folder: holds training/ and/or testing/, or is one of them.")],
    output: Output = None,
    split: Annotated[
        Literal["kfold", "official", "nnunet", "70-10-20"],
        typer.Option(help="Always by patient; kfold is stratified by pathology."),
    ] = "kfold",
    folds: Folds = 5,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """List ACDC's patients (cine MRI: RV, MYO, LV).

    Example: volseg datalist acdc data/acdc -o data/acdc/datalist.json
    """
    from pipeline.datalists import acdc

    _finish(acdc, acdc.build(root, split=split, folds=folds, seed=seed), output, overwrite)


@app.command("covid19")
def _covid19(
    root: Annotated[Path, typer.Argument(help="Folder of one or several public COVID-19 CT sets, as unpacked.")],
    output: Output = None,
    target: Annotated[
        Literal["infection", "lungs", "both"], typer.Option(help="What the masks must tell.")
    ] = "infection",
    split: Annotated[
        Literal["kfold", "benchmark-4-16", "miscnn-16-4"],
        typer.Option(help="kfold, or a published protocol of the 20-case benchmark."),
    ] = "kfold",
    folds: Folds = 5,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """List COVID-19 CT: lungs and infection.

    Reads COVID-19-CT-Seg, MosMedData, COVID-19-20, medicalsegmentation.com and COVID-SemiSeg. The layout is recognised
    by itself; folds are by patient, and slices that look alike stay together.

    Example: volseg datalist covid19 data/covid19 --target both -o data/covid19/datalist.json
    """
    from pipeline.datalists import covid19

    datalist = covid19.build(root, target=target, split=split, folds=folds, seed=seed)
    _finish(covid19, datalist, output, overwrite)


@app.command("decathlon")
def _decathlon(
    root: Annotated[Path, typer.Argument(help="Folder with dataset.json: Decathlon's or nnU-Net's raw layout.")],
    output: Output = None,
    labels: Labels = None,
    patient: Patient = None,
    separator: Separator = None,
    folds: Folds = 5,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """List a Medical Segmentation Decathlon task, or a dataset in nnU-Net's raw layout.

    Example: volseg datalist decathlon Task09_Spleen -o Task09_Spleen/datalist.json
    """
    from pipeline.datalists import decathlon

    options = {"labels": labels, "patient": patient, "separator": separator}
    _finish(decathlon, decathlon.build(root, folds=folds, seed=seed, **options), output, overwrite)


@app.command("pairs")
def _pairs(
    images: Annotated[Path, typer.Argument(help="Folder of images: 2D pictures or 3D volumes.")],
    masks: Annotated[Path, typer.Argument(help="Folder of their masks; may be the same.")],
    output: Output = None,
    labels: Labels = None,
    match: Annotated[str | None, typer.Option(help="Regular expression of what an image and its mask share.")] = None,
    patient: Patient = None,
    separator: Separator = None,
    folds: Folds = 5,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """List images and masks that are matched by name: x.jpg with x_mask.png, x_0000.nii.gz with x.nii.gz, and so on.

    Paths are relative to the folder above both.

    Example: volseg datalist pairs mine/images mine/masks --separator _ -o mine/datalist.json
    """
    from pipeline.datalists import pairs

    options = {"labels": labels, "match": match, "patient": patient, "separator": separator}
    _finish(pairs, pairs.build(images, masks, folds=folds, seed=seed, **options), output, overwrite)


@app.command("chaos")
def _chaos(
    root: Annotated[Path, typer.Argument(help="CHAOS's folder: holds Train_Sets and/or Test_Sets.")],
    output: Output = None,
    modality: Annotated[
        Literal["ct", "t1in", "t1out", "t1dual", "t2"],
        typer.Option(help="CT (liver) or one of the MR series (liver, kidneys, spleen)."),
    ] = "ct",
    folds: Folds = 5,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """List the CHAOS challenge (abdominal CT and MR: DICOM series with PNG masks).

    Example: volseg datalist chaos CHAOS --modality t2 -o CHAOS/datalist.json
    """
    from pipeline.datalists import chaos

    _finish(chaos, chaos.build(root, modality=modality, folds=folds, seed=seed), output, overwrite)


def _finish(layout: Any, datalist: dict[str, Any], output: Path | None, overwrite: bool) -> None:
    from pipeline.datalists import save_datalist

    print(layout.summary(datalist))
    if output is None:
        print("Nothing written: name a file with -o.")
    else:
        print(f"Written: {save_datalist(datalist, output, overwrite=overwrite)}")
