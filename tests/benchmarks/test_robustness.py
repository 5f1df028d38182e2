"""Perturbations: the truth moves as the image does, and what only changes intensities leaves it alone."""

import json

import nibabel as nib
import numpy as np
import pytest

from benchmarks.robustness import CATALOGUE, _write_cases

ENTRIES = json.loads(CATALOGUE.read_text(encoding="utf-8"))
MOVING = {
    "rotated_15",
    "rotated_60",
    "mirrored",
    "upside_down",
    "spacing_1",
    "spacing_2.5",
    "slice_missing",
    "every_other_slice",
}


@pytest.fixture
def item(tmp_path):
    """A bright bar in a grey box, and its mask."""
    mask = np.zeros((24, 20, 5), np.uint8)
    mask[4:18, 5:9, 1:4] = 1
    noise = np.random.default_rng(0).normal(0, 3, mask.shape)
    affine = np.diag([1.5, 1.5, 8, 1])
    nib.save(nib.Nifti1Image((200.0 * mask + 100 + noise).astype(np.float32), affine), tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image(mask, affine), tmp_path / "label.nii.gz")
    return {"case": "bar", "image": str(tmp_path / "image.nii.gz"), "label": str(tmp_path / "label.nii.gz")}


@pytest.mark.parametrize("name", ENTRIES)
def test_image_and_truth_stay_together(name, item, tmp_path):
    _write_cases([item], ENTRIES[name], tmp_path / name)
    image, label = (nib.load(tmp_path / name / kind / "bar.nii.gz") for kind in ("images", "labels"))
    assert image.shape == label.shape
    assert np.allclose(image.affine, label.affine)
    voxels, mask = image.get_fdata(), np.asarray(label.dataobj) == 1
    assert voxels[mask].mean() > voxels[~mask].mean() + 0.5 * voxels.std()  # the mask is still on the bar
    if name not in MOVING:
        assert np.array_equal(mask, np.asarray(nib.load(item["label"]).dataobj) == 1)
    if name != "none":
        before = nib.load(item["image"])
        assert image.shape != before.shape or not np.allclose(voxels, before.get_fdata())
