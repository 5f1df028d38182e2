"""Tables of the paper's experiment: Table 1 in its own form, spreads, tests, and ways of averaging."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.experiment import paper
from pipeline.experiment.collection import Collection, Result
from pipeline.report.experiment_document import Cell, Table
from pipeline.report.experiment_numbers import (
    LOWER_IS_BETTER,
    MEASURES,
    contrasts,
    is_better,
    p_in_words,
    sentence,
    summarise,
    table_by_seed,
    write_p,
)

ARROWS = {"dice": "↑", "iou": "↑", "pixel_error": "↓"}
NAMES = {"acdc": "ACDC", "covid19": "COVID19 infection", "lungs": "COVID19 lungs"}
HEADINGS = {"acdc": "ACDC", "covid19": "COVID19"}


@dataclass(frozen=True)
class DataResults:
    """The finished runs on one data set.

    Args:
        level: of the axis "dataset".
        by_alpha: alpha -> its runs; the first is the baseline.
        reduced: in what they differ from the paper's protocol; empty for full runs.
    """

    level: str
    by_alpha: dict[str, list[Result]]
    reduced: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the paper calls it, with what is segmented, and whether it is phantoms."""
        plain = self.level.removesuffix(paper.PHANTOMS)
        return NAMES.get(plain, plain) + (", phantoms" if self.level.endswith(paper.PHANTOMS) else "")

    @property
    def any(self) -> Result:
        """One of the runs, for what all have in common."""
        return next(iter(self.by_alpha.values()))[0]

    @property
    def who(self) -> str:
        """What a test counts: patients, or images where each is all that is known of a patient."""
        slices = self.any.scores.slices
        return (
            "images"
            if slices.groupby("patient")["case"].nunique().max() == 1 == slices["slice"].nunique()
            else ("patients")
        )

    @property
    def background(self) -> bool:
        """Whether the runs ask for the background to count in means."""
        return self.any.resolved.get("background_in_mean") in (True, "true", "True")

    def slices(self, alpha: str) -> dict[str, pd.DataFrame]:
        """Dice, IoU and pixel error of each slice, by seed, averaged as the runs ask for."""
        return table_by_seed(self.by_alpha[alpha], lambda result: result.units(background=self.background))

    def others(self) -> list[tuple[str, str]]:
        """(baseline, alpha) for every other alpha."""
        first, *rest = self.by_alpha
        return [(first, alpha) for alpha in rest]


def split_by_data(collection: Collection) -> list[DataResults]:
    """The finished runs of each data set that has any, in the grid's order."""
    found = []
    for level in collection.levels("dataset"):
        by_alpha = {alpha: collection.level(dataset=level, alpha=alpha) for alpha in collection.levels("alpha")}
        by_alpha = {alpha: results for alpha, results in by_alpha.items() if results}
        run = next(iter(by_alpha.values()))[0]
        found.append(DataResults(level, by_alpha, tuple(paper.deviations(run.run, run.resolved))))
    return found


def loss_name(alpha: str) -> str:
    """CE, CE + DL, or CE + 0.5 DL."""
    return {"0": "CE", "1": "CE + DL"}.get(alpha, f"CE + {alpha} DL")


def table_one(data: Sequence[DataResults], *, caption: str, beside_paper: bool) -> Table:
    """Table 1 in the paper's form: a row for each loss; the better one bold, with an arrow where CE + DL is better.

    Args:
        data: what our rows show.
        caption: under the table.
        beside_paper: with the paper's rows, and its columns where we have none.
    """
    columns: list[tuple[str, DataResults | None]] = [(HEADINGS.get(d.level, d.name), d) for d in data]
    if beside_paper:
        ours = {d.level: d for d in data}
        columns = [(heading, ours.get(level)) for level, heading in (("covid19", "COVID19"), ("acdc", "ACDC"))]
        columns += [(d.name, d) for d in data if d.level not in ("covid19", "acdc")]
    alphas = list(dict.fromkeys([*(["0", "1"] if beside_paper else []), *(a for d in data for a in d.by_alpha)]))
    rows: list[list[Cell | str]] = []
    for alpha in alphas:
        if beside_paper and alpha in ("0", "1"):
            rows.append([f"{loss_name(alpha)}, paper", *_cells(columns, lambda c, a=alpha: _paper_values(c, a), alpha)])
        label = f"{loss_name(alpha)}, ours" if beside_paper else loss_name(alpha)
        rows.append([label, *_cells(columns, lambda c, a=alpha: _own_values(c, a), alpha)])
    head = ["Loss", *(name for _ in columns for name in MEASURES.values())]
    spans = [(_heading(heading, part), len(MEASURES)) for heading, part in columns]
    return Table(caption, head, rows, [("", 1), *spans])


