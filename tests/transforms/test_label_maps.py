"""The truth's own numbers become the network's."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import CropForegroundd

from pipeline.errors import DataError
from pipeline.transforms import MapLabelsd, StructureChannelsd, footprint

BOTH = {"lungs": [1, 2], "infection": [2]}
COMBINED = np.array([0, 1, 2, 3]).reshape(1, 4, 1, 1)


def volume(array, affine=None, **meta):
    affine = np.eye(4) if affine is None else affine
    meta = {"affine": torch.tensor(affine), "original_affine": affine, "spatial_shape": array.shape[1:], **meta}
    return MetaTensor(torch.tensor(array), meta={**meta, "filename_or_obj": "mask.nii.gz"})


def test_a_combined_mask_becomes_one_channel_for_each_structure():
    item = {"image": volume(COMBINED), "label": volume(COMBINED), "structures": {"lungs": [1, 2, 3], "infection": [3]}}
    item = MapLabelsd("label", BOTH)(item)
    assert "structures" not in item
    assert item["label"].flatten().tolist() == [0, 1, 1, 2]
    channels = StructureChannelsd("label", BOTH)(item)["label"]
    assert channels.shape == (2, 4, 1, 1)
    assert channels[:, :, 0, 0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]


def test_numbers_of_our_own_stay():
    item = MapLabelsd("label", {"RV": 1, "MYO": 2, "LV": 3})({"image": volume(COMBINED), "label": volume(COMBINED)})
    assert item["label"].flatten().tolist() == [0, 1, 2, 3]


LISTED = {"LV": [1], "MYO": [2], "RV": [3]}


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"RV": 1, "MYO": 2, "LV": 3}, [0, 3, 2, 1]),
        ({"LV": 1, "MYO": 2, "RV": 3}, [0, 1, 2, 3]),
        ({"RV": 1}, [0, 0, 0, 1]),
    ],
)
def test_structures_are_meant_by_their_names_where_the_list_tells_its_numbers(labels, expected):
    item = MapLabelsd("label", labels)({"image": volume(COMBINED), "label": volume(COMBINED), "listed": LISTED})
    assert item["label"].flatten().tolist() == expected
    assert "listed" not in item


def test_numbers_that_the_list_does_not_name_are_no_background():
    with pytest.raises(DataError, match=r"mask.nii.gz: expected only the listed labels \[0, 1\], found 2, 3"):
        MapLabelsd("label", {"LV": 1})({"image": volume(COMBINED), "label": volume(COMBINED), "listed": {"LV": [1]}})


def test_a_black_and_white_picture_shows_the_only_structure_whatever_its_number():
    white = np.array([0, 255, 255, 0]).reshape(1, 4, 1, 1)
    for told in ({}, {"listed": {"lesion": [1]}}):
        item = {"image": volume(COMBINED), "label": volume(white, has_geometry=False), **told}
        assert MapLabelsd("label", {"lesion": 1})(item)["label"].flatten().tolist() == [0, 1, 1, 0]


def test_a_picture_lies_on_its_image_s_grid():
    grid = np.diag([0.7, 0.7, 5.0, 1])
    item = {"image": volume(COMBINED, grid), "label": volume(COMBINED, has_geometry=False)}
    assert np.allclose(MapLabelsd("label", {"a": 1, "b": 2, "c": 3})(item)["label"].affine, grid)


def test_a_mask_of_another_shape_is_named():
    item = {"image": volume(COMBINED), "label": volume(COMBINED.reshape(1, 2, 2, 1))}
    with pytest.raises(
        DataError, match=r"mask.nii.gz: expected a mask of its image's shape 4 x 1 x 1, found 2 x 2 x 1"
    ):
        MapLabelsd("label", BOTH)(item)


def test_masks_against_the_order_of_their_slices_are_turned_round():
    stack = np.array([0, 1, 2, 3]).reshape(1, 1, 1, 4)
    item = {"image": volume(stack), "label": volume(stack), "reversed": True}
    item = MapLabelsd("label", {"a": 1, "b": 2, "c": 3})(item)
    assert item["label"].flatten().tolist() == [3, 2, 1, 0]
    assert "reversed" not in item


def test_a_footprint_is_where_any_slice_has_structures_and_everywhere_where_none_has():
    label = torch.zeros(1, 3, 2, 4)
    assert footprint(label, slices=2).shape == (1, 3, 2, 2)
    assert footprint(label, slices=2).all()
    label[0, 1, 0, 3], label[0, 2, 1, 0] = 2, 1
    assert footprint(label)[0, ..., 0].tolist() == [[False, False], [True, False], [False, True]]


def test_a_crop_around_a_footprint_finds_the_structures_of_other_slices():
    crop = CropForegroundd("image", "footprint", margin=1, allow_smaller=True, start_coord_key=None, end_coord_key=None)
    label = torch.zeros(1, 9, 8, 7)
    image = torch.arange(9 * 8).reshape(1, 9, 8, 1)
    assert crop({"image": image, "footprint": footprint(label)})["image"].shape == (1, 9, 8, 1)
    label[:, 4, 2:4, 5] = 2
    assert torch.equal(crop({"image": image, "footprint": footprint(label)})["image"], image[:, 3:6, 1:5])
