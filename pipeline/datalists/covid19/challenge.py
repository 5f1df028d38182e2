"""COVID-19-20: the MICCAI lung lesion challenge, 199 scans with masks of the lesions and 50 without."""

from __future__ import annotations

from collections import defaultdict

from pipeline.datalists.covid19.layout import INFECTION_ONLY, NIFTI, Layout, Tree

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
    layout = Layout(NAME, tree)
    if target != "infection":
        layout.left_out = [f"{sum(len(found['ct']) for found in folders.values())} scans: {INFECTION_ONLY}"]
        return layout
    for found in folders.values():
        scans, masks = layout.unique(found["ct"]), layout.unique(found["seg"])
        if masks:
            layout.check_pairs(
                scans,
                masks,
                mask_of=lambda path: path.name.replace("_ct.", "_seg."),
                image_of=lambda path: path.name.replace("_seg.", "_ct."),
            )
        for case, scan in scans.items():
            if case in masks or not masks:
                layout.add(scan, masks.get(case), {"infection": [1]}, case=case, group="covid-19-20")
    return layout
