"""The report of a grid of runs: one table of scores, tests against the baseline, learning curves, folds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.experiment.collection import Collection, Result, collect
from pipeline.report.document import Bullets, Cell, Document, Figure, Section, Table, write_document
from pipeline.report.experiment_folds import folds_section
from pipeline.report.experiment_held_out import write_held_out
from pipeline.report.experiment_numbers import (
    LOWER_IS_BETTER,
    contrasts,
    is_better,
    power,
    sentence,
    summarise,
    table_by_seed,
    write_p,
)
from pipeline.report.experiment_sections import (
    MEASURES,
    Levels,
    by_setting,
    consistency,
    runs_section,
    volumes,
    warnings,
    words,
)
from pipeline.report.figures import Picture
from pipeline.report.paper_curves import draw_both, draw_curves
from pipeline.report.tables import Metric, metrics_of, structures_of

Groups = dict[Levels, list[Result]]


def write_experiment_report(folder: str | Path) -> Path:
    """Read a grid's results and write report.html, report.md and figures/ beside them; an older report is replaced.

    With several folds, also `held_out`: an evaluation report of all held-out patients together.

    Returns:
        The page.

    Raises:
        DataError: the folder holds no grid, or none of its runs is finished.
    """
    collection = collect(folder)
    write_held_out(collection, folder)
    if collection.grid.kind == "paper":
        from pipeline.report.paper import paper_document

        return write_document(paper_document(collection), folder)
    return write_document(grid_document(collection), folder)


def grid_document(collection: Collection) -> Document:
    """The general report: every combination of levels other than seed and fold is one row."""
    groups = by_setting(collection.results)
    any_scores = collection.results[0].scores
    known = metrics_of(any_scores)  # distances in mm, or in pixels where there are no millimetres
    tables = [_scores(groups, known), _by_structure(groups, structures_of(any_scores))]
    sections = [Section("scores", "Scores", [*warnings(collection), *tables, consistency(collection.results)])]
    table, told = _tests(collection, groups, known)
    if told:
        sections.append(Section("real", "Are the differences real?", [table, Bullets(told)]))
    sections.append(Section("curves", "Learning curves", [_curves(groups)]))
    sections += [*folds_section(collection), runs_section(collection)]
    lead = "Means over the volumes of held-out patients, on the original grid."
    return Document(collection.grid.title, lead, sections)


def _scores(groups: Groups, known: dict[str, Metric]) -> Table:
    rows, best = [], {}
    summaries = {
        levels: {m: summarise(table_by_seed(results, volumes), m) for m in MEASURES}
        for levels, results in groups.items()
    }
    for measure in MEASURES:
        means = [found[measure].mean for found in summaries.values() if not math.isnan(found[measure].mean)]
        best[measure] = (min if measure in LOWER_IS_BETTER else max)(means, default=math.nan)
    for levels, found in summaries.items():
        cells: list[Cell | str] = [words(levels)]
        for measure, summary in found.items():
            write = known[measure].write
            small = "" if math.isnan(summary.seed_sd) else f"seeds ± {write(summary.seed_sd)}"
            bold = summary.mean == best[measure] and len(summaries) > 1
            cells.append(Cell(f"{write(summary.mean)} ± {write(summary.sd)}", small, bold))
        rows.append([*cells, str(found["dice"].units), str(found["dice"].seeds)])
    caption = (
        "Mean ± SD over volumes; beneath, the SD of the seeds' means. Bold: the best mean, whether or not by chance."
    )
    return Table(caption, ["", *(known[m].name for m in MEASURES), "volumes", "seeds"], rows)


def _by_structure(groups: Groups, names: Sequence[str]) -> Table:
    rows = []
    for levels, results in groups.items():
        cells: list[str] = []
        for name in names:
            tables = table_by_seed(results, lambda r, name=name: r.scores.cases[r.scores.cases["structure"] == name])
            cells.append(str(summarise(tables, "dice")))
        rows.append([words(levels), *cells])
    return Table("Dice of each structure, mean ± SD over volumes.", ["", *names], rows)


def _tests(collection: Collection, groups: Groups, known: dict[str, Metric]) -> tuple[Table, list[str]]:
    rows: list[list[Cell | str]] = []
    told, few = [], []
    for levels, results in groups.items():
        reference = baseline_of(collection, levels)
        if reference == levels or reference not in groups:
            continue
        pair = words(levels), words(reference)
        found = contrasts(*(table_by_seed(runs, volumes) for runs in (groups[reference], results)), MEASURES)
        for measure, c in found.items():
            scale = known[measure]
            numbers = [scale.write(c.first), Cell(scale.write(c.second), bold=c.real and is_better(c, measure))]
            seeds = ", ".join(f"{value * scale.scale:+.4f}" for value in (c.by_seed or {}).values())
            rows.append([*pair, scale.name, str(c.n), *numbers, write_p(c.adjusted), f"{c.effect:+.2f}", seeds])
        told.append(f"{' against '.join(pair)}: {sentence('Dice', 'dice', found['dice'])}")
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


def _curves(groups: Groups) -> Figure:
    runs = {words(levels): results for levels, results in groups.items()}

    def draw(axes: np.ndarray) -> None:
        draw_curves(axes[0, 0], runs, "loss", "Training loss (not comparable between losses)")
        draw_curves(axes[0, 1], runs, "val_dice", "Validation Dice (mean over volumes)")

    png, svg = draw_both(draw, size=(11, 4), columns=2)
    caption = "Mean over seeds and folds; the band reaches from the least to the largest."
    alt = "Two line charts over the epochs: training loss and validation Dice, a line for each setting."
    return Figure(Picture("curves", png, alt, caption), svg)
