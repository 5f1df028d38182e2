"""Grids: what is moved or resampled for the network comes back to the voxels it came from."""

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import oblique_affine
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from monai.transforms import Spacingd as MonaiSpacingd
from scipy.ndimage import map_coordinates

from pipeline.errors import DataError
from pipeline.transforms import RestoreGridd, SaveMaskd, SliceAxisLastd, Spacingd, TakeSliced, labels_on_grid


def image(array, affine, name="x.nii.gz"):
    affine = torch.as_tensor(affine, dtype=torch.float64)
    shape = np.asarray(array.shape[1:])
    meta = {"affine": affine, "original_affine": affine.numpy().copy(), "spatial_shape": shape, "filename_or_obj": name}
    return MetaTensor(torch.as_tensor(array, dtype=torch.float32), meta=meta)


def test_spacingd_leaves_the_neighbours_of_its_key_alone():
    data = {"image": image(np.ones((1, 4, 4, 3)), np.diag([2, 2, 8, 1])), "image_path": "somewhere", "image_id": 7}
    out = Spacingd("image", (1.0, 1.0, -1.0))(data)
    assert out["image_path"] == "somewhere"
    assert out["image"].shape == (1, 7, 7, 3)


SPACING = st.integers(4, 120).map(lambda tenths: tenths / 10)  # MONAI leaves a change below its tolerance undone


@given(
    shape=st.tuples(st.integers(1, 2), *[st.integers(2, 12)] * 2, st.integers(1, 12)),
    old=st.tuples(SPACING, SPACING, SPACING),
    new=st.tuples(SPACING, SPACING, st.one_of(SPACING, st.just(-1.0))),
    mirrored=st.sampled_from([1, -1]),
)
@settings(max_examples=40, deadline=None)
def test_spacingd_gives_what_monais_own_gives(shape, old, new, mirrored):
    affine = np.array([[0, -mirrored, 0, 5], [1, 0, 0, -9], [0, 0, -1, 2], [0, 0, 0, 1]]) @ np.diag([*old, 1])
    picture = image(np.random.default_rng(0).normal(size=shape), affine)
    ours, monais = (
        cls("image", new, mode="bilinear")({"image": picture})["image"] for cls in (Spacingd, MonaiSpacingd)
    )
    assert torch.allclose(ours.as_tensor(), monais.as_tensor(), atol=1e-4)
    assert torch.allclose(ours.affine, monais.affine, atol=1e-9)
    assert ours.meta.keys() == monais.meta.keys()


def test_spacingd_takes_plain_tensors_as_monais_own_does():
    plain = torch.randn(1, 6, 5, 4)
    with pytest.warns(UserWarning, match="assuming affine to be identity"):
        ours, monais = (cls("image", (0.5, 1.0, 2.0))({"image": plain})["image"] for cls in (Spacingd, MonaiSpacingd))
    assert torch.allclose(torch.as_tensor(ours), torch.as_tensor(monais))


def test_labels_are_taken_where_they_are_nearest():
    labels = np.arange(24).reshape(1, 6, 4, 1)
    picture = image(labels, np.diag([1.0, 2, 8, 1]))
    out = Spacingd("image", (1.6, 1.0, -1.0), mode="nearest")({"image": picture})["image"]
    rows = [0, 2, 3, 5]  # 0, 1.6, 3.2, 4.8
    columns = [0, 0, 1, 2, 2, 2, 3]  # 0, 0.5, 1, 1.5, 2, 2.5, 3: halves go to the even one
    assert np.array_equal(out.numpy()[0, :, :, 0], labels[0, :, :, 0][np.ix_(rows, columns)])


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_the_last_bits_of_an_oblique_affine_change_nothing(mode):
    """MONAI's own puts the first voxel of one of these elsewhere than of the other."""
    affine = oblique_affine((1.5, 1.25, 8.0))
    voxels = np.random.default_rng(0).normal(size=(1, 20, 18, 4))
    rounded = affine.astype(np.float32).astype(np.float64)
    spacing = Spacingd("image", (1.6, 1.6, -1), mode=mode)
    one, other = (spacing({"image": image(voxels, near)})["image"] for near in (affine, rounded))
    assert torch.allclose(one.as_tensor(), other.as_tensor(), atol=1e-4)
    assert torch.allclose(one.affine[:3, 3], torch.as_tensor(affine[:3, 3]))


def test_spacingd_is_undone_as_monais_is():
    picture = image(np.random.default_rng(0).normal(size=(1, 9, 8, 4)), np.diag([2, 2, 8, 1]))
    spacing = Spacingd("image", (1.5, 1.0, -1.0))
    back = spacing.inverse(spacing({"image": picture}))["image"]
    assert back.shape == picture.shape
    assert torch.allclose(back.affine, picture.affine)


