"""Components numbered by size, against SciPy's labels, and written beside the mask on its image's grid."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_files import acdc_like
from monai.data import MetaTensor
from PIL import Image
from scipy import ndimage

from pipeline.errors import DataError
from pipeline.segmentation.instances import SaveInstancesd, number_components
from pipeline.volumes import affine, read_image

LABELS = {"background": 0, "lungs": [1, 2], "infection": [2]}


def test_largest_first_and_one_structure_after_the_other() -> None:
    mask = np.zeros((6, 5, 2), np.uint8)
    mask[0, 0, 0] = 1
    mask[2:4, 2:4, :] = 1
    mask[5, 0:2, 0] = 2
    found = number_components(mask, {"a": 1, "b": 2})
    assert found.dtype == np.uint16
    assert (found[2, 2, 0], found[0, 0, 0], found[5, 1, 0]) == (1, 2, 3)
    assert (np.bincount(found.ravel())[1:] == [8, 1, 2]).all()


def test_overlapping_structures() -> None:
    mask = np.array([1, 2, 1, 0, 1], np.uint8).reshape(5, 1, 1)
    assert number_components(mask, {"lungs": [1, 2]}).ravel().tolist() == [1, 1, 1, 0, 2]
    assert number_components(mask, LABELS).ravel().tolist() == [1, 3, 1, 0, 2]
    assert number_components(mask, {"infection": [2], "lungs": [1, 2]}).ravel().tolist() == [1, 3, 1, 0, 2]


def test_corners_join() -> None:
    mask = np.zeros((2, 2, 2), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = 1
    assert number_components(mask, {"a": 1}).max() == 1
    flat = np.zeros((2, 2, 1), np.uint8)
    flat[0, 0] = flat[1, 1] = 1
    assert number_components(flat, {"a": 1}).max() == 1


@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 3), elements=st.integers(0, 2)))
@example(np.array([[[1, 0, 1]]], np.uint8))
@settings(max_examples=40, deadline=None)
def test_the_same_components_as_scipy_s(mask: np.ndarray) -> None:
    found = number_components(mask, {"a": 1, "b": 2})
    offset = 0
    for number in (1, 2):
        expected, count = ndimage.label(mask == number, structure=np.ones((3, 3, 3)))
        mine = found[mask == number]
        assert sorted(set(mine.tolist())) == list(range(offset + 1, offset + count + 1))
        assert len(set(zip(mine.tolist(), expected[mask == number].tolist(), strict=True))) == count
        sizes = np.bincount(found.ravel(), minlength=offset + count + 1)[offset + 1 : offset + count + 1]
        assert (np.diff(sizes) <= 0).all()
        offset += count
    assert not found[mask == 0].any()


def test_empty_and_too_many() -> None:
    assert not number_components(np.zeros((3, 3, 3), np.uint8), {"a": 1}).any()
    crowd = np.zeros((514, 514, 1), np.uint8)
    crowd[::2, ::2] = 1  # 257 x 257 = 66049 single voxels
    with pytest.raises(ValueError, match="more than 65535 components"):
        number_components(crowd, {"a": 1})


def item(image: Path, mask: np.ndarray, **more) -> dict:
    reference = MetaTensor(torch.zeros(1, *mask.shape), meta={"filename_or_obj": str(image)})
    return {"image": reference, "pred": torch.from_numpy(mask)[None], "case": "a", **more}


def test_written_on_the_image_s_grid(tmp_path: Path) -> None:
    mask = np.zeros((5, 4, 3), np.uint8)
    mask[0, 0], mask[4, 3, 2] = 1, 1
    image = acdc_like(tmp_path / "a.nii.gz", np.zeros(mask.shape, np.int16))
    save = SaveInstancesd("pred", str(tmp_path / "out"), {"lesion": 1})
    path = Path(save(item(image, mask))["instances"])
    assert path == tmp_path / "out" / "a_instances.nii.gz"
    assert nib.load(path).get_data_dtype() == np.uint16
    assert np.array_equal(affine(path), affine(image))
    assert np.array_equal(read_image(path), np.where(mask == 1, [[[1]] * 4] * 4 + [[[2]] * 4], 0))
    with pytest.raises(DataError, match="one that exists"):
        save(item(image, mask))
    one = SaveInstancesd("pred", str(tmp_path / "one"), {"lesion": 1})(item(image, mask[:, :, :1], slice=2))
    assert nib.load(one["instances"]).shape == (5, 4, 1)
    assert nib.load(one["instances"]).affine[2, 3] == nib.load(image).affine[2, 2] * 2


def test_of_a_picture(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.jpg")
    mask = np.zeros((5, 4, 1), np.uint8)
    mask[::2, ::2] = 1
    path = SaveInstancesd("pred", str(tmp_path / "out"), {"lesion": 1})(item(tmp_path / "a.jpg", mask))["instances"]
    assert Path(path).name == "a_instances.png"
    with Image.open(path) as picture:
        assert picture.mode == "I;16"
        assert np.asarray(picture).max() == 6
