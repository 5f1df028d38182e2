"""COVID-19-20: the MICCAI lung lesion challenge, 199 scans with masks of the lesions and 50 without."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath

from pipeline.datalists.covid19.layout import NIFTI, Layout, Tree, suffix_of, unique, unpaired

NAME = "COVID-19-20"
LOOKS_LIKE = "Train/volume-covid19-A-0003_ct.nii.gz and _seg.nii.gz"
REFERENCE = "Roth et al., Medical Image Analysis 82, 2022, doi 10.1016/j.media.2022.102605"
LICENCE = "see covid-segmentation.grand-challenge.org"


def recognise(tree: Tree, target: str) -> Layout | None:
    """Scans with masks; a folder without any mask (Validation) is "testing".

    In a folder that has masks every scan must have one. The group is covid-19-20; a mask marks lesions as 1.
    """
    folders: dict = defaultdict(lambda: {"ct": [], "seg": []})
    for path, hit in tree.match(rf"(volume-covid19-A-\d+)_(ct|seg){NIFTI}"):
        folders[path.parent][hit[2].lower()].append((hit[1], path))
    if not folders:
        return None
    layout = Layout(NAME)
    if target != "infection":
        count = sum(len(found["ct"]) for found in folders.values())
        layout.left_out = [f"{count} scans: their masks are of infection only"]
        return layout
    for found in folders.values():
        scans, doubled = unique(tree.root, found["ct"])
        masks, again = unique(tree.root, found["seg"])
        layout.problems += doubled + again
        if masks:
            layout.problems += unpaired(tree, scans, masks, mask_of=_renamed("_seg"), image_of=_renamed("_ct"))
        for case, scan in scans.items():
            item = {"image": str(scan), "case": case, "patient": case, "group": "covid-19-20"}
            if case in masks:
                layout.training.append(item | {"label": str(masks[case]), "structures": {"infection": [1]}})
            elif not masks:
                layout.testing.append(item)
    return layout


def _renamed(ending: str) -> Callable[[PurePosixPath], str]:
    return lambda path: path.name[: -len(suffix_of(path))].rpartition("_")[0] + ending + suffix_of(path)
