"""From the numbers in a label file to the numbers that a network is trained on: 1, 2, 3, ... and nested structures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.errors import DataError, Problem
from pipeline.structures import painting_order


def target_labels(
    structures: Mapping[str, Sequence[int]], *, own: Mapping[str, int] | None = None, source: str = "labels"
) -> dict[str, int | list[int]]:
    """The "labels" of a datalist for a file's "structures".

    Structures come in the order given, unless one that holds others has to be painted before them. Each gets a number
    of its own: `own`'s, else the first of its numbers in the file, if these are 1 to n without a gap; else 1 to n in
    order. A structure that holds others has their numbers too, as `pipeline.structures.relabel` wants it: kidney 1+2+3,
    masses 2+3, tumour 2 become kidney [1, 2, 3], masses [2, 3], tumour 3.

    Args:
        structures: name -> the file's numbers that belong to it, background left out.
        own: name -> the number wanted for it (nnU-Net's regions_class_order).
        source: where the structures are told, for the error.
    Returns:
        name -> number, or numbers with its own first; in the order of painting.
    Raises:
        DataError: no structure, numbers that are not whole and from 1 to 255, two structures with the same numbers, or
            structures that overlap without one holding the other.
    """
    members = {name: frozenset(n for n in numbers if isinstance(n, int)) for name, numbers in structures.items()}
    problems = [
        Problem(source, f"whole numbers from 1 to 255 for {name}", str(list(structures[name])), "Correct the labels")
        for name, numbers in structures.items()
        if not numbers or not all(isinstance(number, int) and 0 < number < 256 for number in numbers)
    ]
    remedy = "Give each structure numbers of its own, or all the numbers of the structures inside it"
    names = list(members)
    problems += [
        Problem(source, "structures apart or inside one another", f"{one} and {other}, which share numbers", remedy)
        for index, one in enumerate(names)
        for other in names[index + 1 :]
        if members[one] & members[other] and not (members[one] < members[other] or members[other] < members[one])
    ]
    if not members:
        problems.append(Problem(source, "a structure", "none but the background", "Name one"))
    if problems:
        raise DataError(problems)
    painted = painting_order(members)
    wanted = [(own or {}).get(name, structures[name][0]) for name in names]
    gapless = list(range(1, len(names) + 1))
    kept = sorted(wanted) == gapless
    number_of = dict(zip(names, wanted, strict=True) if kept else zip(painted, gapless, strict=True))
    return {name: _with_inner(name, painted, members, number_of) for name in painted}


def _with_inner(
    name: str, painted: list[str], members: Mapping[str, frozenset[int]], number_of: Mapping[str, int]
) -> int | list[int]:
    inner = [number_of[other] for other in painted if members[other] < members[name]]
    return [number_of[name], *inner] if inner else number_of[name]


def listed(labels: Mapping[str, int | Sequence[int]]) -> dict[str, list[int]]:
    """The numbers of each structure as a list, background (0) left out."""
    numbers = {name: list(value) if isinstance(value, list | tuple) else [value] for name, value in labels.items()}
    return {name: members for name, members in numbers.items() if members != [0]}
