"""Entropy by hand, and its map on the grid of the image's file."""

from __future__ import annotations

import math

import nibabel as nib
import numpy as np
import pytest
import torch
from image_files import acdc_like
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from pipeline.errors import DataError
from pipeline.transforms import Spacingd, TakeSliced
from pipeline.uncertainty import SaveEntropyd, entropy
from pipeline.volumes.readers import VolumeReader


def test_entropy_by_hand():
    alike, sure = [0.0, 0.0, 0.0, 0.0], [50.0, 0.0, 0.0, 0.0]
    half = [20.0, 20.0, -20.0, -20.0]
    logits = torch.tensor([alike, sure, half]).T.reshape(4, 3, 1, 1)
    assert torch.allclose(entropy(logits).flatten(), torch.tensor([1.0, 0.0, 0.5]), atol=1e-6)
    p = 0.8
    expected = -(p * math.log2(p) + (1 - p) * math.log2(1 - p))
    two = torch.tensor([math.log(p / (1 - p)), 40.0]).reshape(2, 1, 1, 1)
    assert float(entropy(two, sigmoid=True)) == pytest.approx(expected, abs=1e-6)


def test_the_map_lies_on_the_image_s_grid(tmp_path):
    voxels = np.zeros((20, 16, 3), np.int16)
    voxels[8:12, 4:9, 1] = 100
    image = acdc_like(tmp_path / "a.nii.gz", voxels)
    steps = [
        LoadImaged("image", reader=VolumeReader()),
        EnsureChannelFirstd("image"),
        Spacingd("image", pixdim=(0.75, 0.625, -1), mode="nearest"),
    ]
    data = Compose(steps)({"image": str(image), "case": "a"})
    bright = data["image"].as_tensor()
    data["pred"] = torch.cat([50 - bright, torch.zeros_like(bright) - 50 + bright])  # a tie at 50, sure at 0 and 100
    data["pred"][:, data["image"][0] > 0] = 0
    out = SaveEntropyd("pred", str(tmp_path / "out"))(data)
    assert out["maps"] == [str(tmp_path / "out" / "a_entropy.nii.gz")]
    written, like = nib.load(out["maps"][0]), nib.load(image)
    assert written.get_data_dtype() == np.float32
    assert np.array_equal(written.header["pixdim"], like.header["pixdim"])
    assert np.array_equal(written.affine, like.affine)
    values = written.get_fdata()
    assert values[9:11, 5:8, 1] == pytest.approx(1, abs=1e-5)
    assert values[..., 0] == pytest.approx(0, abs=1e-5)
    assert np.abs(values[voxels == 0]).mean() < 0.02
    with pytest.raises(DataError, match="exists"):
        SaveEntropyd("pred", str(tmp_path / "out"))(data)
    SaveEntropyd("pred", str(tmp_path / "out"), overwrite=True)(data)


def test_the_map_of_one_slice_of_a_stack_lies_where_the_slice_does(tmp_path):
    stack = acdc_like(tmp_path / "stack.nii.gz", np.zeros((6, 5, 4), np.int16))
    steps = [LoadImaged("image", reader=VolumeReader()), EnsureChannelFirstd("image"), TakeSliced("image")]
    data = Compose(steps)({"image": str(stack), "case": "third", "slice": 2})
    data["pred"] = torch.zeros(2, 6, 5, 1)
    written = nib.load(SaveEntropyd("pred", str(tmp_path))(data)["maps"][0])
    assert written.shape == (6, 5, 1)
    assert np.all(written.get_fdata() == 1)
    assert written.affine @ [0, 0, 0, 1] == pytest.approx(nib.load(stack).affine @ [0, 0, 2, 1])
