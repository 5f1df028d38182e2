"""Evaluations on a datalist's test list: of each fold's model, and of all folds' models together."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from pipeline.experiment.grid import FOLD, Grid, Run
from pipeline.experiment.state import card, write_card

ENSEMBLE = "experiments/overlays/ensemble.json"
TEST_CASES = "test_cases"
ON_TEST_LIST = " on the test list"

logger = logging.getLogger("pipeline")


def runs_on_test_list(grid: Grid, out: str | Path) -> tuple[Run, ...]:
    """Evaluations on the datalist's test list: of each run's weights, and of all folds' together.

    Empty unless the grid asks for an ensemble. Runs whose datalist is known to have no test cases with masks are left
    out (`note_test_cases`). Their level of the axis "fold" is "0 on the test list" and so on, and "ensemble".
    """
    if not grid.ensemble:
        return ()
    families: dict[tuple, list[Run]] = {}
    for run in grid.runs:
        if card(Path(out) / run.name).get(TEST_CASES) != 0:
            families.setdefault(tuple((a, v) for a, v in run.levels.items() if a != FOLD), []).append(run)
    found = []
    for family in families.values():
        for run in family:
            fold = f"{run.levels.get(FOLD, '0')}{ON_TEST_LIST}"
            found.append(_scored_on_test(run, [run], Path(out), name=f"test_{run.name}", fold=fold))
        if len(family) > 1:
            name = f"ensemble_{family[0].name}"
            found.append(_scored_on_test(family[0], family, Path(out), name=name, fold="ensemble"))
    return tuple(found)


def note_test_cases(run: Run, folder: Path) -> None:
    """Write into the run's card how many cases with masks the test list of its datalist has.

    Nothing is written where that cannot be told.
    """
    from monai.bundle import ConfigParser

    from pipeline.datalists import load_datalist

    try:
        parser = ConfigParser(ConfigParser.load_config_files(run.train_files))
        parser.update({**run.settings, "output_dir": str(folder)})
        listed = load_datalist(parser.get_parsed_content("datalist"))
        count = sum(bool(item.get("label")) for item in listed["testing"])
    except (Exception, SystemExit) as error:  # the evaluations themselves tell the reason, where it still matters
        logger.warning("%s: its test list could not be looked at: %s", run.name, error)
        return
    write_card(folder, run, **{TEST_CASES: count})


def _scored_on_test(run: Run, members: list[Run], out: Path, *, name: str, fold: str) -> Run:
    weights = "model.pt" if run.resolved().get("chosen_epoch") == "best" else "model_final.pt"
    paths = [str(out / member.name / "models" / weights) for member in members]
    return replace(
        run,
        name=name,
        levels={**run.levels, FOLD: fold},
        overlays=(*run.overlays, ENSEMBLE),
        evaluate={**run.evaluate, "members": paths},
        trains=False,
    )
