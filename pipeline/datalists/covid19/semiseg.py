"""COVID-SemiSeg: slices cropped to the lungs, 50 to train on and 48 to test on, with masks of the infection."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from pipeline.datalists.covid19.layout import PICTURES, Layout, Tree, suffix_of, unique, unpaired

NAME = "COVID-SemiSeg"
LOOKS_LIKE = "LungInfection-Train/Doctor-label/Imgs/ and GT/"
REFERENCE = "Fan et al., IEEE TMI 39(8), 2020, doi 10.1109/TMI.2020.2996645"
LICENCE = "non-commercial use only"

PICTURE = rf"(.+)({'|'.join(map(re.escape, PICTURES))})"
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
    layout = Layout(NAME)
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
        layout.left_out = [f"{len(found[TRAINING, 'imgs'])} slices: their masks are of infection only"]
        return layout
    layout.left_out = [f"{count} pictures of {name}: {IGNORED[name]}" for name, count in sorted(ignored.items())]
    for part, section, prefix in ((TRAINING, layout.training, "semiseg"), (TESTING, layout.testing, "semiseg_test")):
        images, doubled = unique(tree.root, found[part, "imgs"])
        masks, again = unique(tree.root, found[part, "gt"])
        layout.problems += doubled + again
        layout.problems += unpaired(tree, images, masks, mask_of=_moved("GT"), image_of=_moved("Imgs"))
        for stem in images.keys() & masks.keys():
            case = f"{prefix}_{stem.zfill(3)}"
            item = {"image": str(images[stem]), "label": str(masks[stem]), "structures": {"infection": [255]}}
            section.append(item | {"case": case, "patient": case, "group": "semiseg"})
        section.sort(key=lambda item: item["case"])
    return layout


def _moved(folder: str) -> Callable[[PurePosixPath], str]:
    return lambda path: str(PurePosixPath(path.parent.parent / folder / path.name.removesuffix(suffix_of(path))))
