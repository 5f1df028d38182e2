"""MosMedData: scans of Moscow's hospitals by severity, 50 of 1110 with masks of the infection."""

from __future__ import annotations

from pipeline.datalists.covid19.layout import NIFTI, Layout, Tree, unique, unpaired

NAME = "MosMedData"
LOOKS_LIKE = "studies/CT-1/study_0255.nii.gz and masks/"
REFERENCE = "Morozov et al., Digital Diagnostics 1(1), 2020, doi 10.17816/DD46826"
LICENCE = "CC BY-NC-ND 3.0"


def recognise(tree: Tree, target: str) -> Layout | None:
    """Studies with masks; those without are "testing".

    The group is mosmed, and "severity" the folder that the study lies in (CT-0 to CT-4: none to over 75% of the lungs).
    A mask marks ground glass and consolidation, both as 1.
    """
    images, problems = unique(tree.root, ((hit[1], path) for path, hit in tree.match(rf"study_(\d+){NIFTI}")))
    masks, doubled = unique(tree.root, ((hit[1], path) for path, hit in tree.match(rf"study_(\d+)_mask{NIFTI}")))
    if not images and not masks:
        return None
    layout = Layout(NAME)
    if target != "infection":
        layout.left_out = [f"{len(images)} studies: their masks are of infection only"]
        return layout
    lonely = {number: path for number, path in masks.items() if number not in images}
    layout.problems = problems + doubled
    layout.problems += unpaired(tree, {}, lonely, mask_of=str, image_of=lambda p: p.name.replace("_mask", ""))
    for number, image in images.items():
        case = f"study_{number}"
        item = {"image": str(image), "case": case, "patient": case, "group": "mosmed"}
        if image.parent.name.upper().startswith("CT-"):
            item["severity"] = image.parent.name.upper()
        if number in masks:
            layout.training.append(item | {"label": str(masks[number]), "structures": {"infection": [1]}})
        else:
            layout.testing.append(item)
    return layout
