"""Files that no case took, told so that nobody misses the score of a mask under an unexpected name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import datalists, volumes
from pipeline.datalists.datalist import case_name, name_of
from pipeline.metrics.pairing import JPEG, image_files, item_names, pred_names

DERIVED = ("_preview", "_entropy", "_instances")  # what `volseg segment` lays beside a mask


def unpaired(pred_dir: str | Path, truth: str | Path, cases: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence on predictions of no case, and one on files beside the true masks that are called otherwise.

    Args:
        pred_dir, truth: as `pipeline.metrics.pair_folders` takes them. Predictions of cases of a datalist that were not
            chosen (another fold) are not told.
        cases: what it found.
    """
    pictures = any(volumes.is_picture(case["label"]) for case in cases)
    used = {Path(name).resolve() for case in cases for name in _files(case)}
    others = _names_listed(truth) if Path(truth).is_file() else set()

    def left(folder: str | Path) -> list[Path]:
        found = [path for path in image_files(Path(folder)) if pictures or not volumes.is_picture(path)]
        found = [
            path for path in found if not path.name.lower().endswith(JPEG) and not case_name(path).endswith(DERIVED)
        ]
        return [path for path in found if path.resolve() not in used]

    surplus = [path for path in left(pred_dir) if others.isdisjoint(pred_names(path, Path(pred_dir)))]
    told = [f"masks of no case, not scored: {_first(surplus)}"] if surplus else []
    if Path(truth).is_dir() and Path(truth).resolve() != Path(pred_dir).resolve():
        beside = [path for path in left(truth) if not case_name(path).endswith("_4d")]
        told += [f"beside the true masks and called otherwise, not scored: {_first(beside)}"] if beside else []
    return told


def _names_listed(datalist: str | Path) -> set[str]:
    """What predictions of any case of a datalist may be called."""
    found = datalists.load_datalist(datalist)
    items = ({**item, "case": name_of(item)} for section in ("training", "testing") for item in found[section])
    return {name for item in items for name in item_names(item)}


def _files(case: Mapping[str, Any]) -> Iterable[str]:
    return (case[key] for key in ("pred", "label", "image") if isinstance(case.get(key), str))


def _first(paths: Sequence[Path]) -> str:
    return f"{len(paths)} such as " * (len(paths) > 1) + paths[0].name
