"""What every raw layout is read from (a list of files) and becomes (cases, faults, and what was left out)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import Problem

TARGETS: dict[str, dict[str, int | list[int]]] = {
    "infection": {"infection": 1},
    "lungs": {"lungs": 1},
    "both": {"lungs": [1, 2], "infection": [2]},
}
NIFTI = r"\.nii(\.gz)?"
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
REMEDY = "Unpack the original archives again, or take the file away"


@dataclass
class Layout:
    """One collection found below the folder.

    Args:
        name: as its authors call it.
        training: items with image, label, structures, case, patient and group.
        testing: items of a fixed test set, and those without masks (no "label").
        left_out: what is there and not listed, with the reason, one phrase each.
        problems: files that lack their partner or cannot be read.
    """

    name: str
    training: list[dict[str, Any]] = field(default_factory=list)
    testing: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class Tree:
    """The files below a folder, without hidden ones (names that begin with a dot, such as macOS' `._` files).

    Args:
        root: the folder; links are followed.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = Path(root)
        self.files = sorted(self._walk(), key=lambda path: [_natural(part) for part in path.parts])

    def match(self, pattern: str) -> list[tuple[PurePosixPath, re.Match]]:
        """Files, relative to the root, whose name matches all of a pattern, upper or lower case."""
        hits = [(path, re.fullmatch(pattern, path.name, re.IGNORECASE)) for path in self.files]
        return [(path, hit) for path, hit in hits if hit]

    def folders(self, path: PurePosixPath) -> list[str]:
        """The names of the folders that a file lies in, lower case, outermost first, the root's own name included."""
        return [self.root.resolve().name.lower(), *(part.lower() for part in path.parts[:-1])]

    def _walk(self) -> list[PurePosixPath]:
        found, seen = [], set()
        for folder, folders, names in os.walk(self.root, followlinks=True):
            real = os.path.realpath(folder)
            folders[:] = [name for name in folders if real not in seen and not name.startswith((".", "__MACOSX"))]
            here = PurePosixPath(Path(folder).relative_to(self.root).as_posix())
            if real not in seen:
                found += [here / name for name in names if not name.startswith(".")]
            seen.add(real)
        return found


def unique(root: Path, found: Iterable[tuple[Any, PurePosixPath]]) -> tuple[dict[Any, PurePosixPath], list[Problem]]:
    """Files, relative to `root`, by what names their case; a second file of one name is a problem."""
    files: dict[Any, PurePosixPath] = {}
    problems = []
    for key, path in found:
        if files.setdefault(key, path) != path:
            twin = f"also {root / files[key]}"
            problems.append(Problem(str(root / path), "one file for each case", twin, "Keep one of them"))
    return files, problems


def unpaired(
    tree: Tree,
    images: Mapping[Any, PurePosixPath],
    masks: Mapping[Any, PurePosixPath],
    *,
    mask_of: Callable[[PurePosixPath], str],
    image_of: Callable[[PurePosixPath], str],
) -> list[Problem]:
    """Every image without its mask and every mask without its image.

    Args:
        tree: where they lie.
        images, masks: by what pairs them.
        mask_of, image_of: how the missing partner of a file would be called.
    """
    lonely = [(path, "its mask " + mask_of(path)) for key, path in images.items() if key not in masks]
    lonely += [(path, "its image " + image_of(path)) for key, path in masks.items() if key not in images]
    return [Problem(str(tree.root / path), expected, "no such file", REMEDY) for path, expected in lonely]


def suffix_of(path: PurePosixPath) -> str:
    """The file's suffix as it is written; .nii.gz is one."""
    return path.name[re.search(rf"({NIFTI}|\.[^.]*)$", path.name, re.IGNORECASE).start() :]


def _natural(text: str) -> list[Any]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]
