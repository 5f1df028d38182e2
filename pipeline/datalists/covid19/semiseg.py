"""COVID-SemiSeg: slices cropped to the lungs, 50 to train on and 48 to test on, with masks of the infection."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from pipeline.datalists.covid19.layout import INFECTION_ONLY, Layout, Tree
from pipeline.datalists.datalist import case_name
from pipeline.volumes import PICTURE_SUFFIXES

NAME = "COVID-SemiSeg"
LOOKS_LIKE = "LungInfection-Train/Doctor-label/Imgs/ and GT/"
REFERENCE = "Fan et al., IEEE TMI 39(8), 2020, doi 10.1109/TMI.2020.2996645"
LICENCE = "non-commercial use only"

PICTURE = rf"(.+)({'|'.join(map(re.escape, PICTURE_SUFFIXES))})"
TRAINING, TESTING = "doctor-label", "lunginfection-test"
IGNORED = {
    "pseudo-label": "masks drawn by a network",
    "multiclassinfection-train": "the same slices with other masks",
    "multiclassinfection-test": "the same slices with other masks",
}


def recognise(tree: Tree, target: str) -> Layout | None:
    """The doctor's 50 slices are "training", LungInfection-Test's 48 "testing"; masks are 0 and 255.

    The patients are not known: each slice counts as one. The group is semiseg; a case is called semiseg_010 after
    10.jpg, or semiseg_test_018.
    """
    layout = Layout(NAME, tree)
    found: dict[tuple[str, str], list] = {(p, kind): [] for p in (TRAINING, TESTING) for kind in ("imgs", "gt")}
    ignored: dict[str, int] = {}
    for path, hit in tree.match(PICTURE):
        *above, kind = tree.folders(path)
        part = above[-1] if above else ""
        if (part, kind) in found:
            found[part, kind].append((hit[1], path))
        for name in IGNORED.keys() & set(above):
            ignored[name] = ignored.get(name, 0) + (kind == "imgs")
    if not any(found.values()):
        return None
    if target != "infection":
        layout.left_out = [f"{len(found[TRAINING, 'imgs'])} slices: {INFECTION_ONLY}"]
        return layout
    layout.left_out = [f"{count} pictures of {name}: {IGNORED[name]}" for name, count in sorted(ignored.items())]
    for part, prefix in ((TRAINING, "semiseg"), (TESTING, "semiseg_test")):
        images, masks = layout.unique(found[part, "imgs"]), layout.unique(found[part, "gt"])
        layout.check_pairs(images, masks, mask_of=_moved("GT"), image_of=_moved("Imgs"))
        for stem in sorted(images.keys() & masks.keys(), key=lambda stem: stem.zfill(3)):
            case, test = f"{prefix}_{stem.zfill(3)}", part == TESTING
            layout.add(images[stem], masks[stem], {"infection": [255]}, case=case, group="semiseg", test=test)
    return layout


def _moved(folder: str) -> Callable[[PurePosixPath], str]:
    return lambda path: str(path.parent.parent / folder / case_name(path))
