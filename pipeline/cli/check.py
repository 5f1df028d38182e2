"""`volseg check DATALIST|FOLDER`: every file looked at before anything is computed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.options import Labels, Overwrite


def check(
    target: Annotated[
        Path, typer.Argument(help="Datalist, or a folder of images (of its datalist.json if it has one).")
    ],
    level: Annotated[
        Literal["fast", "full"], typer.Option(help="full: every voxel of every file; fast: headers and file lengths.")
    ] = "full",
    dataset_dir: Annotated[
        Path | None, typer.Option(help="What the list's paths are relative to; else the list's own folder.")
    ] = None,
    section: Annotated[str | None, typer.Option(help="Only this section of the list: training or testing.")] = None,
    labels: Labels = None,
    json: Annotated[Path | None, typer.Option("--json", help="Also write all findings into this file.")] = None,
    quarantine: Annotated[
        Path | None, typer.Option("--quarantine", help="Write a datalist without the cases that have problems.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Files read at the same time (full); default: the cores, at most 8.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Look for damaged files, wrong grids, wrong labels, duplicates and leaks; all of them in one table.

    Nothing is changed. Exit code 0 without problems (warnings are none), 2 with problems.

    Example: volseg check data/acdc/datalist.json --json check.json --quarantine data/acdc/good.json
    """
    from pipeline import preflight
    from pipeline.files import refuse_existing
    from pipeline.preflight.table import print_result

    if not overwrite:
        refuse_existing(path for path in (json, quarantine) if path is not None)
    result = preflight.check(
        target,
        level=level,
        dataset_dir=dataset_dir,
        section=section,
        labels=labels,
        processes=processes or min(os.cpu_count() or 1, 8),
    )
    print_result(result)
    if json is not None:
        print(f"Written: {preflight.write_json(result, json, overwrite=overwrite)}")
    if quarantine is not None:
        written = preflight.quarantine(result, quarantine, overwrite=overwrite)
        print(f"Written: {written}, without {len(result.broken)} of {result.cases} cases")
    if result.problems:
        raise typer.Exit(2)