def test_the_thick_axis_moves_to_the_end():
    x = np.arange(2 * 3 * 4).reshape(1, 2, 3, 4)
    out = SliceAxisLastd("image")({"image": image(x, np.diag([8, 1.5, 1.5, 1]))})["image"]
    assert out.shape == (1, 3, 4, 2)
    assert np.array_equal(out[0, :, :, 1], x[0, 1])
    assert np.allclose(out.affine[:3, :3].norm(dim=0), [1.5, 1.5, 8])
    corner = out.affine @ torch.tensor([2, 3, 1, 1.0], dtype=torch.float64)
    assert np.allclose(corner[:3], [8 * 1, 1.5 * 2, 1.5 * 3])


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1.5, 1.5, 8), (1.2, 1, 1)])
def test_volumes_with_slices_last_or_no_thick_axis_stay(spacing):
    data = {"image": image(np.ones((1, 3, 4, 5)), np.diag([*spacing, 1]))}
    assert SliceAxisLastd("image")(data)["image"] is data["image"]


@pytest.mark.parametrize("axes", ["LAS", "PSR", "SRA", "ARI", "ASL", "RSP"])
@pytest.mark.parametrize("spacing", [(0.8, 0.8, 1.0), (0.98, 0.98, 0.6)])
def test_ct_is_seen_slice_by_slice_whatever_order_its_axes_are_stored_in(axes, spacing):
    voxels = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)  # towards the right, the front, the head
    stored = nib.Nifti1Image(voxels, np.diag([*spacing, 1]))
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes))
    stored = stored.as_reoriented(turn)
    given = image(stored.get_fdata(dtype=np.float32)[None].copy(), stored.affine)
    out = SliceAxisLastd("image", axial=True)({"image": given})["image"]
    assert out.shape == (1, 5, 4, 3)
    back = nib.as_closest_canonical(nib.Nifti1Image(out.numpy()[0], out.affine.numpy()))
    assert np.array_equal(back.get_fdata(), voxels)
    assert np.allclose(back.affine, np.diag([*spacing, 1]))
    logits = torch.stack([30.5 - out.as_tensor()[0], out.as_tensor()[0] - 30.5])
    item = {"pred": logits, "image": out}
    assert np.array_equal(RestoreGridd("pred")(item)["pred"].numpy()[0], stored.get_fdata() > 30.5)


def test_a_thick_axis_lies_across_the_slices_also_in_ct():
    coronal = image(np.ones((1, 5, 4, 3)), np.diag([1, 6, 1, 1]))
    assert SliceAxisLastd("image", axial=True)({"image": coronal})["image"].shape == (1, 5, 3, 4)


def test_a_single_thin_slice_stays_a_slice():
    data = {"image": image(np.ones((1, 5, 4, 1)), np.diag([1.5, 1.5, 0.8, 1]))}
    assert SliceAxisLastd("image")(data)["image"].shape == (1, 5, 4, 1)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(1, 5)),
    working=st.tuples(st.integers(2, 11), st.integers(2, 11), st.integers(1, 6)),
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    background=st.sampled_from([0.0, 2.0, 9.0]),
    seed=st.integers(0, 1000),
)
def test_labels_equal_brute_force_interpolation_in_millimetres(shape, working, order, flips, background, seed):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(3, *working)).astype(np.float32)
    logits[0] += background  # 2: a few voxels of structures, whose box alone is looked at; 9: none
    original = np.eye(4)
    original[:3, :3] = np.diag(generator.uniform(0.5, 2, 3)) @ np.eye(3)[list(order)] * np.array(flips)
    original[:3, 3] = generator.uniform(-2, 2, 3)
    working_affine = np.diag([*generator.uniform(0.5, 2, 3), 1])
    working_affine[:3, 3] = generator.uniform(-2, 2, 3)
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(3, -1)
    mm = original @ np.vstack([voxels, np.ones(voxels.shape[1])])
    places = (np.linalg.inv(working_affine) @ mm)[:3]
    values = np.stack([map_coordinates(c, places, order=1, mode="nearest") for c in logits])
    top = np.sort(values, axis=0)
    clear = top[-1] - top[-2] > 1e-4
    found = labels_on_grid(
        torch.from_numpy(logits), torch.from_numpy(working_affine), torch.from_numpy(original), shape, slab=7
    )
    assert found.dtype == torch.uint8
    far = ((places < -1) | (places > np.array(working)[:, None])).any(axis=0)
    wanted = np.where(far, 0, values.argmax(axis=0))
    assert np.array_equal(found.numpy().reshape(-1)[clear], wanted[clear])


def test_each_channel_is_a_structure_of_its_own_and_later_ones_are_painted_over():
    logits = torch.tensor([[-1.0, 1, 1, 0.1], [-1.0, -1, 2, -0.1]]).reshape(2, 4, 1, 1)
    eye = torch.eye(4, dtype=torch.float64)
    assert labels_on_grid(logits, eye, eye, (4, 1, 1), numbers=[1, 2]).flatten().tolist() == [0, 1, 2, 1]
    with pytest.raises(ValueError, match="2 channels of logits for 3 structures"):
        labels_on_grid(logits, eye, eye, (4, 1, 1), numbers=[1, 2, 3])


