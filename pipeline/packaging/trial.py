"""One case made for a packed bundle, whose masks are known: what its transforms make of them must come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage, ResampleToMatch

from pipeline.packaging.loading import parser_of
from pipeline.structures import Labels, own_numbers, structure_masks

THICK_MM = 6.0  # spacing where the bundle leaves it as it is
SURE = 10.0  # logit


def make_case(folder: Path, scratch: Path) -> dict[str, Any]:
    """Write a case into `scratch`: a body in air, the bundle's structures as blocks side by side within it.

    The grid is the network's own, so that nothing is lost on the way.

    Returns:
        the case as a datalist has it; its files are NIfTI.
    """
    parser = parser_of(folder)
    labels, patch, channels = map(parser.get_parsed_content, ("labels", "patch_size", "in_channels"))
    spacing = parser.get_parsed_content("spacing") if "spacing" in parser else [1.0, 1.0, -1]
    shape = (*patch[:2], max(patch[2], 4))
    mm = [step if step > 0 else THICK_MM for step in spacing]
    affine = np.diag([-mm[0], -mm[1], mm[2], 1.0])  # as scanners store them: x to the left, y to the back
    affine[:3, 3] = 40.0, -25.0, 110.0
    truth = _blocks(shape, labels)
    noise = np.random.default_rng(0).normal(0, 20, shape)
    image = np.full(shape, -1000.0, np.float32)
    inner = tuple(slice(n // 8, n - n // 8) for n in shape[:2])
    image[inner] = (40 + 30 * truth + noise)[inner]
    paths = {name: str(scratch / f"{name}.nii.gz") for name in ("image", "label")}
    for path, content in zip(paths.values(), (image, truth), strict=True):
        nib.save(nib.Nifti1Image(content, affine), path)
    return paths | {"case": "trial"} | ({"image": [paths["image"]] * channels} if channels > 1 else {})


def round_trip(folder: Path, case: dict[str, Any], scratch: Path) -> list[str]:
    """Let the bundle read a case's image, give it logits that say the truth, and compare the mask that it writes.

    Returns:
        what is wrong, in words; nothing if all is well.
    """
    parser = parser_of(folder, output_dir=str(scratch / "masks"), overwrite=True, device="$torch.device('cpu')")
    labels = parser.get_parsed_content("labels")
    data = parser.get_parsed_content("preprocessing")(dict(case))
    truth = LoadImage(image_only=True, ensure_channel_first=True, dtype=np.uint8)(case["label"])
    data["pred"] = logits_of(truth, data["image"], labels, int(parser.get_parsed_content("out_channels")))
    written, label = nib.load(parser.get_parsed_content("postprocessing")(data)["mask"]), nib.load(case["label"])
    mask, wanted = np.asanyarray(written.dataobj), np.asanyarray(label.dataobj)
    faults = []
    if mask.dtype != np.uint8:
        faults.append(f"the mask is {mask.dtype}, not uint8")
    if mask.shape != wanted.shape or not np.allclose(written.affine, label.affine, atol=1e-5):
        faults.append("the mask lies on another grid than the image")
    elif not np.array_equal(mask, wanted):
        faults.append(f"{np.mean(mask != wanted):.2%} of the voxels came back with another label")
    return faults


def logits_of(truth: MetaTensor, image: MetaTensor, labels: Labels, channels: int) -> torch.Tensor:
    """Logits (channels, x, y, z) on a preprocessed image's grid that tell `truth` (1, x, y, z), which has its own."""
    found = ResampleToMatch(mode="nearest", padding_mode="zeros", dtype=torch.float64)(truth, image)[0].numpy()
    if channels > len(own_numbers(labels)):
        masks = np.stack([found == number for number in range(channels)])
    else:
        masks = structure_masks(found, labels)
    return torch.from_numpy(np.where(masks, SURE, -SURE).astype(np.float32))


def _blocks(shape: tuple[int, ...], labels: Labels) -> np.ndarray:
    truth = np.zeros(shape, np.uint8)
    numbers = list(own_numbers(labels).values())
    edges = np.linspace(shape[0] // 4, shape[0] - shape[0] // 4, len(numbers) + 1).astype(int)
    for number, start, stop in zip(numbers, edges, edges[1:], strict=False):
        truth[start:stop, shape[1] // 4 : shape[1] - shape[1] // 4, 1:-1] = number
    return truth
