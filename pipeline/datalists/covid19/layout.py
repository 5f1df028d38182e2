"""What every raw layout is read from (a list of files) and becomes (cases, faults, and what was left out)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.datalists.folders import files_below
from pipeline.errors import Problem
from pipeline.volumes.names import natural

TARGETS: dict[str, dict[str, int | list[int]]] = {
    "infection": {"infection": 1},
    "lungs": {"lungs": 1},
    "both": {"lungs": [1, 2], "infection": [2]},
}
NIFTI = r"\.nii(\.gz)?"
REMEDY = "Unpack the original archives again, or take the file away"
INFECTION_ONLY = "their masks are of infection only"

Files = dict[Any, PurePosixPath]


class Tree:
    """The files below a folder, as `files_below` finds them, in natural order.

    Args:
        root: the folder.
    """

    def __init__(self, root: str | os.PathLike) -> None:
        self.root = Path(root)
        files = [PurePosixPath(path.relative_to(self.root)) for path in files_below(self.root)]
        self.files = sorted(files, key=lambda path: [natural(part) for part in path.parts])

    def match(self, pattern: str) -> list[tuple[PurePosixPath, re.Match]]:
        """Files, relative to the root, whose name matches all of a pattern, upper or lower case."""
        hits = [(path, re.fullmatch(pattern, path.name, re.IGNORECASE)) for path in self.files]
        return [(path, hit) for path, hit in hits if hit]

    def folders(self, path: PurePosixPath) -> list[str]:
        """The names of the folders that a file lies in, lower case, outermost first, the root's own name included."""
        return [self.root.resolve().name.lower(), *(part.lower() for part in path.parts[:-1])]


@dataclass
class Layout:
    """One collection found below the folder.

    Args:
        name: as its authors call it.
        tree: where it was found.
        training: items with image, label, structures, case, patient and group.
        testing: items of a fixed test set, and those without masks (no "label").
        left_out: what is there and not listed, with the reason, one phrase each.
        problems: files that lack their partner or cannot be read.
    """

    name: str
    tree: Tree
    training: list[dict[str, Any]] = field(default_factory=list)
    testing: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def fault(self, path: PurePosixPath, expected: str, found: str, remedy: str = REMEDY) -> None:
        """Note a problem of a file."""
        self.problems.append(Problem(str(self.tree.root / path), expected, found, remedy))

    def unique(self, found: Iterable[tuple[Any, PurePosixPath]]) -> Files:
        """Files by what names their case; a second file of one name is a problem."""
        files: Files = {}
        for key, path in found:
            if files.setdefault(key, path) != path:
                self.fault(path, "one file for each case", f"also {self.tree.root / files[key]}", "Keep one of them")
        return files

    def check_pairs(
        self,
        images: Mapping[Any, PurePosixPath],
        masks: Mapping[Any, PurePosixPath],
        *,
        mask_of: Callable[[PurePosixPath], str],
        image_of: Callable[[PurePosixPath], str],
    ) -> None:
        """Every image without its mask and every mask without its image is a problem.

        Args:
            images, masks: by what pairs them.
            mask_of, image_of: how the missing partner of a file would be called.
        """
        for key in [*images, *masks]:
            if key not in masks:
                self.fault(images[key], "its mask " + mask_of(images[key]), "no such file")
            elif key not in images:
                self.fault(masks[key], "its image " + image_of(masks[key]), "no such file")

    def add(
        self,
        image: PurePosixPath,
        mask: PurePosixPath | None,
        structures: Mapping[str, list[int]],
        *,
        case: str,
        group: str,
        patient: str | None = None,
        test: bool = False,
        **more: Any,
    ) -> None:
        """List a case; to test on where it has no mask."""
        drawn = {"label": str(mask), "structures": structures} if mask else {}
        item = {"image": str(image), **drawn, "case": case, "patient": patient or case, "group": group, **more}
        (self.testing if test or not mask else self.training).append(item)
