"""`volseg experiment paper` and `volseg experiment GRID.json`: many trainings, one report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from pipeline.cli.options import settings

MANY = ("--datasets", "--alphas", "--seeds", "--folds", "--data", "--set")
DATASETS = "paper: acdc, covid19 (infection), lungs; default acdc covid19."


class ManyValues(TyperCommand):
    """A command some of whose options take several words: --seeds 0 1 2."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Hand the option over once for each word."""
        words: list[str] = []
        option = ""
        for word in args:
            if word.startswith("-"):
                option = word if word in MANY else ""
                words += [] if option else [word]
            else:
                words += [option, word] if option else [word]
        return super().parse_args(ctx, words)


def experiment(
    grid: Annotated[str, typer.Argument(help="paper, or a grid file such as experiments/alpha.json.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder; default runs/NAME.")] = None,
    datasets: Annotated[list[str] | None, typer.Option(help=DATASETS)] = None,
    alphas: Annotated[list[float] | None, typer.Option(help="paper: weights of the Dice term; default 0 1.")] = None,
    seeds: Annotated[list[int] | None, typer.Option(help="paper: default 0 1 2, with --quick 0.")] = None,
    folds: Annotated[list[int] | None, typer.Option(help="paper: folds that are held out; default 0.")] = None,
    data: Annotated[list[str] | None, typer.Option(help="paper: folders, acdc=path/to/acdc covid19=path.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", help="paper: keys of every run's configuration, width=16 epochs=30.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="paper: small and short; phantoms where there is no data.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="Runs at the same time.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the runs and their state.")] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Only the report of what is finished.")] = False,
) -> None:
    """Train and score a grid of runs, one after the other, and write one report.

    What is finished is not run again; what was stopped goes on where it was; what fails is named, and the rest is done
    (exit code 1). Options marked paper are of the paper's experiment alone; a grid file has its own settings.

    Examples: volseg experiment paper --quick;
    volseg experiment paper --datasets acdc --seeds 0 1 --data acdc=path/to/acdc --set width=16 epochs=30;
    volseg experiment experiments/alpha.json --processes 2
    """
    from pipeline import experiment as experiments
    from pipeline.experiment import paper

    given = {"datasets": datasets, "alphas": alphas, "seeds": seeds, "folds": folds}
    phantoms: dict[str, str] = {}
    if grid == "paper":
        wanted, phantoms = _paper(given, _pairs(data or []), output, option, quick=quick)
    else:
        _refuse(grid, given | {"data": data, "set": option, "quick": quick})
        wanted = experiments.load_grid(grid)
    out = output or Path("runs") / wanted.name
    if dry_run:
        _list(wanted, out)
        return
    outcomes = []
    if not report_only:
        for name, folder in phantoms.items():
            paper.write_phantoms(name, folder)
        outcomes = experiments.run_grid(wanted, out, processes=processes)
    _conclude(out, outcomes)


def _paper(
    given: dict[str, Any], data: dict[str, str], output: Path | None, option: list[str] | None, *, quick: bool
) -> tuple[Any, dict[str, str]]:
    """The grid, and the data sets for which phantoms have to be written, with their folders."""
    from pipeline.experiment import paper

    levels = {name: value for name, value in given.items() if value}
    levels.setdefault("datasets", ["acdc", "covid19"])
    phantoms: dict[str, str] = {}
    if quick:
        levels.setdefault("seeds", [0])
        home = (output or Path("runs/paper_quick")) / "phantoms"
        phantoms = {name: str(home / name) for name in paper.missing_data(levels["datasets"], data)}
    options = {"data": data | phantoms, "phantoms": phantoms, "quick": quick, "settings": settings(option)}
    return paper.paper_grid(**levels, **options), phantoms


def _refuse(grid: str, given: dict[str, Any]) -> None:
    """Options of the paper's experiment, given with a grid file, would change nothing."""
    words = [f"--{name}" for name, value in given.items() if value]
    if words:
        raise typer.BadParameter(f"only for the paper's experiment: {', '.join(words)}; write the settings into {grid}")


def _list(grid: Any, out: Path) -> None:
    from pipeline.errors import DataError
    from pipeline.experiment.commands import check_settings
    from pipeline.experiment.state import state_of

    if problems := check_settings(grid.runs):
        raise DataError(problems)

    for run in grid.runs:
        print(f"{run.name}: {state_of(out / run.name)}")
    print(f"{len(grid.runs)} runs, to be written to {out}")


def _conclude(out: Path, outcomes: list[Any]) -> None:
    from pipeline.report.experiment import write_experiment_report

    failed = [outcome for outcome in outcomes if outcome.state != "finished"]
    for outcome in failed:
        print(f"{outcome.run.name}: {outcome.state}" + (f": {outcome.error}" if outcome.error else ""))
    if outcomes and len(failed) == len(outcomes):
        print("No run is finished, so there is no report.")
    else:
        print(f"Report: {write_experiment_report(out)}")
    raise typer.Exit(1 if failed else 0)


def _pairs(words: list[str]) -> dict[str, str]:
    wrong = [word for word in words if "=" not in word]
    if wrong:
        raise typer.BadParameter(f"--data takes NAME=FOLDER, found {wrong[0]}")
    return {name: folder for name, _, folder in (word.partition("=") for word in words)}
