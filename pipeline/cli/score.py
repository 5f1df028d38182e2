"""`volseg score MASKS TRUTH`: scores and their report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.options import Labels, Overwrite


def score(
    pred: Annotated[Path, typer.Argument(help="Folder of predicted masks, ours or another tool's.")],
    truth: Annotated[Path, typer.Argument(help="Folder of true masks, or a datalist (then also --dataset-dir).")],
    out: Annotated[Path, typer.Option("-o", "--output", help="Folder for scores.csv, scores.json, report.html.")],
    dataset_dir: Annotated[Path | None, typer.Option(help="What a datalist's paths are relative to.")] = None,
    section: Annotated[str, typer.Option(help="Section of the datalist: training or testing.")] = "training",
    fold: Annotated[int | None, typer.Option(help="Only this fold of the datalist.")] = None,
    labels: Labels = None,
    lesions: Annotated[
        str | None,
        typer.Option(help="Structures to score lesion by lesion, with the organ that holds them: infection=lungs."),
    ] = None,
    missing: Annotated[Literal["zero", "skip"], typer.Option(help="What a missing prediction counts for.")] = "zero",
    processes: Annotated[int, typer.Option(min=1, help="Cases scored at the same time.")] = 1,
    check_grid: Annotated[bool, typer.Option(help="Refuse masks that lie on another grid than the truth.")] = True,
    acdc_csv: Annotated[bool, typer.Option("--acdc-csv", help="Also the ACDC challenge's own CSV form.")] = False,
    report: Annotated[bool, typer.Option(help="Also draw the report.")] = True,
    overwrite: Overwrite = False,
) -> None:
    """Score masks on the original grid: Dice, IoU, pixel error, HD, HD95 in mm, volumes, ejection fraction.

    Example: volseg score out/ data/acdc/datalist.json --dataset-dir data/acdc --fold 0 -o scores/
    """
    from pipeline.metrics import parse_lesions, score_folders

    scores = score_folders(
        pred,
        truth,
        out,
        dataset_dir=dataset_dir,
        section=section,
        fold=fold,
        labels=labels,
        lesions=parse_lesions(lesions) if lesions else None,
        check_organs=True,
        missing=missing,
        processes=processes,
        check_grid=check_grid,
        acdc_csv=acdc_csv,
        overwrite=overwrite,
    )
    if acdc_csv:
        print(f"ACDC's form: {out / 'acdc.csv'}")
    if report:
        from pipeline.report import markdown_table, write_report

        print(markdown_table(scores))
        print(f"Report: {write_report(out, overwrite=overwrite)}")
    else:
        print(f"Scores: {out / 'scores.csv'}")