def spread_table(data: Sequence[DataResults]) -> Table:
    """Mean ± SD over slices, and the spread of the seeds' means."""
    rows = []
    for part in data:
        for alpha in part.by_alpha:
            tables = part.slices(alpha)
            cells: list[Cell | str] = [part.name, loss_name(alpha)]
            for measure in MEASURES:
                found = summarise(tables, measure)
                cells.append(Cell(str(found), "" if math.isnan(found.seed_sd) else f"seeds ± {found.seed_sd:.4f}"))
            empty = f"{found.undefined}" if measure != "pixel_error" else f"{summarise(tables, 'dice').undefined}"
            patients = len({who for table in tables.values() for who in table["patient"]})
            rows.append([*cells, str(found.units), empty, f"{patients} {part.who}", str(found.seeds)])
    head = ["Data", "Loss", *MEASURES.values(), "slices", "empty", "of", "seeds"]
    caption = (
        "Mean ± SD over the slices of the held-out patients; beneath, the SD of the seeds' means. Empty: slices "
        "in which neither truth nor prediction holds a structure; they have no Dice and no IoU."
    )
    return Table(caption, head, rows)


def significance_table(data: Sequence[DataResults]) -> tuple[Table, dict[str, list[str]]]:
    """Paired tests of every alpha against the baseline, and by data set the sentences that say what they mean."""
    rows: list[list[Cell | str]] = []
    told: dict[str, list[str]] = {}
    for part in data:
        for first, alpha in part.others():
            found = contrasts(part.slices(first), part.slices(alpha), list(MEASURES))
            for measure, c in found.items():
                seeds = ", ".join(f"{value:+.4f}" for value in (c.by_seed or {}).values())
                interval = f"{c.low:+.4f} to {c.high:+.4f}" if c.n else "–"
                difference = Cell(f"{c.difference:+.4f}" if c.n else "–", bold=c.real and is_better(c, measure))
                words = [interval, write_p(c.p), write_p(c.adjusted), f"{c.effect:+.2f}" if c.n else "–", seeds]
                rows.append([part.name, loss_name(alpha), MEASURES[measure], str(c.n), difference, *words])
                told.setdefault(part.level, []).append(sentence(MEASURES[measure], measure, c, who=part.who))
    caption = (
        "Difference from the first loss, by patient (each patient's mean over its slices and over seeds counts once). "
        "Interval: bootstrap over patients. p: two-sided Wilcoxon signed-rank test, then after Holm's correction for "
        "the three measures. Effect: matched-pairs rank-biserial correlation, -1 to 1. Bold: better, beyond chance."
    )
    head = ["Data", "Loss", "Measure", "patients", "difference", "95% interval", "p", "p (Holm)", "effect", "by seed"]
    return Table(caption, head, rows), told


def verdict(part: DataResults) -> str:
    """For the top: whether the paper's claim holds on this data, and a warning where there is one seed only."""
    told = _verdict(part)
    seeds = {result.run.levels.get("seed") for results in part.by_alpha.values() for result in results}
    return told if len(seeds) > 1 else f"{told} One training of each loss: the chance of the training is not ruled out."


def _verdict(part: DataResults) -> str:
    pairs = part.others()
    if not pairs:
        return f"{part.name}: only one loss is finished, so nothing can be compared."
    first, alpha = next(((f, a) for f, a in pairs if a == "1"), pairs[0])
    found = contrasts(part.slices(first), part.slices(alpha), list(MEASURES))
    named = {measure: MEASURES[measure] for measure in found}
    if all(math.isnan(c.p) for c in found.values()):
        return f"{part.name}: too few {part.who} ({max(c.n for c in found.values())}) to test whether Dice helps."
    good = [named[m] for m, c in found.items() if c.real and is_better(c, m)]
    bad = [named[m] for m, c in found.items() if c.real and not is_better(c, m)]
    claim = f"that adding Dice ({loss_name(alpha)} against {loss_name(first)}) improves all three measures"
    numbers = ", ".join(f"{named[m]} {c.difference:+.4f} ({p_in_words(c.adjusted)})" for m, c in found.items())
    if len(good) == len(found):
        return f"{part.name}: the claim {claim} holds here: {numbers}."
    if bad and good:
        return f"{part.name}: better in {', '.join(good)}, worse in {', '.join(bad)}: {numbers}."
    if bad:
        return f"{part.name}: the contrary of the claim: worse in {', '.join(bad)}: {numbers}."
    if good:
        return f"{part.name}: the claim {claim} holds for {', '.join(good)} only: {numbers}."
    return f"{part.name}: the claim {claim} is not shown here: {numbers}."


