"""MosMedData: scans of Moscow's hospitals by severity, 50 of 1110 with masks of the infection."""

from __future__ import annotations

from pipeline.datalists.covid19.layout import INFECTION_ONLY, NIFTI, Layout, Tree

NAME = "MosMedData"
LOOKS_LIKE = "studies/CT-1/study_0255.nii.gz and masks/"
REFERENCE = "Morozov et al., Digital Diagnostics 1(1), 2020, doi 10.17816/DD46826"
LICENCE = "CC BY-NC-ND 3.0"


def recognise(tree: Tree, target: str) -> Layout | None:
    """Studies with masks; those without are "testing".

    The group is mosmed, and "severity" the folder that the study lies in (CT-0 to CT-4: none to over 75% of the lungs).
    A mask marks ground glass and consolidation, both as 1.
    """
    layout = Layout(NAME, tree)
    images = layout.unique((hit[1], path) for path, hit in tree.match(rf"study_(\d+){NIFTI}"))
    masks = layout.unique((hit[1], path) for path, hit in tree.match(rf"study_(\d+)_mask{NIFTI}"))
    if not images and not masks:
        return None
    if target != "infection":
        return Layout(NAME, tree, left_out=[f"{len(images)} studies: {INFECTION_ONLY}"])
    lonely = {number: path for number, path in masks.items() if number not in images}
    layout.check_pairs({}, lonely, mask_of=str, image_of=lambda path: path.name.replace("_mask", ""))
    for number, image in images.items():
        grade = image.parent.name.upper()
        more = {"severity": grade} if grade.startswith("CT-") else {}
        layout.add(image, masks.get(number), {"infection": [1]}, case=f"study_{number}", group="mosmed", **more)
    return layout
