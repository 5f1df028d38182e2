"""From the results of runs to the numbers of tables: means and spreads, values by patient, comparisons of settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from pipeline.experiment.collection import Result
from pipeline.experiment.statistics import LEAST, LEVEL, Comparison, compare, holm, least_p
from pipeline.report.tables import patients_of

MEASURES = {"dice": "Dice", "iou": "IoU", "pixel_error": "Pixel error"}
FEW = 12  # patients, up to which a reader is told how little the test can show
ONE_SEED = (
    "One seed only, which is no proof: two trainings that differ in nothing but the seed differ too, and by how much "
    "is not known here."
)
DISTANCES = ("hd95_mm",)
LOWER_IS_BETTER = ("pixel_error", "hd95_mm", "error")
UNIT = ("case", "slice", "structure")  # columns that together name one unit, as far as a table has them


@dataclass(frozen=True)
class Summary:
    """Mean of one measure over all units of all runs, each seed's mean counting the same.

    Args:
        mean: over seeds of the mean over units; NaN where nothing is defined.
        sd: over units, within a seed (mean of the seeds' SD).
        seed_sd: of the seeds' means; NaN with one seed.
        units, undefined: of one seed.
        seeds: how many.
        defined, total: units of all seeds together.
    """

    mean: float
    sd: float
    seed_sd: float
    units: int
    undefined: int
    seeds: int
    defined: int
    total: int

    @property
    def share(self) -> str:
        """How many units are defined of how many; empty where all are."""
        return f"{self.defined} of {self.total} defined" if self.defined < self.total else ""

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "–"
        return f"{self.mean:.4f}" + ("" if math.isnan(self.sd) else f" ± {self.sd:.4f}")


def table_by_seed(results: Sequence[Result], read: Callable[[Result], pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The rows of all folds of each seed, together."""
    return {seed: pd.concat(map(read, own), ignore_index=True) for seed, own in by_seed(results).items()}


def by_seed(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results of each seed, one for each fold."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.run.levels.get("seed", "0"), []).append(result)
    return found


def summarise(tables: dict[str, pd.DataFrame], measure: str) -> Summary:
    """One measure of `table_by_seed`'s tables."""
    values = [table[measure].astype(float) for table in tables.values()]
    means = pd.Series([value.mean() for value in values])
    return Summary(
        mean=float(means.mean()),
        sd=float(pd.Series([value.std(ddof=1) for value in values]).mean()),
        seed_sd=float(means.std(ddof=1)),
        units=len(values[0]) if values else 0,
        undefined=int(values[0].isna().sum()) if values else 0,
        seeds=len(values),
        defined=int(sum(value.count() for value in values)),
        total=sum(map(len, values)),
    )


def by_patient(tables: dict[str, pd.DataFrame], measure: str) -> pd.Series:
    """Each patient's mean over its units, and over seeds; patients are what a test may count."""
    return pd.concat([_patients(table, measure) for table in tables.values()], axis=1).mean(axis=1)


def paired(first: dict[str, pd.DataFrame], second: dict[str, pd.DataFrame], measure: str) -> pd.DataFrame:
    """The units that both were scored on with the same seed: columns seed, patient, first, second (NaN: undefined)."""
    found = [pd.DataFrame(columns=["seed", "patient", "first", "second"])]
    for seed in sorted(first.keys() & second.keys()):
        sides = [_by_unit(tables[seed], measure) for tables in (first, second)]
        pairs = pd.concat(sides, axis=1, join="inner", keys=["first", "second"]).reset_index()
        found.append(pairs.assign(seed=seed)[[*found[0]]])
    return pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)


def contrast(first: dict[str, pd.DataFrame], second: dict[str, pd.DataFrame], measure: str) -> Comparison:
    """`second` against `first` by patient, on the units that both were scored on, with the difference of each seed.

    A distance that one of them lacks, since it missed the structure, counts for neither: nobody is compared on the
    units that were easy to it. An overlap is undefined where nothing was to be found and nothing was; who found
    something there has 0, which counts.
    """
    pairs = paired(first, second, measure)
    pairs = pairs.dropna() if measure in DISTANCES else pairs
    patients = pairs.groupby(["seed", "patient"])[["first", "second"]].mean().astype(float).dropna()
    means = patients.groupby("patient").mean()
    seeds = (patients["second"] - patients["first"]).groupby("seed").mean()
    return compare(means["first"], means["second"], by_seed=seeds.to_dict())


def nothing_in_common(first: dict[str, pd.DataFrame], second: dict[str, pd.DataFrame]) -> str:
    """Why two settings have no unit in common; empty where they have some."""
    if not first.keys() & second.keys():
        return "no seed in common"
    return "" if len(paired(first, second, "dice")) else "no patient in common"


def contrasts(
    first: dict[str, pd.DataFrame], second: dict[str, pd.DataFrame], measures: Sequence[str]
) -> dict[str, Comparison]:
    """`contrast` of several measures, p-values adjusted for their number (Holm)."""
    return dict(zip(measures, holm([contrast(first, second, measure) for measure in measures]), strict=True))


def is_better(comparison: Comparison, measure: str) -> bool:
    """Whether the difference goes in the good direction."""
    return comparison.difference < 0 if measure in LOWER_IS_BETTER else comparison.difference > 0


def sentence(name: str, measure: str, comparison: Comparison, *, who: str = "patients") -> str:
    """One plain sentence on whether the difference is real."""
    c = comparison
    if not c.n:
        return f"{name}: undefined in every case."
    change = f"{name}: {c.first:.4f} to {c.second:.4f} ({c.difference:+.4f}) on {count(c.n, who)}"
    if math.isnan(c.p):
        return f"{change}: too few to test."
    told = f"{p_in_words(c.adjusted)}, effect size {c.effect:+.2f}"
    if c.adjusted >= 0.05:
        return f"{change}: no difference shown ({told})."
    direction = "an improvement" if is_better(c, measure) else "a deterioration"
    if not c.seeds_agree:
        spread = ", ".join(f"{value:+.4f}" for value in (c.by_seed or {}).values())
        return f"{change}: significant on these {who} ({told}), but the seeds disagree in sign ({spread}): not settled."
    alone = " Only one seed: how much two trainings differ by chance is not known." if len(c.by_seed or {}) < 2 else ""
    return f"{change}: {direction} beyond chance ({told}).{alone}"


def power(comparisons: Sequence[Comparison], *, who: str = "patients") -> str:
    """What a test on so few patients cannot show; empty where there are more than `FEW`, or too few for any test.

    Args:
        comparisons: those whose p-values are corrected together.
        who: what is counted.
    """
    tested = [c.n for c in comparisons if not math.isnan(c.p)]
    if not tested or not LEAST <= min(tested) <= FEW:
        return ""
    n, several, least = min(tested), len(tested), least_p(min(tested))
    corrected = min(1.0, several * least)
    told = (
        f"Only {n} {who} are compared, so the test has little power. The smallest p-value that it can reach is "
        f"2/2^{n}, about {least:.2g} ({corrected:.2g} after correction for {several} measures), and only where all {n} "
        "change in the same direction. "
    )
    if corrected >= LEVEL:
        return told + "So nothing can be shown on these alone."
    return told + "A small or uneven difference is overlooked: that none is shown does not mean that there is none."


def four(value: float) -> str:
    """Four decimals; a dash where it is undefined."""
    return "–" if math.isnan(value) else f"{value:.4f}"


def count(number: int, who: str) -> str:
    """1 patient, 2 patients."""
    return f"{number} {who.removesuffix('s') if number == 1 else who}"


def write_p(p: float) -> str:
    """A p-value in words; a dash where there is none."""
    if math.isnan(p):
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def p_values(comparison: Comparison) -> list[str]:
    """p, p after Holm's correction, and the effect size."""
    c = comparison
    return [write_p(c.p), write_p(c.adjusted), f"{c.effect:+.2f}" if c.n else "–"]


def p_in_words(p: float) -> str:
    """p = 0.012, or p < 0.001."""
    word = write_p(p)
    return f"p {word}" if word.startswith("<") else f"p = {word}"


def _patients(table: pd.DataFrame, measure: str) -> pd.Series:
    return table[measure].astype(float).groupby(patients_of(table)).mean()


def _by_unit(table: pd.DataFrame, measure: str) -> pd.Series:
    """The values by unit and patient; a unit that was scored in several folds is there as often."""
    names = [column for column in UNIT if column in table]
    units = table[names].assign(patient=patients_of(table), time=table.groupby(names).cumcount())
    return pd.Series(table[measure].to_numpy(float), index=pd.MultiIndex.from_frame(units))
