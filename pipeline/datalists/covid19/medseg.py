"""MedSeg (medicalsegmentation.com): a stack of 100 slices of over 40 patients, and 9 scans of Radiopaedia."""

from __future__ import annotations

from pathlib import PurePosixPath

from pipeline.datalists.covid19.layout import NIFTI, Files, Layout, Tree

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
    layout = Layout(NAME, tree)
    wanted = r"(tr_im|val_im|tr_mask|tr_lungmasks_updated)"
    stacks = layout.unique((hit[1].lower(), path) for path, hit in tree.match(wanted + NIFTI))
    numbered = [(path, int(hit[1])) for path, hit in tree.match(rf"(\d+){NIFTI}")]
    scans = {
        folder: layout.unique((number, path) for path, number in numbered if tree.folders(path)[-1] == folder)
        for folder in ("rp_im", "rp_msk", "rp_lung_msk")
    }
    if not stacks and not any(scans.values()):
        return None
    if target == "both":
        layout.left_out = ["lungs and infection are not drawn in one file"]
        return layout
    _stack(layout, target, stacks)
    _scans(layout, target, scans)
    return layout


def _stack(layout: Layout, target: str, stacks: Files) -> None:
    name, structures = STACK_MASKS[target]
    image, mask = stacks.get("tr_im"), stacks.get(name)
    if "val_im" in stacks:
        _add_slices(layout, "val_im", stacks["val_im"], None, {}, depth=_depth(layout, stacks["val_im"]))
    if image and mask:
        depth, masks = _depth(layout, image), _depth(layout, mask)
        if depth and masks and depth != masks:
            layout.fault(mask, f"{depth} slices, as {image.name} has", str(masks))
        _add_slices(layout, "tr_im", image, mask, structures, depth=depth)
    elif image and target == "lungs":
        layout.left_out.append(f"{image.name}: no {name}.nii.gz, which tells lungs")
    elif image:
        layout.fault(image, f"its mask {name}.nii.gz", "no such file")
    elif mask:
        layout.fault(mask, "its image tr_im.nii.gz", "no such file")


def _depth(layout: Layout, path: PurePosixPath) -> int:
    """The number of slices of a stack; what is none becomes a problem of the layout, and has 0."""
    import nibabel as nib

    try:
        shape = nib.load(layout.tree.root / path).shape
        found = f"{len(shape)} axes"
    except Exception as error:  # a damaged gzip or header raises one of a dozen types
        shape, found = (), f"unreadable ({type(error).__name__}: {error})"
    if len(shape) == 3:
        return shape[2]
    layout.fault(path, "a NIfTI stack of slices, with 3 axes", found)
    return 0


def _add_slices(
    layout: Layout,
    prefix: str,
    image: PurePosixPath,
    mask: PurePosixPath | None,
    structures: dict[str, list[int]],
    *,
    depth: int,
) -> None:
    for index in range(depth):
        layout.add(image, mask, structures, case=f"{prefix}_{index:03d}", group="medseg_slices", slice=index)


def _scans(layout: Layout, target: str, scans: dict[str, Files]) -> None:
    folder, structures = SCAN_MASKS[target]
    images, masks = scans["rp_im"], scans[folder]
    if images and not masks and target == "lungs":
        layout.left_out.append(f"{len(images)} scans of rp_im: no {folder}/, which tells lungs")
        return
    layout.check_pairs(
        images, masks, mask_of=lambda path: f"{folder}/{path.name}", image_of=lambda path: f"rp_im/{path.name}"
    )
    for number in sorted(images.keys() & masks.keys()):
        layout.add(images[number], masks[number], structures, case=f"rp_im_{number}", group="medseg")
