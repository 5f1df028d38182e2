"""MedSeg (medicalsegmentation.com): a stack of 100 slices of over 40 patients, and 9 scans of Radiopaedia."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from pipeline.datalists.covid19.layout import NIFTI, REMEDY, Layout, Tree, unique, unpaired
from pipeline.errors import Problem

NAME = "MedSeg"
LOOKS_LIKE = "tr_im.nii.gz with tr_mask.nii.gz, or rp_im/1.nii.gz with rp_msk/1.nii.gz"
REFERENCE = "MedSeg, doi 10.6084/m9.figshare.13521488 and 10.6084/m9.figshare.13521509"
LICENCE = "CC0 1.0"

# Infection is ground glass and consolidation. An effusion (3) is fluid between lung and chest wall, not infected lung:
# Inf-Net (doi 10.1109/TMI.2020.2996645) drops it as background, and MosMedData and COVID-19-20 do not draw it.
LESIONS = {"infection": [1, 2], "ground_glass": [1], "consolidation": [2], "effusion": [3]}
LUNGS = {"lungs": [1, 2]}
STACK_MASKS = {"infection": ("tr_mask", LESIONS), "lungs": ("tr_lungmasks_updated", LUNGS)}
SCAN_MASKS = {"infection": ("rp_msk", LESIONS), "lungs": ("rp_lung_msk", LUNGS)}


def recognise(tree: Tree, target: str) -> Layout | None:
    """One item for each slice of the stack tr_im (group medseg_slices) and for each scan of rp_im (group medseg).

    The ten slices of val_im have no masks and are "testing". No file has both lungs and infection.
    """
    layout = Layout(NAME)
    wanted = r"(tr_im|val_im|tr_mask|tr_lungmasks_updated)"
    stacks, doubled = unique(tree, ((hit[1].lower(), path) for path, hit in tree.match(wanted + NIFTI)))
    scans = {folder: _numbered(tree, folder, layout) for folder in ("rp_im", "rp_msk", "rp_lung_msk")}
    if not stacks and not any(scans.values()):
        return None
    layout.problems += doubled
    if target == "both":
        layout.left_out = ["lungs and infection are not drawn in one file"]
        return layout
    _stack(layout, tree, target, stacks)
    _scans(layout, tree, target, scans)
    return layout


def _numbered(tree: Tree, folder: str, layout: Layout) -> dict[int, PurePosixPath]:
    hits = ((int(hit[1]), path) for path, hit in tree.match(rf"(\d+){NIFTI}") if tree.folders(path)[-1] == folder)
    files, doubled = unique(tree, hits)
    layout.problems += doubled
    return files


def _stack(layout: Layout, tree: Tree, target: str, stacks: dict[str, PurePosixPath]) -> None:
    name, structures = STACK_MASKS[target]
    image, mask = stacks.get("tr_im"), stacks.get(name)
    if "val_im" in stacks:
        layout.testing += _slices(layout, tree, "val_im", stacks["val_im"])
    if image and not mask and target == "lungs":
        layout.left_out.append(f"{image.name}: no {name}.nii.gz, which tells lungs")
    elif image and mask:
        items = _slices(layout, tree, "tr_im", image)
        if items and len(items) == len(_slices(layout, tree, name, mask)):
            layout.training += [item | {"label": str(mask), "structures": structures} for item in items]
        elif items and not layout.problems:
            problem = Problem(
                str(tree.root / mask), f"{len(items)} slices as in {image.name}", "another number", REMEDY
            )
            layout.problems.append(problem)
    else:
        images, masks = ({0: path} if path else {} for path in (image, mask))
        layout.problems += unpaired(tree, images, masks, mask_of=lambda _: f"{name}.nii.gz", image_of=_tr_im)


def _slices(layout: Layout, tree: Tree, prefix: str, path: PurePosixPath) -> list[dict[str, Any]]:
    """One item for each slice along the third axis; an unreadable file is a problem of the layout."""
    import nibabel as nib

    try:
        shape = nib.load(tree.root / path).shape
    except Exception as error:  # a damaged gzip or header raises one of a dozen types
        reason = f"unreadable ({type(error).__name__}: {error})"
        layout.problems.append(Problem(str(tree.root / path), "a NIfTI stack of slices", reason, REMEDY))
        return []
    if len(shape) != 3:
        found = f"{len(shape)} axes"
        layout.problems.append(Problem(str(tree.root / path), "a NIfTI stack of slices, 3 axes", found, REMEDY))
        return []
    names = [f"{prefix}_{index:03d}" for index in range(shape[2])]
    return [
        {"image": str(path), "slice": index, "case": name, "patient": name, "group": "medseg_slices"}
        for index, name in enumerate(names)
    ]


def _scans(layout: Layout, tree: Tree, target: str, scans: dict[str, dict[int, PurePosixPath]]) -> None:
    folder, structures = SCAN_MASKS[target]
    images, masks = scans["rp_im"], scans[folder]
    if images and not masks and target == "lungs":
        layout.left_out.append(f"{len(images)} scans of rp_im: no {folder}/, which tells lungs")
        return
    layout.problems += unpaired(
        tree,
        images,
        masks,
        mask_of=lambda path: f"{folder}/{path.name}",
        image_of=lambda path: f"rp_im/{path.name}",
    )
    for number in sorted(images.keys() & masks.keys()):
        case = f"rp_im_{number}"
        item = {"image": str(images[number]), "label": str(masks[number]), "structures": structures}
        layout.training.append(item | {"case": case, "patient": case, "group": "medseg"})


def _tr_im(_: PurePosixPath) -> str:
    return "tr_im.nii.gz"
