"""The report of a grid of runs: one table of scores, tests against the baseline, learning curves, folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.experiment.collection import Collection, Result, collect
from pipeline.experiment.grid import FOLD, SEED
from pipeline.report.experiment_document import Bullets, Cell, Document, Figure, Section, Table, write_document
from pipeline.report.experiment_folds import folds_section
from pipeline.report.experiment_numbers import contrasts, is_better, power, sentence, summarise, table_by_seed, write_p
from pipeline.report.experiment_sections import (
    Levels,
    consistency,
    runs_section,
    volumes,
    warnings,
    words,
)
from pipeline.report.figures import Picture
from pipeline.report.tables import Metric, metrics_of, structures_of

MEASURES = ("dice", "iou", "pixel_error", "hd95_mm")


def write_experiment_report(folder: str | Path) -> Path:
    """Read a grid's results and write report.html, report.md and figures/ beside them; an older report is replaced.

    Returns:
        The page.

    Raises:
        DataError: the folder holds no grid, or none of its runs is finished.
    """
    collection = collect(folder)
    if collection.grid.kind == "paper":
        from pipeline.report.paper import paper_document

        return write_document(paper_document(collection), folder)
    return write_document(grid_document(collection), folder)


def grid_document(collection: Collection) -> Document:
    """The general report: every combination of levels other than seed and fold is one row."""
    groups = group(collection)
    scores = [*warnings(collection), _scores(groups), _by_structure(groups), consistency(collection.results)]
    sections = [Section("scores", "Scores", scores)]
    table, told = _tests(collection, groups)
    if told:
        sections.append(Section("real", "Are the differences real?", [table, Bullets(told)]))
    sections.append(Section("curves", "Learning curves", [_curves(groups)]))
    sections += folds_section(collection)
    sections.append(runs_section(collection))
    lead = "Means over the volumes of held-out patients, on the original grid."
    return Document(collection.grid.title, lead, sections)


def group(collection: Collection) -> dict[Levels, list[Result]]:
    """The finished runs by their levels, seed and fold aside, in the grid's order."""
    found: dict[Levels, list[Result]] = {}
    for result in collection.results:
        levels = tuple((axis, level) for axis, level in result.run.levels.items() if axis not in (SEED, FOLD))
        found.setdefault(levels, []).append(result)
    return found


def metrics(groups: dict[Levels, list[Result]]) -> dict[str, Metric]:
    """How the measures are written: distances in mm, or in pixels where there are no millimetres."""
    return metrics_of(next(iter(groups.values()))[0].scores)


def _scores(groups: dict[Levels, list[Result]]) -> Table:
    known = metrics(groups)
    rows, best = [], {}
    summaries = {
        levels: {m: summarise(table_by_seed(results, volumes), m) for m in MEASURES}
        for levels, results in groups.items()
    }
    for measure in MEASURES:
        means = [found[measure].mean for found in summaries.values() if not math.isnan(found[measure].mean)]
        best[measure] = (max if measure in ("dice", "iou") else min)(means, default=math.nan)
    for levels, found in summaries.items():
        cells: list[Cell | str] = [words(levels)]
        for measure, summary in found.items():
            small = "" if math.isnan(summary.seed_sd) else f"seeds ± {known[measure].write(summary.seed_sd)}"
            text = f"{known[measure].write(summary.mean)} ± {known[measure].write(summary.sd)}"
            cells.append(Cell(text, small, bold=summary.mean == best[measure] and len(summaries) > 1))
        rows.append([*cells, str(found["dice"].units), str(found["dice"].seeds)])
    caption = (
        "Mean ± SD over volumes; beneath, the SD of the seeds' means. Bold: the best mean, whether or not by chance."
    )
    return Table(caption, ["", *(known[m].name for m in MEASURES), "volumes", "seeds"], rows)


def _by_structure(groups: dict[Levels, list[Result]]) -> Table:
    first = next(iter(groups.values()))[0]
    names = structures_of(first.scores)
    rows = []
    for levels, results in groups.items():
        cells: list[str] = []
        for name in names:
            tables = table_by_seed(results, lambda r, name=name: r.scores.cases[r.scores.cases["structure"] == name])
            cells.append(str(summarise(tables, "dice")))
        rows.append([words(levels), *cells])
    return Table("Dice of each structure, mean ± SD over volumes.", ["", *names], rows)


def _tests(collection: Collection, groups: dict[Levels, list[Result]]) -> tuple[Table, list[str]]:
    rows: list[list[Cell | str]] = []
    told, few = [], []
    known = metrics(groups)
    for levels, results in groups.items():
        reference = baseline_of(collection, levels)
        if reference == levels or reference not in groups:
            continue
        pair = [table_by_seed(runs, volumes) for runs in (groups[reference], results)]
        found = contrasts(*pair, list(MEASURES))
        for measure, c in found.items():
            scale = known[measure]
            numbers = [scale.write(c.first), Cell(scale.write(c.second), bold=c.real and is_better(c, measure))]
            seeds = ", ".join(f"{value * scale.scale:+.4f}" for value in (c.by_seed or {}).values())
            name = scale.name
            rows.append(
                [
                    words(levels),
                    words(reference),
                    name,
                    str(c.n),
                    *numbers,
                    write_p(c.adjusted),
                    f"{c.effect:+.2f}",
                    seeds,
                ]
            )
            if measure == "dice":
                told.append(f"{words(levels)} against {words(reference)}: {sentence('Dice', measure, c)}")
        few.append(power(list(found.values())))
    caption = (
        "By patient. p: two-sided Wilcoxon signed-rank test after Holm's correction for the four measures. Effect: "
        "matched-pairs rank-biserial correlation. Bold: better beyond chance, in every seed."
    )
    head = ["", "against", "Measure", "patients", "there", "here", "p (Holm)", "effect", "differences by seed"]
    return Table(caption, head, rows), [*told, *filter(None, dict.fromkeys(few))]


def baseline_of(collection: Collection, levels: Levels) -> Levels:
    """The group that a group is compared with: the grid's baseline levels, or the first level of its last axis."""
    axes = [axis for axis, _ in levels]
    base = {axis: level for axis, level in collection.grid.baseline.items() if axis in axes}
    if not base and axes:
        base = {axes[-1]: collection.grid.runs[0].levels[axes[-1]]}
    return tuple((axis, base.get(axis, level)) for axis, level in levels)


def _curves(groups: dict[Levels, Sequence[Result]]) -> Figure:
    from pipeline.report.paper_curves import draw_both, draw_curves

    runs = {words(levels): results for levels, results in groups.items()}

    def draw(axes: np.ndarray) -> None:
        draw_curves(axes[0, 0], runs, "loss", "Training loss (not comparable between losses)")
        draw_curves(axes[0, 1], runs, "val_dice", "Validation Dice (mean over volumes)")

    png, svg = draw_both(draw, size=(11, 4), columns=2)
    caption = "Mean over seeds and folds; the band reaches from the least to the largest."
    alt = "Two line charts over the epochs: training loss and validation Dice, a line for each setting."
    return Figure(Picture("curves", png, alt, caption, wide=True), svg)
