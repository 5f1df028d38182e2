"""Every COVID-19 CT collection below one folder as one datalist."""

from __future__ import annotations

import logging
import os
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.datalists import protocols, splits
from pipeline.datalists.assemble import provenance
from pipeline.datalists.covid19 import challenge, ct_seg, medseg, mosmed, semiseg
from pipeline.datalists.covid19.layout import TARGETS, Layout, Tree
from pipeline.datalists.covid19.likeness import find_near_duplicates, is_slice
from pipeline.datalists.datalist import check_no_leak
from pipeline.datalists.folders import entries_of
from pipeline.datalists.summaries import fold_table, kept_together
from pipeline.errors import DataError, Problem

MODULES = (ct_seg, mosmed, challenge, medseg, semiseg)
LAYOUTS = tuple(module.NAME for module in MODULES)
SPLITS = ("kfold", *protocols.PROTOCOLS)
log = logging.getLogger("pipeline")


def build(
    root: str | os.PathLike, *, target: str = "infection", split: str = "kfold", folds: int = 5, seed: int = 0
) -> dict[str, Any]:
    """Find the collections below a folder by the names of their folders and files, and split them by patient.

    Args:
        root: a folder that holds one collection or several, or the folder above; see LAYOUTS.
        target: "infection", "lungs", or "both" (mask value 2 is infection and belongs to the lungs too). It chooses the
            masks; a collection that does not tell the target is left out.
        split: "kfold": `folds` folds, stratified by source; or one of `protocols.PROTOCOLS`, on COVID-19-CT-Seg alone.
        folds: number of folds; the protocols have five.
        seed: of the shuffle; not used by the protocols.
    Returns:
        the datalist. "training" is what has masks, with fold; "testing" are fixed test sets, and cases without masks
        (no "label"). provenance["layouts"] counts the cases of each collection, ["left_out"] says what is not listed
        and why, ["near_duplicates"] are sets of cases that seem to be of one patient; such cases share a fold.
    Raises:
        DataError: no collection, none that tells the target (one problem each), or every image without its mask,
            mask without its image, doubled or unreadable file.
    """
    for name, given, known in (("target", target, tuple(TARGETS)), ("split", split, SPLITS)):
        if given not in known:
            raise DataError(Problem(name, "one of " + ", ".join(known), given, "Choose one of these"))
    root = Path(root)
    layouts = _recognise(root, target)
    if split in protocols.PROTOCOLS:
        layouts = [layout if layout.name == ct_seg.NAME else _emptied(layout, split) for layout in layouts]
    problems = [problem for layout in layouts for problem in layout.problems]
    training = [item for layout in layouts for item in layout.training]
    testing = [item for layout in layouts for item in layout.testing]
    problems = problems or _named_twice(layouts[0].tree, training + testing)
    if problems:
        raise DataError(problems)
    if not training:
        raise DataError(_nothing_left(root, target, layouts))
    alike = find_near_duplicates(training + testing, root)
    side, meta = _sides(training, alike, split=split, folds=folds, seed=seed)
    listed = {layout.name for layout in layouts if layout.training or layout.testing}
    used = [module for module in MODULES if module.NAME in listed]
    slices = all(is_slice(item) for item in training)
    datalist = {
        "name": "covid19_slices" if slices else "covid19",
        "description": f"COVID-19 CT, {'slices' if slices else 'scans'} with masks of {_said(target)}",
        "labels": TARGETS[target],
        "modality": "CT",
        "reference": "; ".join(module.REFERENCE for module in used),
        "licence": "; ".join(f"{module.NAME}: {module.LICENCE}" for module in used),
        "split": meta,
        "provenance": provenance(
            training + testing,
            counted="case",
            layouts={x.name: {"training": len(x.training), "testing": len(x.testing)} for x in layouts},
            left_out=_reasons(layouts),
            without_masks=sum("label" not in item for item in training + testing),
            near_duplicates=alike,
        ),
        "training": [item | {"fold": side[item["case"]]} for item in training],
        "testing": testing,
    }
    check_no_leak(datalist)
    return datalist


