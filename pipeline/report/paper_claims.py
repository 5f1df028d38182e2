"""The paper's two further claims tested: fewer errors at edges, and better small targets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from pipeline.experiment.collection import Result
from pipeline.experiment.details import BANDS, EDGES
from pipeline.experiment.statistics import LEVEL, compare, holm
from pipeline.report.document import Cell, Table
from pipeline.report.experiment_numbers import (
    by_patient,
    contrast,
    count,
    four,
    p_in_words,
    p_values,
    sentence,
    table_by_seed,
)
from pipeline.report.paper_tables import DataResults, loss_name

SIZES = ("small", "medium", "large")


def band_table(data: Sequence[DataResults]) -> tuple[Table, dict[str, list[str]]]:
    """Share of wrong pixels by distance from the truth's edges, and sentences by data set."""
    rows: list[list[Cell | str]] = []
    told: dict[str, list[str]] = {}
    for part in data:
        unit = part.any.scores.length_unit
        for first, alpha in part.others():
            pairs = [[_errors(part.by_alpha[a], band) for a in (first, alpha)] for band in BANDS]
            for band, c in zip(BANDS, holm([contrast(*pair, "error") for pair in pairs]), strict=True):
                share = _share_of_errors(part.by_alpha[first], band)
                row = [part.name, loss_name(alpha), _band_words(band, unit), f"{share:.0%}"]
                change = f"{c.difference / c.first:+.0%}" if c.n and c.first else "–"
                row += [_percent(c.first), Cell(_percent(c.second), bold=c.difference < 0), change]
                rows.append([*row, *p_values(c)])
                name = f"{loss_name(alpha)}, {_band_words(band, unit)} from edges, share of wrong pixels"
                told.setdefault(part.level, []).append(sentence(name, "error", c, who=part.who))
    words = ("distance from edges", "of all errors", "wrong, first loss", "wrong, this loss", "change")
    caption = (
        "Share of the pixels at that distance from an edge of the truth (in the slice) that are wrong; mean over "
        "patients. “Of all errors”: what part of the first loss's errors lies there. Bold: fewer, whether or not "
        "by chance. p (Holm): corrected for the three distances; the sentences go by it."
    )
    return Table(caption, ["Data", "Loss", *words, "p", "p (Holm)", "effect"], rows), told


def size_table(data: Sequence[DataResults]) -> tuple[Table, dict[str, list[str]]]:
    """Dice of small, medium and large targets (thirds by the truth's size in a slice), and sentences by data set."""
    rows: list[list[Cell | str]] = []
    told: dict[str, list[str]] = {}
    for part in data:
        cuts = size_cuts(next(iter(part.by_alpha.values())))
        for first, alpha in part.others():
            pairs = [[_strata(part.by_alpha[a], cuts, size) for a in (first, alpha)] for size in SIZES]
            found = holm([contrast(*pair, "dice") for pair in pairs])
            for size, (one, _), c in zip(SIZES, pairs, found, strict=True):
                targets = sum(len(table) for table in one.values()) // max(1, len(one))
                dice = [four(c.first), Cell(four(c.second), bold=c.difference > 0)]
                rows.append([part.name, loss_name(alpha), size, str(targets), *dice, *p_values(c)])
                words = f"{loss_name(alpha)}, Dice of {size} targets"
                told.setdefault(part.level, []).append(sentence(words, "dice", c, who=part.who))
            told[part.level].append(_above_all(part, first, alpha, cuts))
    caption = (
        "A target is one structure in one slice; small is the smallest third of each structure's targets by their "
        "number of pixels in the truth. Mean over patients; a target that is missed has Dice 0. Bold: higher, whether "
        "or not by chance. p (Holm): corrected for the three sizes; the sentences go by it."
    )
    head = ["Data", "Loss", "targets", "number", "Dice, first loss", "Dice, this loss", "p", "p (Holm)", "effect"]
    return Table(caption, head, rows), told


def size_cuts(results: Sequence[Result]) -> dict[str, tuple[float, float]]:
    """Each structure's sizes (pixels in a slice's truth) that divide its targets into thirds; all seeds have the same.

    Args:
        results: all folds and seeds of one loss.
    """
    targets = pd.concat(map(_targets, results)).drop_duplicates(["case", "slice", "structure"])
    sizes = targets.groupby("structure")["truth_voxels"]
    return {name: tuple(values.quantile([1 / 3, 2 / 3]).tolist()) for name, values in sizes}


def _targets(result: Result) -> pd.DataFrame:
    """The structures that are there, slice by slice."""
    rows = result.structures("slices").astype({"truth_voxels": float})
    return rows[rows["truth_voxels"] > 0]


def _above_all(part: DataResults, first: str, alpha: str, cuts: dict[str, tuple[float, float]]) -> str:
    """Whether small targets gain more than large ones: each patient's two gains compared."""
    gains = []
    for size in ("large", "small"):
        one, other = (by_patient(_strata(part.by_alpha[a], cuts, size), "dice") for a in (first, alpha))
        gains.append(other - one)
    c = compare(*gains)
    if not c.n:
        singular = part.who.removesuffix("s")
        return f"{loss_name(alpha)}: no {singular} has both small and large targets, so their gains are not compared."
    start = f"{loss_name(alpha)}, gain of small targets {c.second:+.4f}, of large ones {c.first:+.4f}"
    if math.isnan(c.p):
        return f"{start} on {count(c.n, part.who)} with both: too few to test."
    verdict = "no difference shown" if c.p >= LEVEL else ("more" if c.difference > 0 else "less") + " for small ones"
    return f"{start} on {count(c.n, part.who)} that have both: {verdict} ({p_in_words(c.p)})."


def _strata(results: Sequence[Result], cuts: dict[str, tuple[float, float]], size: str) -> dict[str, pd.DataFrame]:
    place = SIZES.index(size)
    bounds = [{name: (0.0, *own, math.inf)[i] for name, own in cuts.items()} for i in range(len(SIZES) + 1)]

    def read(result: Result) -> pd.DataFrame:
        rows = _targets(result)
        least, most = (rows["structure"].map(bounds[place + i]).astype(float) for i in (0, 1))
        return rows[(rows["truth_voxels"] > least) & (rows["truth_voxels"] <= most)]  # no structure without cuts

    return table_by_seed(results, read)


def _errors(results: Sequence[Result], band: str) -> dict[str, pd.DataFrame]:
    def read(result: Result) -> pd.DataFrame:
        rows = result.bands[result.bands["band"] == band]
        sums = rows.groupby("patient", as_index=False)[["wrong", "all"]].sum()
        share = sums["wrong"].astype(float) / sums["all"].astype(float).where(sums["all"] > 0)
        return pd.DataFrame({"case": sums["patient"], "patient": sums["patient"], "error": share})

    return table_by_seed(results, read)


def _share_of_errors(results: Sequence[Result], band: str) -> float:
    rows = pd.concat([result.bands for result in results])
    return float(rows.loc[rows["band"] == band, "wrong"].sum() / max(1, rows["wrong"].sum()))


def _band_words(band: str, unit: str) -> str:
    low, high = EDGES
    words = {"near": f"up to {low:g} {unit}", "middle": f"{low:g} to {high:g} {unit}", "far": f"over {high:g} {unit}"}
    return words[band]


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.2f} %"