def averaging_table(data: Sequence[DataResults]) -> Table:
    """The same masks averaged in six ways, since the paper does not say how it averaged."""
    ways: list[tuple[str, Callable[[Result], pd.DataFrame]]] = [
        ("by slice, structures; empty left out", lambda r: r.units()),
        ("by slice, structures; empty counts 1", lambda r: r.units(empty=1.0)),
        ("by slice, with background", lambda r: r.units(background=True)),
        ("by volume, structures", lambda r: r.units("volumes")),
        ("by volume, with background", lambda r: r.units("volumes", background=True)),
        ("all voxels pooled, structures", lambda r: pd.DataFrame([r.pooled()])),
    ]
    rows = []
    for part in data:
        for name, read in ways:
            row: list[Cell | str] = [part.name, name]
            for alpha in part.by_alpha:
                tables = table_by_seed(part.by_alpha[alpha], read)
                row += [_four(summarise(tables, measure).mean) for measure in MEASURES]
            rows.append(row)
    alphas = list(dict.fromkeys(alpha for part in data for alpha in part.by_alpha))
    spans = [("", 2), *((loss_name(alpha), len(MEASURES)) for alpha in alphas)]
    head = ["Data", "averaged", *(name for _ in alphas for name in MEASURES.values())]
    rows = [row + ["–"] * (len(head) - len(row)) for row in rows]
    return Table("", head, rows, spans)


def consistency(results: Iterable[Result]) -> str:
    """Whether IoU = Dice / (2 - Dice) holds for each structure of each slice and volume, as it must."""
    checked, worst = 0, 0.0
    for result in results:
        for unit in ("slices", "volumes"):
            rows = result.structures(unit)[["dice", "iou"]].dropna().astype(float)
            checked += len(rows)
            worst = max(worst, float((rows["iou"] - rows["dice"] / (2 - rows["dice"])).abs().max() or 0))
    fine = "holds" if worst < 1e-5 else "FAILS"
    return (
        f"IoU = Dice / (2 - Dice) {fine} in all {checked} values of single structures in slices and volumes (largest "
        f"deviation {worst:.0e}). It does not hold for means, and should not: a mean IoU lies above the value that the "
        "mean Dice would give. In the paper's rows it lies about .007 above, so they are means over images."
    )


def _heading(heading: str, part: DataResults | None) -> str:
    """With a warning where our rows are about something else than the paper's."""
    known = paper.dataset_of(part.level) if part else None
    return (
        f"{heading} (ours: infection, not comparable)" if heading == "COVID19" and known and known.remark else heading
    )


def _cells(
    columns: Sequence[tuple[str, DataResults | None]],
    read: Callable[[tuple[str, DataResults | None]], dict[str, tuple[float, float | None]]],
    alpha: str,
) -> list[Cell]:
    return [_cell(measure, *read(column).get(measure, (math.nan, None))) for column in columns for measure in MEASURES]


def _cell(measure: str, value: float, baseline: float | None) -> Cell:
    """The value; bold and with an arrow where it is better than the baseline."""
    if math.isnan(value):
        return Cell("–")
    if baseline is None or math.isnan(baseline):
        return Cell(_four(value))
    gain = baseline - value if measure in LOWER_IS_BETTER else value - baseline
    return Cell(_four(value) + (ARROWS[measure] if gain > 0 else ""), bold=gain > 0)


def _paper_values(column: tuple[str, DataResults | None], alpha: str) -> dict[str, tuple[float, float | None]]:
    key = {"COVID19": "covid19", "ACDC": "acdc"}.get(column[0], "")
    values = paper.PUBLISHED.get((key, alpha))
    if values is None:
        return {}
    first = paper.PUBLISHED[key, "0"] if alpha != "0" else (None,) * 3
    return dict(zip(MEASURES, zip(values, first, strict=True), strict=True))


def _own_values(column: tuple[str, DataResults | None], alpha: str) -> dict[str, tuple[float, float | None]]:
    part = column[1]
    if part is None or alpha not in part.by_alpha:
        return {}
    first = next(iter(part.by_alpha))
    own, base = (part.slices(a) for a in (alpha, first))
    return {
        measure: (summarise(own, measure).mean, None if alpha == first else summarise(base, measure).mean)
        for measure in MEASURES
    }


def _four(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
