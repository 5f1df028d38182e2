"""The report of a grid of runs: one table of scores, tests against the baseline, learning curves, folds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.experiment.collection import Collection, Result, collect
from pipeline.experiment.statistics import Comparison
from pipeline.report.document import Bullets, Cell, Document, Figure, Section, Table, write_document
from pipeline.report.experiment_folds import folds_section
from pipeline.report.experiment_held_out import write_held_out
from pipeline.report.experiment_numbers import (
    DISTANCES,
    LOWER_IS_BETTER,
    Summary,
    contrasts,
    is_better,
    nothing_in_common,
    paired,
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
    metrics_by_setting,
    runs_section,
    volumes,
    warnings,
    words,
)
from pipeline.report.figures import Picture
from pipeline.report.paper_curves import draw_both, draw_curves
from pipeline.report.tables import Metric, structures_of

Groups = dict[Levels, list[Result]]
Known = dict[Levels, dict[str, Metric]]


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
    known = metrics_by_setting(groups)
    tables = [_scores(groups, known), _by_structure(groups)]
    sections = [Section("scores", "Scores", [*warnings(collection), *tables, consistency(collection.results)])]
    table, told = _tests(collection, groups, known)
    if told:
        blocks = [table, Bullets(told)] if table.rows else [Bullets(told)]
        sections.append(Section("real", "Are the differences real?", blocks))
    sections.append(Section("curves", "Learning curves", [_curves(groups)]))
    sections += [*folds_section(collection), runs_section(collection)]
    lead = "Means over the volumes of held-out patients, on the original grid."
    return Document(collection.grid.title, lead, sections)


def _scores(groups: Groups, known: Known) -> Table:
    rows = []
    summaries = {
        levels: {m: summarise(table_by_seed(results, volumes), m) for m in MEASURES}
        for levels, results in groups.items()
    }
    best = {measure: _best(summaries, known, measure) for measure in MEASURES}
    for levels, found in summaries.items():
        cells: list[Cell | str] = [words(levels)]
        for measure, summary in found.items():
            write = known[levels][measure].write
            seeds = "" if math.isnan(summary.seed_sd) else f"seeds ± {write(summary.seed_sd)}"
            bold = summary.mean == best[measure] and len(summaries) > 1
            small = "; ".join(filter(None, [seeds, summary.share]))
            cells.append(Cell(f"{write(summary.mean)} ± {write(summary.sd)}", small, bold))
        rows.append([*cells, str(found["dice"].units), str(found["dice"].seeds)])
    caption = (
        "Mean ± SD over volumes; beneath, the SD of the seeds' means, and how many volumes have the measure where some "
        "lack it (a missed structure has no distance). Bold: the best mean, whether or not by chance; none where "
        "settings differ in the number of volumes that have the measure, or in its unit."
    )
    return Table(caption, ["", *(m.name for m in _measures(known)), "volumes", "seeds"], rows)


def _best(summaries: Mapping[Levels, Mapping[str, Summary]], known: Known, measure: str) -> float:
    """The best mean; NaN where settings differ in the unit or in how many volumes have the measure."""
    numbers = {found[measure].defined for found in summaries.values()}
    if len(numbers) > 1 or len({metrics[measure] for metrics in known.values()}) > 1:
        return math.nan
    means = [found[measure].mean for found in summaries.values() if not math.isnan(found[measure].mean)]
    return (min if measure in LOWER_IS_BETTER else max)(means, default=math.nan)


def _measures(known: Known) -> list[Metric]:
    """The measures as a heading names them, which is the same for all settings."""
    first = next(iter(known.values()))
    return [first[measure] for measure in MEASURES]


def _by_structure(groups: Groups) -> Table:
    rows = []
    names = list(dict.fromkeys(name for results in groups.values() for name in structures_of(results[0].scores)))
    for levels, results in groups.items():
        cells: list[Cell] = []
        for name in names:
            tables = table_by_seed(results, lambda r, name=name: r.scores.cases[r.scores.cases["structure"] == name])
            found = summarise(tables, "dice")
            cells.append(Cell(str(found), found.share))
        rows.append([words(levels), *cells])
    caption = (
        "Dice of each structure, mean ± SD over volumes; beneath, how many have it, where some lack the structure."
    )
    return Table(caption, ["", *names], rows)


def _tests(collection: Collection, groups: Groups, known: Known) -> tuple[Table, list[str]]:
    rows: list[list[Cell | str]] = []
    told, few = [], []
    for levels, results in groups.items():
        reference = baseline_of(collection, levels)
        if reference == levels or reference not in groups:
            continue
        pair = words(levels), words(reference)
        there, here = (table_by_seed(runs, volumes) for runs in (groups[reference], results))
        if reason := nothing_in_common(there, here):
            told.append(f"{' against '.join(pair)}: {reason}, so nothing is compared.")
            continue
        scales = {m: scale for m, scale in known[levels].items() if m in MEASURES and scale == known[reference][m]}
        found = contrasts(there, here, list(scales))
        for measure, c in found.items():
            units = paired(there, here, measure)
            counted = len(units.dropna()) if measure in DISTANCES else len(units)
            rows.append([*pair, *_test(scales[measure], measure, c, defined=counted, total=len(units))])
        told.append(f"{' against '.join(pair)}: {sentence('Dice', 'dice', found['dice'])}")
        few.append(power(list(found.values())))
    caption = (
        "By patient; distances on the volumes in which both have one, and beneath how many these are where some are "
        "left out. p: two-sided Wilcoxon signed-rank test after Holm's correction for the measures. Effect: "
        "matched-pairs rank-biserial correlation. Bold: better beyond chance, in every seed."
    )
    head = ["", "against", "Measure", "patients", "there", "here", "p (Holm)", "effect", "differences by seed"]
    return Table(caption, head, rows), [*told, *filter(None, dict.fromkeys(few))]


def _test(scale: Metric, measure: str, c: Comparison, *, defined: int, total: int) -> list[Cell | str]:
    patients = Cell(str(c.n), f"{defined} of {total} volumes" if defined < total else "")
    numbers = [scale.write(c.first), Cell(scale.write(c.second), bold=c.real and is_better(c, measure))]
    seeds = ", ".join(f"{value * scale.scale:+.4f}" for value in (c.by_seed or {}).values())
    return [scale.name, patients, *numbers, write_p(c.adjusted), f"{c.effect:+.2f}" if c.n else "–", seeds or "–"]


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
