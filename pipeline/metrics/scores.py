"""The scores of a set of cases: tables, summary and where they come from, written to and read from one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import DataError, Problem
from pipeline.metrics import clinical, files
from pipeline.metrics.lesion_summary import Lesions
from pipeline.metrics.summary import VOLUME, summarise

VERSION = 1
IN_PIXELS = {"hd_mm": "hd_px", "hd95_mm": "hd95_px"}


@dataclass
class Scores:
    """Everything that the score files hold.

    Args:
        cases: one row for each case and structure, and the structure "mean" (scores.csv).
        slices: the same for each slice (slices.csv).
        labels: name -> number of the structures, or numbers where they overlap.
        definitions: metric -> sentence.
        policy: what empty masks and missing predictions count for, in words and enum values.
        provenance: program version, time, command, inputs, warnings.
        missing: cases without a prediction.
        files: for each case its name, image, label and pred (absolute paths), patient, phase, group (cases.json).
        length_unit: "mm", or "px" where the cases are pictures without millimetres. The columns hd_mm and hd95_mm then
            hold pixels, and are called hd_px and hd95_px in the files; volumes in ml are undefined.
        lesions: scores by lesion, where they were asked for (lesions.csv, and "lesions" in scores.json).
    """

    cases: pd.DataFrame
    slices: pd.DataFrame
    labels: dict[str, int | list[int]]
    definitions: dict[str, str]
    policy: dict[str, str]
    provenance: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    length_unit: str = "mm"
    lesions: Lesions | None = None

    @cached_property
    def summary(self) -> dict[str, list[dict[str, Any]]]:
        """`pipeline.metrics.summary.summarise` of the two tables."""
        return summarise(self.cases, self.slices)

    @cached_property
    def clinical(self) -> pd.DataFrame | None:
        """Volumes, ejection fractions and mass by patient; None where the cases are not ED/ES pairs of a heart."""
        return clinical.clinical_table(self.cases, missing=self.missing)

    def mean(self, metric: str = "dice", structure: str = "mean", *, phase: str = "") -> float | None:
        """One number of the summary, a mean over volumes; None where it is undefined or not there."""
        rows = self.summary["by_phase"] if phase else self.summary["overall"]
        for row in rows:
            if (row["structure"], row["metric"], row.get("phase", "")) == (structure, metric, phase):
                return row["mean"]
        return None

    def to_json(self) -> dict[str, Any]:
        """The content of scores.json."""
        table = self.clinical
        return {
            "version": VERSION,
            "labels": self.labels,
            "definitions": {self._named(metric): text for metric, text in self.definitions.items()},
            "policy": self.policy,
            "unit": VOLUME,
            "length_unit": self.length_unit,
            "provenance": self.provenance,
            "summary": {
                part: [{**entry, "metric": self._named(entry["metric"])} for entry in entries]
                for part, entries in self.summary.items()
            },
            "missing": self.missing,
            "clinical": None if table is None else clinical.to_json(table),
            "lesions": self.lesions.to_json() if self.lesions else None,
        }

    def write(self, out: str | Path, *, overwrite: bool = False) -> Path:
        """Write scores.csv, slices.csv, scores.json, cases.json; clinical.csv for hearts, lesions.csv for lesions.

        Returns:
            The folder.

        Raises:
            DataError: one of the files exists and `overwrite` is false; then nothing is written.
        """
        out = Path(out)
        contents = {
            "scores.csv": files.to_csv(self.cases.rename(columns=self._named)),
            "slices.csv": files.to_csv(self.slices),
            "cases.json": files.to_json(self.files),
            "scores.json": files.to_json(self.to_json()),
        }
        if self.clinical is not None:
            contents["clinical.csv"] = files.to_csv(self.clinical)
        if self.lesions is not None:
            contents["lesions.csv"] = files.to_csv(self.lesions.components)
        files.write_files(out, contents, overwrite=overwrite)
        for name in {"clinical.csv", "lesions.csv"} - set(contents):
            (out / name).unlink(missing_ok=True)  # of the scores that were overwritten
        return out

    def _named(self, metric: str) -> str:
        """What a column or metric is called in the files."""
        return IN_PIXELS.get(metric, metric) if self.length_unit == "px" else metric


def joined(parts: Sequence[Scores], *, provenance: Mapping[str, Any] | None = None) -> Scores:
    """The scores of separate sets of cases, such as the folds of a cross-validation, as those of one set.

    Args:
        parts: scores of the same structures by the same rules; at least one.
        provenance: where the whole comes from.

    Raises:
        DataError: a case that is in two of them, or parts that were scored by different rules.
    """
    first = parts[0]
    cases = pd.concat([part.cases for part in parts], ignore_index=True)
    rules = ("labels", "policy", "length_unit")
    remedy = "Evaluate all of them anew, on one datalist and with the same options"
    problems = [
        Problem(f"scores to be joined: {rule}", str(getattr(first, rule)), str(getattr(part, rule)), remedy)
        for part in parts
        for rule in rules
        if getattr(part, rule) != getattr(first, rule)
    ]
    twice = cases.loc[cases.duplicated(["case", "structure"]), "case"].unique()
    problems += [Problem(f"scores to be joined: {case}", "a case of one of them", "two", remedy) for case in twice]
    if problems:
        raise DataError(problems)
    missing = [case for part in parts for case in part.missing]
    return Scores(
        cases=cases,
        slices=pd.concat([part.slices for part in parts], ignore_index=True),
        labels=first.labels,
        definitions=first.definitions,
        policy=first.policy,
        provenance=dict(provenance or {}),
        missing=missing,
        files=[entry for part in parts for entry in part.files],
        length_unit=first.length_unit,
        lesions=_joined_lesions([part.lesions for part in parts if part.lesions], missing),
    )


def _joined_lesions(parts: Sequence[Lesions], missing: Sequence[str]) -> Lesions | None:
    if not parts:
        return None
    components, cases = (
        pd.concat([getattr(part, table) for part in parts], ignore_index=True) for table in ("components", "cases")
    )
    return Lesions(parts[0].organs, components, cases, missing)


def read_scores(out: str | Path) -> Scores:
    """Read what `Scores.write` wrote; numbers agree to 7 digits.

    Raises:
        DataError: a file is absent or unreadable.
    """
    out = Path(out)
    content = files.read_json(out / "scores.json")
    names = {written: name for name, written in IN_PIXELS.items()}
    found, lesions = content.get("lesions"), None
    if found:
        lesions = Lesions.from_json(found, files.read_table(out / "lesions.csv"), content["missing"])
    return Scores(
        cases=files.read_table(out / "scores.csv").rename(columns=names),
        slices=files.read_table(out / "slices.csv"),
        files=files.read_json(out / "cases.json"),
        definitions={names.get(metric, metric): text for metric, text in content["definitions"].items()},
        length_unit=content.get("length_unit", "mm"),
        lesions=lesions,
        **{key: content[key] for key in ("labels", "policy", "provenance", "missing")},
    )
