"""Which patients are trained on, validated on and tested on: grouped by patient, stratified by pathology."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from pipeline.errors import DataError, Problem

# Of ten equal parts seven are trained on; in this order even three patients give one to each side.
TENTHS = ("train", "test", "validation", "train", "train", "train", "test", "train", "train", "train")


def kfold(
    patients: Sequence[str],
    groups: Sequence[str],
    *,
    folds: int = 5,
    seed: int = 0,
    together: Iterable[Iterable[str]] = (),
) -> dict[str, int]:
    """Deal patients into folds so that every group, and the whole, is spread evenly.

    Each group's patients are shuffled, then each goes to the fold that has fewest of its group and, among those, fewest
    patients. Where nobody is linked, folds differ by at most one patient, in the whole and in each group.
    (scikit-learn's StratifiedGroupKFold refuses when every group has fewer members than there are folds.)

    Args:
        patients: their names, each once; the order does not matter.
        groups: the group (pathology) of each.
        folds: how many.
        seed: of the shuffle.
        together: sets of patients that must be in one fold, e.g. those with identical images. Names not in
            `patients` are ignored.
    Returns:
        fold (0 to folds - 1) by patient.
    Raises:
        DataError: folds below two, or more folds than patients (linked ones count as one).
    """
    units = _units(patients, groups, together)
    if not 2 <= folds <= len(units):
        expected = f"between 2 and {len(units)}, the number of separate patients"
        raise DataError(Problem("folds", expected, str(folds), "Choose another number of folds"))
    return _deal(units, dict(zip(patients, groups, strict=True)), parts=folds, seed=seed)


def nnunet_acdc_folds(patients: Iterable[str], folds: int = 5) -> dict[str, int]:
    """The folds of nnU-Net's ACDC conversion: sorted names, shuffled by RandomState(1234), every folds-th from f on.

    Source: `create_ACDC_split` in nnunetv2/dataset_conversion/Dataset027_ACDC.py. Grouped by patient, not stratified,
    and blind to identical images of different patients.

    Raises:
        DataError: fewer patients than folds.
    """
    names = np.unique(list(patients))
    if len(names) < folds:
        raise DataError(Problem("folds", f"at most {len(names)}", str(folds), "Choose another number of folds"))
    np.random.RandomState(1234).shuffle(names)
    return {str(name): index % folds for index, name in enumerate(names)}


def holdout(
    patients: Sequence[str], groups: Sequence[str], *, seed: int = 0, together: Iterable[Iterable[str]] = ()
) -> dict[str, str]:
    """70% "train", 10% "validation", 20% "test", in each group as in the whole, by patient.

    Exactly so where ten divides the number of patients of each group; with three patients or more no side is empty.

    Raises:
        DataError: fewer than three separate patients.
    """
    units = _units(patients, groups, together)
    if len(units) < 3:
        raise DataError(Problem("patients", "at least 3 for 70/10/20", str(len(units)), "Use more data or fewer folds"))
    parts = _deal(units, dict(zip(patients, groups, strict=True)), parts=len(TENTHS), seed=seed)
    return {patient: TENTHS[part] for patient, part in parts.items()}


def _units(patients: Sequence[str], groups: Sequence[str], together: Iterable[Iterable[str]]) -> list[tuple[str, ...]]:
    """The patients as sorted tuples, linked ones joined (also along chains)."""
    if len(set(patients)) != len(patients) or len(patients) != len(groups):
        raise ValueError("patients must be unique, with one group each")
    units = {patient: {patient} for patient in sorted(patients)}
    for linked in together:
        members = set().union(*(units[patient] for patient in linked if patient in units))
        units.update(dict.fromkeys(members, members))
    return sorted({tuple(sorted(members)) for members in units.values()})


def _deal(units: list[tuple[str, ...]], group_of: dict[str, str], *, parts: int, seed: int) -> dict[str, int]:
    generator = np.random.default_rng(seed)
    part_of: dict[str, int] = {}
    whole = np.zeros(parts, dtype=int)
    for group in sorted(set(group_of.values())):
        mine = [unit for unit in units if group_of[unit[0]] == group]
        mine = sorted((mine[index] for index in generator.permutation(len(mine))), key=len, reverse=True)
        dealt = np.zeros(parts, dtype=int)
        for unit in mine:
            part = int(np.lexsort((whole, dealt))[0])
            dealt[part] += len(unit)
            whole[part] += len(unit)
            part_of |= dict.fromkeys(unit, part)
    return dict(sorted(part_of.items()))