def test_what_holds_another_structure_is_painted_before_it_however_they_are_listed():
    x = torch.tensor([[1.0, -1, -1], [1.0, 1, -1]]).reshape(2, 3, 1, 1)
    item = {"image": image(np.zeros((1, 3, 1, 1)), np.eye(4))}
    for labels, logits in (({"tumour": 2, "liver": [1, 2]}, x), ({"liver": [1, 2], "tumour": 2}, x.flip(0))):
        found = RestoreGridd("pred", labels=labels)(item | {"pred": logits})["pred"]
        assert found.flatten().tolist() == [2, 1, 0]


def test_what_was_cropped_away_is_background_again():
    shifted = torch.eye(4, dtype=torch.float64)
    shifted[0, 3] = 3  # the working grid covers voxels 3 and 4 of eight
    labels = labels_on_grid(torch.ones(1, 2, 1, 1), shifted, torch.eye(4, dtype=torch.float64), (8, 1, 1), numbers=[5])
    assert labels.flatten().tolist() == [0, 0, 5, 5, 5, 5, 0, 0], "with a rim of one working voxel"


def test_a_slice_of_a_stack_lies_where_it_lay():
    stack = image(
        np.arange(2 * 2 * 5).reshape(1, 2, 2, 5), np.array([[0, 2, 0, 9], [1, 0, 0, 8], [0, 0, 4, 7], [0, 0, 0, 1]])
    )
    taken = TakeSliced("image")({"image": stack, "slice": 3})["image"]
    assert np.array_equal(taken[..., 0], stack[..., 3])
    assert taken.affine[:3, 3].tolist() == [9, 8, 7 + 3 * 4]
    assert np.array_equal(taken.meta["original_affine"], taken.affine)
    assert taken.meta["spatial_shape"].tolist() == [2, 2, 1]
    assert TakeSliced("image")({"image": stack})["image"] is stack
    with pytest.raises(DataError, match="expected slice 5, found 5 slices"):
        TakeSliced("image")({"image": stack, "slice": 5})


def test_a_rotation_between_the_grids_is_refused():
    turned = torch.eye(4, dtype=torch.float64)
    turned[:2, :2] = torch.tensor([[0.8, -0.6], [0.6, 0.8]])
    with pytest.raises(ValueError, match="rotated"):
        labels_on_grid(torch.zeros(2, 8, 8, 3), torch.eye(4, dtype=torch.float64), turned, (8, 8, 3))


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "SAL"])
@pytest.mark.parametrize("slab", [2**21, 7])
def test_a_shape_returns_through_orientation_and_spacing(slab, tmp_path, axes):
    """A box drawn on an oblique volume of any axis order comes back from the 1 mm working grid, to the voxel."""
    shape, spacing = (24, 20, 6), (2.0, 2.0, 8.0)
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = nib.affines.from_matvec(turn @ np.diag(spacing), [5, -7, 3])
    box = np.zeros(shape, np.uint8)
    box[5:15, 4:12, 2:5] = 1
    original = nib.Nifti1Image(box, affine)
    target = nib.orientations.axcodes2ornt(axes)
    stored = original.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), target))
    nib.save(stored, tmp_path / "box.nii.gz")
    load = Compose([LoadImaged("image"), EnsureChannelFirstd("image"), SliceAxisLastd("image")])
    item = Compose([load, Spacingd("image", (1.0, 1.0, -1.0))])({"image": str(tmp_path / "box.nii.gz")})
    assert np.isclose(item["image"].affine[:3, :3].norm(dim=0)[2], 8), "slices last"
    item["pred"] = torch.cat([0.5 - item["image"], item["image"] - 0.5]).as_tensor()
    item["case"] = "box"
    restored = Compose([RestoreGridd("pred", slab=slab), SaveMaskd("pred", str(tmp_path / "out"))])(item)
    mask = nib.load(restored["mask"])
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(np.asarray(mask.dataobj), np.asarray(stored.dataobj))
    assert np.allclose(mask.affine, stored.affine)


@pytest.mark.parametrize(("case", "name"), [("p1_ED", "p1_ED.nii.gz"), (None, "scan.v2.nii.gz")])
def test_a_mask_has_the_name_of_its_case_else_of_its_image(tmp_path, case, name):
    nib.save(nib.Nifti1Image(np.ones((3, 4, 2), np.uint8), np.eye(4)), tmp_path / "scan.v2.nii.gz")
    item = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])({"image": str(tmp_path / "scan.v2.nii.gz")})
    item |= {"pred": item["image"].as_tensor()} | ({"case": case} if case else {})
    assert SaveMaskd("pred", str(tmp_path / "out"))(item)["mask"] == str(tmp_path / "out" / name)
