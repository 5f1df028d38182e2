"""Lesion scores of a set of cases: tables, and counts, strata and agreement over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from pipeline.metrics.clinical import agreement_table
from pipeline.metrics.files import records
from pipeline.metrics.lesions import DEFINITIONS, PRED, TRUTH, scores_of, strata
from pipeline.metrics.summary import describe

RATES = ("sensitivity", "precision", "f1")
WHO = ("case", "patient", "phase", "group", "structure")


@dataclass
class Lesions:
    """Lesion scores of all cases.

    Args:
        organs: lesion structure -> the organ that holds it, or None.
        components: one row for each true and each predicted lesion (lesions.csv).
        cases: one row for each case and lesion structure.
        missing: cases without a prediction: their predicted loads and shares are undefined, not 0.
    """

    organs: dict[str, str | None]
    components: pd.DataFrame
    cases: pd.DataFrame
    missing: Sequence[str] = ()

    @cached_property
    def summary(self) -> list[dict[str, Any]]:
        """For each structure: counts and rates over all lesions, rates by case, strata, agreement of load and shares.

        "sensitivity", "precision" and "f1" pool the lesions of all cases; "by_case" describes their values by case.
        Undefined values are None.
        """
        return [self._of(structure) for structure in self.organs]

    def loads(self, structure: str) -> pd.DataFrame:
        """Load, organ volumes and shares of each case, for `pipeline.metrics.clinical.agreement_table`."""
        rows = self.cases[self.cases["structure"] == structure].reset_index(drop=True)
        pairs = {column: column.replace(f"_{TRUTH}_", f"_{PRED}_") for column in rows if f"_{TRUTH}_" in column}
        rows.loc[rows["case"].isin(list(self.missing)), list(pairs.values())] = float("nan")
        known = [column for true in pairs if rows[true].notna().any() for column in (true, pairs[true])]
        return rows[["case", *known]]

    def to_json(self) -> dict[str, Any]:
        """The entry "lesions" of scores.json."""
        cases = records(self.cases)
        return {"organs": self.organs, "definitions": DEFINITIONS, "summary": self.summary, "cases": cases}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], components: pd.DataFrame, missing: Sequence[str]) -> Lesions:
        """What `to_json` gave, and the table of lesions.csv."""
        cases = pd.DataFrame(content["cases"])
        numbers = cases.columns.difference([*WHO, "note"])
        return cls(content["organs"], components, cases.astype(dict.fromkeys(numbers, float)), missing)

    def _of(self, structure: str) -> dict[str, Any]:
        cases = self.cases[self.cases["structure"] == structure]
        lesions = self.components[self.components["structure"] == structure]
        return {
            "structure": structure,
            "organ": self.organs[structure],
            "cases": len(cases),
            "cases_without": int((cases["truth"] == 0).sum()),
            **_scores(lesions),
            "by_case": {rate: describe(cases[rate]) for rate in RATES},
            "strata": [_stratum(lesions, name) for name in _strata_in(lesions)],
            "agreement": agreement_table(self.loads(structure)),
        }


def _scores(lesions: pd.DataFrame) -> dict[str, Any]:
    scores = scores_of(*(lesions.loc[lesions["source"] == source, "detected"] for source in (TRUTH, PRED)))
    return {name: None if value != value else value for name, value in scores.items()}


def _stratum(lesions: pd.DataFrame, name: str) -> dict[str, Any]:
    """Counts in one stratum, of true lesions by their size and of predicted ones by theirs, and Dice of the true."""
    own = lesions[lesions["stratum"] == name]
    scores = {key: value for key, value in _scores(own).items() if key != "f1"}  # its two parts count other lesions
    return {"stratum": name, **scores, "dice": describe(own.loc[own["source"] == TRUTH, "dice"])}


def _strata_in(lesions: pd.DataFrame) -> list[str]:
    """All strata of each unit that occurs."""
    return [name for unit in ("ml", "percent") if lesions["stratum"].isin(strata(unit)).any() for name in strata(unit)]
