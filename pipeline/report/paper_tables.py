"""The runs of the paper's experiment by data set, and their tables: spreads, tests, and ways of averaging."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.experiment import paper
from pipeline.experiment.collection import Collection, Result, pooled
from pipeline.experiment.statistics import Comparison
from pipeline.report.document import Cell, Table, as_list
from pipeline.report.experiment_numbers import (
    MEASURES,
    ONE_SEED,
    by_seed,
    contrasts,
    count,
    four,
    is_better,
    p_in_words,
    p_values,
    power,
    sentence,
    summarise,
    table_by_seed,
)
from pipeline.report.tables import patients_of

NAMES = {"acdc": "ACDC", "covid19": "COVID19 infection", "lungs": "COVID19 lungs"}


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
        single = slices.groupby(patients_of(slices))["case"].nunique().max() == 1 == slices["slice"].nunique()
        return "images" if single else "patients"

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
            empty = str(summarise(tables, "dice").undefined)
            patients = len({who for table in tables.values() for who in patients_of(table)})
            rows.append([*cells, str(found.units), empty, count(patients, part.who), str(found.seeds)])
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
            found = _against(part, first, alpha)
            for measure, c in found.items():
                seeds = ", ".join(f"{value:+.4f}" for value in (c.by_seed or {}).values())
                interval = f"{c.low:+.4f} to {c.high:+.4f}" if c.n else "–"
                difference = Cell(f"{c.difference:+.4f}" if c.n else "–", bold=c.real and is_better(c, measure))
                row = [part.name, loss_name(alpha), MEASURES[measure], count(c.n, part.who), difference, interval]
                rows.append([*row, *p_values(c), seeds])
                told.setdefault(part.level, []).append(sentence(MEASURES[measure], measure, c, who=part.who))
            told[part.level] += filter(None, [power(list(found.values()), who=part.who)])
    caption = (
        "Difference from the first loss, by patient: each patient's mean over slices and seeds counts once. Interval: "
        "bootstrap over patients. p: two-sided Wilcoxon signed-rank test, then after Holm's correction for the three "
        "measures. Effect: matched-pairs rank-biserial correlation, -1 to 1. Bold: better, beyond chance."
    )
    head = ["Data", "Loss", "Measure", "of", "difference", "95% interval", "p", "p (Holm)", "effect", "by seed"]
    return Table(caption, head, rows), told


def verdict(part: DataResults) -> str:
    """For the top: whether the paper's claim holds on this data, and how little one seed or few patients show."""
    seeds = {result.run.levels.get("seed") for results in part.by_alpha.values() for result in results}
    few = [power(list(_against(part, *pair).values()), who=part.who) for pair in _main_pair(part)]
    return " ".join(filter(None, [_verdict(part), *([] if len(seeds) > 1 else [ONE_SEED]), *few]))


def _main_pair(part: DataResults) -> list[tuple[str, str]]:
    """The baseline with alpha 1, or with the first there is; none where nothing can be compared."""
    pairs = part.others()
    return [next(((first, alpha) for first, alpha in pairs if alpha == "1"), pairs[0])] if pairs else []


def _against(part: DataResults, first: str, alpha: str) -> dict[str, Comparison]:
    return contrasts(part.slices(first), part.slices(alpha), list(MEASURES))


def _verdict(part: DataResults) -> str:
    pairs = _main_pair(part)
    if not pairs:
        return f"{part.name}: only one loss is finished, so nothing can be compared."
    first, alpha = pairs[0]
    found = _against(part, first, alpha)
    if all(math.isnan(c.p) for c in found.values()):
        return f"{part.name}: too few {part.who} ({max(c.n for c in found.values())}) to test whether Dice helps."
    real = {measure: c for measure, c in found.items() if c.real}
    good = [MEASURES[measure] for measure, c in real.items() if is_better(c, measure)]
    bad = [MEASURES[measure] for measure, c in real.items() if not is_better(c, measure)]
    claim = f"that adding Dice ({loss_name(alpha)} against {loss_name(first)}) improves all three measures"
    if len(good) == len(found):
        told = f"the claim {claim} holds here"
    elif bad:
        better = f"better in {as_list(good)}, " if good else "the contrary of the claim: "
        told = f"{better}worse in {as_list(bad)}"
    else:
        told = f"the claim {claim} " + (f"holds for {as_list(good)} only" if good else "is not shown here")
    numbers = ", ".join(f"{MEASURES[m]} {c.difference:+.4f} ({p_in_words(c.adjusted)})" for m, c in found.items())
    return f"{part.name}: {told}: {numbers}."


def averaging_table(data: Sequence[DataResults]) -> Table:
    """The same masks averaged in six ways, since the paper does not say how it averaged."""
    ways: dict[str, Callable[[Sequence[Result]], dict[str, pd.DataFrame]]] = {
        "by slice, structures; empty left out": lambda own: table_by_seed(own, lambda r: r.units()),
        "by slice, structures; empty counts 1": lambda own: table_by_seed(own, lambda r: r.units(empty=1.0)),
        "by slice, with background": lambda own: table_by_seed(own, lambda r: r.units(background=True)),
        "by volume, structures": lambda own: table_by_seed(own, lambda r: r.units("volumes")),
        "by volume, with background": lambda own: table_by_seed(own, lambda r: r.units("volumes", background=True)),
        "all voxels pooled, structures": _pooled_by_seed,
    }
    alphas = list(dict.fromkeys(alpha for part in data for alpha in part.by_alpha))
    rows = []
    for part in data:
        for name, read in ways.items():
            row: list[Cell | str] = [part.name, name]
            for alpha in alphas:
                tables = read(part.by_alpha.get(alpha, ()))
                row += [four(summarise(tables, measure).mean) if tables else "–" for measure in MEASURES]
            rows.append(row)
    spans = [("", 2), *((loss_name(alpha), len(MEASURES)) for alpha in alphas)]
    head = ["Data", "averaged", *(name for _ in alphas for name in MEASURES.values())]
    return Table("", head, rows, spans)


def _pooled_by_seed(results: Sequence[Result]) -> dict[str, pd.DataFrame]:
    return {seed: pd.DataFrame([pooled(own)]) for seed, own in by_seed(results).items()}
