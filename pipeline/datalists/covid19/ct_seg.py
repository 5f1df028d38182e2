"""COVID-19-CT-Seg: 20 scans of Coronacases and Radiopaedia with masks of the lungs and of the infection."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pipeline.datalists.covid19.layout import NIFTI, Files, Layout, Tree

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
    layout = Layout(NAME, tree)
    masks = {kind: layout.unique(pairs) for kind, pairs in found.items()}
    images = masks.pop(IMAGES)
    here = PurePosixPath()
    if not images:
        layout.fault(here, f"scans in {IMAGES}/", "only masks", "Give the folder that holds the images too")
    elif not any(masks.values()):
        expected = " or ".join(f"{folder}/" for folder in STRUCTURES) + " beside the scans"
        layout.fault(here, expected, "none", f"Give the folder that holds {IMAGES}/ and the masks' folders")
    elif not any(masks[folder] for folder in FOLDERS[target]):
        there = " and ".join(f"{folder}/" for folder, paths in masks.items() if paths)
        wanted = "lungs and infection" if target == "both" else target
        layout.left_out = [f"{len(images)} cases: {there} do not tell {wanted}"]
    else:
        _pair(layout, FOLDERS[target], images, masks)
    return layout


def _pair(layout: Layout, folders: tuple[str, ...], images: Files, masks: dict[str, Files]) -> None:
    """Each case with the mask in the first of the folders that has one."""
    folder_of = {case: folder for folder in reversed(folders) for case in masks[folder]}
    chosen = {case: masks[folder][case] for case, folder in folder_of.items()}
    first = next(folder for folder in folders if masks[folder])
    layout.check_pairs(
        images, chosen, mask_of=lambda path: f"{first}/{path.name}", image_of=lambda path: f"{IMAGES}/{path.name}"
    )
    for case in [case for case in images if case in chosen]:
        source = case.partition("_")[0]
        patient = re.match(r"radiopaedia_\d+", case)[0] if source == "radiopaedia" else case
        structures = STRUCTURES[folder_of[case]]
        layout.add(images[case], chosen[case], structures, case=case, patient=patient, group=source)