def summary(datalist: dict[str, Any]) -> str:
    """What is in a list, for people: collections, cases by source and fold, what was left out, and near-duplicates."""
    origin, split = datalist["provenance"], datalist["split"]
    structures = " and ".join(name for name in datalist["labels"] if name != "background")
    counts = f"{_plural(origin['patients'], 'patient')}, {_plural(origin['cases'], 'case')}"
    lines = [f"{counts}, structures: {structures}"]
    for name, sections in origin["layouts"].items():
        found = ", ".join(f"{number} {section}" for section, number in sections.items() if number)
        lines.append(f"found {name}: {found or 'nothing listed'}")
    lines += fold_table(datalist, "case")
    if origin["without_masks"]:
        lines.append(f"{_plural(origin['without_masks'], 'case')} without masks: in testing, not scored")
    if split.get("train_on") == "fold":
        lines.append(f"{split['method']}: the chosen fold is trained on, all others are validated")
    lines += [f"left out of {reason}" for reason in origin["left_out"]]
    for alike in origin["near_duplicates"]:
        lines.append(f"near-duplicates: {', '.join(alike)} {kept_together(datalist, alike, key='case')}")
    return "\n".join(lines)


def _recognise(root: Path, target: str) -> list[Layout]:
    looked_for = "one of " + "; ".join(f"{module.NAME} ({module.LOOKS_LIKE})" for module in MODULES)
    tree = Tree(root)
    layouts = [layout for module in MODULES if (layout := module.recognise(tree, target))]
    if not layouts:
        found = entries_of(root) if tree.files or not root.is_dir() else "no files"
        raise DataError(Problem(str(root), looked_for, found, "Give the folder that the archives were unpacked in"))
    for layout in layouts:
        log.info("found %s: %d cases, %d to test", layout.name, len(layout.training), len(layout.testing))
        for reason in layout.left_out:
            log.warning("left out of %s: %s", layout.name, reason)
    return layouts


def _emptied(layout: Layout, split: str) -> Layout:
    count = len(layout.training) + len(layout.testing)
    return Layout(layout.name, layout.tree, left_out=[*layout.left_out, f"{count} cases: not part of {split}"])


def _named_twice(tree: Tree, items: list[dict[str, Any]]) -> list[Problem]:
    """Cases of one name in different files."""
    layout = Layout("", tree)
    layout.unique((item["case"], PurePosixPath(_place(item))) for item in items)
    return layout.problems


def _place(item: dict[str, Any]) -> str:
    return f"{item['image']}, slice {item['slice']}" if "slice" in item else item["image"]


def _nothing_left(root: Path, target: str, layouts: list[Layout]) -> Problem:
    without = ", ".join(f"{layout.name} without masks" for layout in layouts)
    found = "; ".join(_reasons(layouts)) or without
    return Problem(str(root), f"cases with masks of {_said(target)}", found, "Choose another target, or add the masks")


def _reasons(layouts: list[Layout]) -> list[str]:
    return [f"{layout.name}: {reason}" for layout in layouts for reason in layout.left_out]


def _said(target: str) -> str:
    return "lungs and infection" if target == "both" else target


def _sides(
    items: list[dict[str, Any]], alike: list[list[str]], *, split: str, folds: int, seed: int
) -> tuple[dict[str, int], dict[str, Any]]:
    """The fold of each case, patients and near-duplicates whole, and what to note in the datalist's "split"."""
    if split in protocols.PROTOCOLS:
        return protocols.twenty_cases(items, split)
    cases, groups = [item["case"] for item in items], [item["group"] for item in items]
    patients: dict[str, list[str]] = {}
    for item in items:
        patients.setdefault(item["patient"], []).append(item["case"])
    side = splits.kfold(cases, groups, folds=folds, seed=seed, together=[*patients.values(), *alike])
    return side, {"method": split, "folds": folds, "seed": seed, "by": "patient", "stratify": "group"}


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
