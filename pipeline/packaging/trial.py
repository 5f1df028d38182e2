"""One case made for a packed bundle, whose masks are known: what its transforms make of them must come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.packaging.loading import parser_of
from pipeline.structures import Labels, own_numbers, structure_masks

THICK_MM = 6.0  # spacing where the bundle leaves it as it is
SURE = 10.0  # logit


@dataclass(frozen=True)
class TrialCase:
    """An image whose grid is the network's own, so that nothing is lost on the way, and its label map.

    Args:
        image, label: NIfTI files.
        truth: what the label file holds.
    """

    image: Path
    label: Path
    truth: np.ndarray

    def item(self) -> dict[str, Any]:
        """As a datalist has it."""
        return {"image": str(self.image), "label": str(self.label), "case": "trial"}


def make_case(folder: Path, scratch: Path) -> TrialCase:
    """Write a case into `scratch`: a body in air, the bundle's structures as blocks side by side within it."""
    import nibabel as nib

    parser = parser_of(folder)
    labels, patch, channels = (parser.get_parsed_content(key) for key in ("labels", "patch_size", "in_channels"))
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
    paths = []
    for name, content in (("image", image), ("label", truth)):
        paths.append(scratch / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(content, affine), paths[-1])
    if channels > 1:
        paths[0] = [str(paths[0])] * channels
    return TrialCase(*paths, truth)


def round_trip(folder: Path, case: TrialCase, scratch: Path) -> list[str]:
    """Let the bundle read the image, give it logits that say the truth, and compare the mask that it writes.

    Returns:
        what is wrong, in words; nothing if all is well.
    """
    import nibabel as nib

    parser = parser_of(folder, output_dir=str(scratch / "masks"), overwrite=True, device="$torch.device('cpu')")
    labels = parser.get_parsed_content("labels")
    data = parser.get_parsed_content("preprocessing")(case.item())
    data["pred"] = logits_of(case.truth, data["image"], labels, int(parser.get_parsed_content("out_channels")))
    written = nib.load(parser.get_parsed_content("postprocessing")(data)["mask"])
    image = nib.load(case.item()["image"])
    mask = np.asanyarray(written.dataobj)
    faults = []
    if mask.dtype != np.uint8:
        faults.append(f"the mask is {mask.dtype}, not uint8")
    if mask.shape != image.shape or not np.allclose(written.affine, image.affine, atol=1e-5):
        faults.append("the mask lies on another grid than the image")
    elif not np.array_equal(mask, case.truth):
        faults.append(f"{np.mean(mask != case.truth):.2%} of the voxels came back with another label")
    return faults


def logits_of(truth: np.ndarray, image: Any, labels: Labels, channels: int) -> torch.Tensor:
    """Logits (channels, x, y, z) on a preprocessed image's grid that tell `truth`, which lies on its original one."""
    working = np.asarray(image.affine, float)
    original = np.asarray(image.meta["original_affine"], float)
    to_original = np.linalg.inv(original) @ working
    voxels = np.indices(tuple(image.shape[1:])).reshape(3, -1)
    places = np.rint(to_original[:3, :3] @ voxels + to_original[:3, 3:]).astype(int)
    inside = np.all((places >= 0) & (places < np.array(truth.shape)[:, None]), axis=0)
    found = np.zeros(voxels.shape[1], truth.dtype)
    found[inside] = truth[tuple(places[:, inside])]
    found = found.reshape(tuple(image.shape[1:]))
    if channels > len(own_numbers(labels)):
        masks = np.stack([found == number for number in range(channels)])
    else:
        masks = structure_masks(found, labels)
    return torch.from_numpy(np.where(masks, SURE, -SURE).astype(np.float32))


def _blocks(shape: tuple[int, ...], labels: Mapping[str, Any]) -> np.ndarray:
    truth = np.zeros(shape, np.uint8)
    numbers = list(own_numbers(labels).values())
    edges = np.linspace(shape[0] // 4, shape[0] - shape[0] // 4, len(numbers) + 1).astype(int)
    for number, start, stop in zip(numbers, edges, edges[1:], strict=False):
        truth[start:stop, shape[1] // 4 : shape[1] - shape[1] // 4, 1:-1] = number
    return truth
