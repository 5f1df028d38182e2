"""COVID-19-CT-Seg: 20 scans of Coronacases and Radiopaedia with masks of the lungs and of the infection."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pipeline.datalists.covid19.layout import NIFTI, Layout, Tree, unique, unpaired
from pipeline.errors import Problem

NAME = "COVID-19-CT-Seg"
LOOKS_LIKE = "COVID-19-CT-Seg_20cases/ beside Infection_Mask/"
REFERENCE = "Ma et al., Medical Physics 48(3), 2021, doi 10.1002/mp.14676; data doi 10.5281/zenodo.3757476"
LICENCE = "CC BY-NC-SA"

IMAGES = "COVID-19-CT-Seg_20cases"
CASE = rf"(coronacases_\d+|radiopaedia_\d+_\d+_\d+){NIFTI}"
# In Lung_and_Infection_Mask infected lung has the number 3 alone, so 1 and 2 are not the whole of each lung there.
STRUCTURES = {
    "Infection_Mask": {"infection": [1]},
    "Lung_Mask": {"lungs": [1, 2], "left_lung": [1], "right_lung": [2]},
    "Lung_and_Infection_Mask": {"lungs": [1, 2, 3], "infection": [3]},
}
FOLDERS = {
    "infection": ("Infection_Mask", "Lung_and_Infection_Mask"),
    "lungs": ("Lung_Mask", "Lung_and_Infection_Mask"),
    "both": ("Lung_and_Infection_Mask",),
}


def recognise(tree: Tree, target: str) -> Layout | None:
    """The 20 cases, with the mask that tells the target: the special one, else the combined one.

    Groups are coronacases (Hounsfield units) and radiopaedia (0..255). Scans of one Radiopaedia case are of one
    patient: radiopaedia_10_85902_1 and _3, radiopaedia_29_86490_1 and radiopaedia_29_86491_1.
    """
    named = any(IMAGES.lower() in tree.folders(path) for path, _ in tree.match(CASE))
    found: dict[str, list[tuple[str, PurePosixPath]]] = {kind: [] for kind in (IMAGES, *STRUCTURES)}
    for path, hit in tree.match(CASE):
        folders = tree.folders(path)
        kind = next((name for name in STRUCTURES if name.lower() in folders), IMAGES)
        if kind != IMAGES or not named or IMAGES.lower() in folders:
            found[kind].append((hit[1], path))
    if not any(found.values()):
        return None
    files, problems = {}, []
    for kind, pairs in found.items():
        files[kind], doubled = unique(tree.root, pairs)
        problems += doubled
    images, masks = files.pop(IMAGES), files
    layout = Layout(NAME, problems=problems)
    if not images:
        remedy = "Give the folder that holds the images too"
        layout.problems += [Problem(str(tree.root), f"scans in {IMAGES}/", "only masks", remedy)]
    elif not any(masks.values()):
        expected = " or ".join(f"{folder}/" for folder in STRUCTURES)
        remedy = f"Give the folder that holds {IMAGES}/ and the masks' folders"
        layout.problems += [Problem(str(tree.root), f"{expected} beside the scans", "none", remedy)]
    elif not any(masks[folder] for folder in FOLDERS[target]):
        there = " and ".join(f"{folder}/" for folder, found in masks.items() if found)
        layout.left_out = [f"{len(images)} cases: {there} do not tell {_said(target)}"]
    else:
        _pair(layout, tree, target, images, masks)
    return layout


def _pair(
    layout: Layout,
    tree: Tree,
    target: str,
    images: dict[str, PurePosixPath],
    masks: dict[str, dict[str, PurePosixPath]],
) -> None:
    chosen = {case: (folder, path) for folder in reversed(FOLDERS[target]) for case, path in masks[folder].items()}
    first = next(folder for folder in FOLDERS[target] if masks[folder])
    layout.problems += unpaired(
        tree,
        images,
        {case: path for case, (_, path) in chosen.items()},
        mask_of=lambda path: f"{first}/{path.name}",
        image_of=lambda path: f"{IMAGES}/{path.name}",
    )
    for case, image in images.items():
        if case in chosen:
            folder, mask = chosen[case]
            source = case.partition("_")[0]
            layout.training.append(
                {
                    "image": str(image),
                    "label": str(mask),
                    "structures": STRUCTURES[folder],
                    "case": case,
                    "patient": re.match(r"radiopaedia_\d+", case)[0] if source == "radiopaedia" else case,
                    "group": source,
                }
            )


def _said(target: str) -> str:
    return "lungs and infection" if target == "both" else target
