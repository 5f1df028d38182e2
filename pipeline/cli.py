"""`volseg VERB`: each verb reads its arguments, calls one function and prints what came of it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pipeline import __version__

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
datalist_app = typer.Typer(no_args_is_help=True, help="Build the list of cases, with folds, from a raw data folder.")
phantom_app = typer.Typer(no_args_is_help=True, help="Write a small synthetic dataset in a raw layout.")
app.add_typer(datalist_app, name="datalist")
app.add_typer(phantom_app, name="phantom")

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is already there.")]


class Split(StrEnum):
    """How patients are divided."""

    KFOLD = "kfold"
    OFFICIAL = "official"
    NNUNET = "nnunet"
    HOLDOUT = "70-10-20"


class Missing(StrEnum):
    """What a case without a prediction counts for."""

    ZERO = "zero"
    SKIP = "skip"


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        print(f"volseg {__version__}")
        raise typer.Exit


@datalist_app.command("acdc")
def _datalist_acdc(
    root: Annotated[Path, typer.Argument(help="ACDC's folder: holds training/ and/or testing/, or is one of them.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="JSON file to write; else only a summary.")
    ] = None,
    split: Annotated[Split, typer.Option(help="Always by patient; kfold is stratified by pathology.")] = Split.KFOLD,
    folds: Annotated[int, typer.Option(min=2, help="Number of folds.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the shuffle.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """List ACDC's patients (cine MRI: RV, MYO, LV).

    Example: volseg datalist acdc data/acdc -o data/acdc/datalist.json
    """
    from pipeline.datalists import acdc, save_datalist

    datalist = acdc.build(root, split=split.value, folds=folds, seed=seed)
    print(acdc.summary(datalist))
    if output is None:
        print("Nothing written: name a file with -o.")
    else:
        print(f"Written: {save_datalist(datalist, output, overwrite=overwrite)}")


@phantom_app.command("acdc")
def _phantom_acdc(
    out: Annotated[Path, typer.Argument(help="Folder to write, in ACDC's layout, with datalist.json.")],
    patients: Annotated[int, typer.Option(min=1, help="Number of patients, each with ED and ES.")] = 8,
    seed: Annotated[int, typer.Option(help="Equal seeds write equal files.")] = 0,
    size: Annotated[str, typer.Option(help="full, or small for quick trials.")] = "full",
    overwrite: Overwrite = False,
) -> None:
    """Write beating-heart phantoms that look like ACDC to every reader.

    Example: volseg phantom acdc data/acdc --patients 8
    """
    from pipeline.phantoms import acdc

    datalist = acdc.write(out, patients=patients, seed=seed, size=size, overwrite=overwrite)
    print(f"{patients} patients, {len(datalist['training'])} cases, with {out / 'datalist.json'}")


@app.command("segment")
def _segment(
    inputs: Annotated[
        list[Path], typer.Argument(help="Images or folders (NIfTI, .mha, .nrrd, DICOM), then the output folder.")
    ],
    bundle: Annotated[Path, typer.Option(help="Bundle folder.")] = Path("bundles/acdc"),
    weights: Annotated[Path | None, typer.Option(help="Weights other than the bundle's models/model.pt.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU where there is one.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="PNG of each case with the structures outlined.")] = False,
    statistics: Annotated[bool, typer.Option("--statistics", help="JSON with millilitres of each structure.")] = False,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="A key of inference.json, e.g. --set mirror_axes=[0,1].")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Segment images: masks on exactly their grids, a manifest, and what failed with its reason.

    A 4D cine is segmented frame by frame. Masks that exist are kept, so that a second run does what is missing.

    Examples: volseg segment heart.nii.gz out/ --preview --statistics;
    volseg segment scans/ out/ --weights runs/acdc/models/model.pt
    """
    from pipeline.segmentation import segment

    if len(inputs) < 2:
        raise typer.BadParameter("name at least one input and the output folder")
    summary = segment(
        inputs[:-1],
        inputs[-1],
        bundle=bundle,
        weights=weights,
        device=device,
        preview=preview,
        statistics=statistics,
        overrides=dict(map(_setting, option or [])),
        overwrite=overwrite,
    )
    raise typer.Exit(summary.exit_code)


@app.command("score")
def _score(
    pred: Annotated[Path, typer.Argument(help="Folder of predicted masks, ours or another tool's.")],
    truth: Annotated[Path, typer.Argument(help="Folder of true masks, or a datalist (then also --dataset-dir).")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for scores.csv, scores.json, report.html.")],
    dataset_dir: Annotated[Path | None, typer.Option(help="What a datalist's paths are relative to.")] = None,
    section: Annotated[str, typer.Option(help="Section of the datalist: training or testing.")] = "training",
    fold: Annotated[int | None, typer.Option(help="Only this fold of the datalist.")] = None,
    labels: Annotated[str | None, typer.Option(help="Names of the label numbers, e.g. 1=RV,2=MYO,3=LV.")] = None,
    missing: Annotated[Missing, typer.Option(help="What a missing prediction counts for.")] = Missing.ZERO,
    processes: Annotated[int, typer.Option(min=1, help="Cases scored at the same time.")] = 1,
    check_grid: Annotated[bool, typer.Option(help="Refuse masks that lie on another grid than the truth.")] = True,
    acdc_csv: Annotated[bool, typer.Option("--acdc-csv", help="Also the ACDC challenge's own CSV form.")] = False,
    report: Annotated[bool, typer.Option(help="Also draw the report.")] = True,
    overwrite: Overwrite = False,
) -> None:
    """Score masks on the original grid: Dice, IoU, pixel error, HD, HD95 in mm, volumes, ejection fraction.

    Example: volseg score out/ data/acdc/datalist.json --dataset-dir data/acdc --fold 0 -o scores/
    """
    from pipeline.metrics import parse_labels, score_folders, write_acdc_csv

    scores = score_folders(
        pred,
        truth,
        out,
        dataset_dir=dataset_dir,
        section=section,
        fold=fold,
        labels=parse_labels(labels) if labels else None,
        missing=missing.value,
        processes=processes,
        check_grid=check_grid,
        overwrite=overwrite,
    )
    if acdc_csv:
        print(f"ACDC's form: {write_acdc_csv(scores.cases, out / 'acdc.csv', overwrite=overwrite)}")
    if report:
        from pipeline.report import markdown_table, write_report

        print(markdown_table(scores))
        print(f"Report: {write_report(out, overwrite=overwrite)}")
    else:
        print(f"Scores: {out / 'scores.csv'}")


def _setting(text: str) -> tuple[str, object]:
    """`key=value`, the value as JSON where it is JSON."""
    import json

    key, found, value = text.partition("=")
    if not found:
        raise typer.BadParameter(f"--set {text}: write key=value")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
