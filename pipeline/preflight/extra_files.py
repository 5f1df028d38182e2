"""Images that lie beside a list's files and that it does not name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pipeline.datalists.images import has_frames
from pipeline.errors import Problem
from pipeline.preflight.listing import Listing
from pipeline.preflight.result import Finding
from pipeline.volumes import suffix_of

FEWEST = 3  # listed folders side by side, from which on their neighbours are taken for cases, too


def extra_findings(listing: Listing) -> Iterator[Finding]:
    """One warning for each image or mask by its name in a folder with files of a datalist.

    Where each case has a folder of its own (ACDC's patients), the folders beside them are looked at as well. Left out:
    names that begin with a dot, what lies in a listed folder (a DICOM series, slices), and a cine X_4d
    beside its frames.
    """
    if not listing.is_list:
        return
    listed = {os.path.abspath(path) for path in listing.named}
    folders = {Path(path).parent for path in listed}
    folders |= _neighbours(folders, len(listing.cases))
    for folder in sorted(folders):
        images = sorted(path for path in _entries(folder) if suffix_of(path) and path.is_file())
        for path in images:
            if listed & {str(path), str(folder)} or path.name.startswith(".") or has_frames(path, images):
                continue
            remedy = "Nothing if it was left out on purpose; else build the list again"
            yield Finding("extra", Problem(str(path), "an image that the list names", "one that it does not", remedy))


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where it may not be read, as a disk's lost+found."""
    try:
        return list(folder.iterdir())
    except PermissionError:
        return []


def _neighbours(folders: set[Path], cases: int) -> set[Path]:
    above = Counter(folder.parent for folder in folders)
    homes = [home for home, count in above.items() if count >= max(FEWEST, cases / 4)]
    inside = [entry for home in homes for entry in os.scandir(home) if entry.name[0] != "."]
    return {Path(entry) for entry in inside if os.path.isdir(entry.path)}  # DirEntry's raise for a link to itself
