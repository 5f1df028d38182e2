"""Paired comparison of two settings on the same patients: difference, its spread, Wilcoxon's test, effect size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

LEAST = 6  # pairs; with fewer, Wilcoxon's test cannot reach p < 0.05
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """B against A on the same units.

    Args:
        n: pairs in which both are defined.
        first, second: means of A and B over these pairs.
        low, high: 95% bootstrap interval of the mean difference B - A.
        p: two-sided Wilcoxon signed-rank test; NaN with fewer than `LEAST` pairs.
        adjusted: p after Holm's correction over the measures compared together; p itself until `holm` is called.
        effect: matched-pairs rank-biserial correlation, -1 to 1: the share of rank sums in favour of B minus that of A.
        by_seed: mean difference of each seed, by its name.
    """

    n: int
    first: float
    second: float
    low: float
    high: float
    p: float
    effect: float
    adjusted: float = math.nan
    by_seed: Mapping[str, float] | None = None

    @property
    def difference(self) -> float:
        """Mean of B minus mean of A."""
        return self.second - self.first

    @property
    def seeds_agree(self) -> bool:
        """Whether every seed's difference has the sign of the mean; true without seeds."""
        return all(value * self.difference > 0 for value in (self.by_seed or {}).values())

    @property
    def real(self) -> bool:
        """Significant after correction, and of one sign in all seeds."""
        return self.adjusted < LEVEL and self.seeds_agree


def compare(first: pd.Series, second: pd.Series, *, by_seed: Mapping[str, float] | None = None) -> Comparison:
    """Compare two series of values by unit (their index, e.g. patients; each unit once).

    Units that only one series has, or that are undefined in one, are left out. Equal pairs are left out of the test
    (Wilcoxon 1945). Without any pair every number is NaN and n is 0.
    """
    from scipy import stats

    pairs = pd.concat([first, second], axis=1, join="inner").dropna().to_numpy(float)
    if not len(pairs):
        return Comparison(0, *[math.nan] * 6, by_seed=by_seed)
    differences = pairs[:, 1] - pairs[:, 0]
    p = math.nan
    if len(pairs) >= LEAST:
        p = float(stats.wilcoxon(differences).pvalue) if np.any(differences) else 1.0
    low, high = _bootstrap(differences)
    means = pairs.mean(0).tolist()
    return Comparison(len(pairs), *means, low, high, p, rank_biserial(differences), adjusted=p, by_seed=by_seed)


def least_p(pairs: int) -> float:
    """The smallest two-sided p-value that Wilcoxon's exact test can reach: all differences of one sign, 2 / 2^pairs."""
    return min(1.0, 2.0 / 2**pairs)


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby 2014): (W+ - W-) / (W+ + W-); 0 where all are equal."""
    from scipy.stats import rankdata

    given = differences[differences != 0]
    if not len(given):
        return 0.0
    ranks = rankdata(np.abs(given))
    return float((ranks[given > 0].sum() - ranks[given < 0].sum()) / ranks.sum())


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with p-values adjusted for being several (Holm 1979); undefined ones are not counted."""
    given = pd.Series([c.p for c in comparisons], dtype=float).dropna().sort_values()
    adjusted = (given * range(len(given), 0, -1)).clip(upper=1).cummax().reindex(range(len(comparisons)))
    return [replace(c, adjusted=value) for c, value in zip(comparisons, adjusted.tolist(), strict=True)]


def _bootstrap(differences: np.ndarray, *, draws: int = 4000) -> tuple[float, float]:
    """95% percentile interval of the mean, resampling units; the same draws for the same number of units."""
    generator = np.random.default_rng(0)
    means = differences[generator.integers(0, len(differences), (draws, len(differences)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5]).tolist()
    return low, high
