"""MedSeg (medicalsegmentation.com): a stack of 100 slices of over 40 patients, and 9 scans of Radiopaedia."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from pipeline.datalists.covid19.layout import NIFTI, REMEDY, Layout, Tree, unique, unpaired
from pipeline.errors import Problem

NAME = "MedSeg"
LOOKS_LIKE = "tr_im.nii.gz and tr_mask.nii.gz, or rp_im/ and rp_msk/"
REFERENCE = "MedSeg, doi 10.6084/m9.figshare.13521488 and 10.6084/m9.figshare.13521509"
LICENCE = "CC0 1.0"

# Infection is ground glass and consolidation, as in Inf-Net (doi 10.1109/TMI.2020.2996645) and in MosMedData's masks;
# an effusion is fluid between lung and chest wall, not infected lung.
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
    stacks, doubled = unique(tree.root, ((hit[1].lower(), path) for path, hit in tree.match(wanted + NIFTI)))
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
    files, doubled = unique(tree.root, hits)
    layout.problems += doubled
    return files


def _stack(layout: Layout, tree: Tree, target: str, stacks: dict[str, PurePosixPath]) -> None:
    name, structures = STACK_MASKS[target]
    image, mask = stacks.get("tr_im"), stacks.get(name)
    if "val_im" in stacks:
        layout.testing += _slices("val_im", stacks["val_im"], _depth(layout, tree, stacks["val_im"]) or 0)
    if image and mask:
        depth, masks = _depth(layout, tree, image), _depth(layout, tree, mask)
        if depth and masks and depth != masks:
            expected = f"{depth} slices, as {image.name} has"
            layout.problems.append(Problem(str(tree.root / mask), expected, str(masks), REMEDY))
        items = _slices("tr_im", image, depth or 0)
        layout.training += [item | {"label": str(mask), "structures": structures} for item in items]
    elif image and target == "lungs":
        layout.left_out.append(f"{image.name}: no {name}.nii.gz, which tells lungs")
    elif image or mask:
        images, masks = ({0: path} if path else {} for path in (image, mask))
        layout.problems += unpaired(
            tree, images, masks, mask_of=lambda _: f"{name}.nii.gz", image_of=lambda _: "tr_im.nii.gz"
        )


def _depth(layout: Layout, tree: Tree, path: PurePosixPath) -> int | None:
    """The number of slices of a stack; what is none becomes a problem of the layout."""
    import nibabel as nib

    try:
        shape = nib.load(tree.root / path).shape
        found = f"{len(shape)} axes"
    except Exception as error:  # a damaged gzip or header raises one of a dozen types
        shape, found = (), f"unreadable ({type(error).__name__}: {error})"
    if len(shape) == 3:
        return shape[2]
    layout.problems.append(Problem(str(tree.root / path), "a NIfTI stack of slices, with 3 axes", found, REMEDY))
    return None


def _slices(prefix: str, path: PurePosixPath, depth: int) -> list[dict[str, Any]]:
    names = [f"{prefix}_{index:03d}" for index in range(depth)]
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
