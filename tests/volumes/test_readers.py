"""One volume in every format loads as the same array with the same affine."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_files import acdc_like, dicom_series, itk_image, oblique_affine
from monai.data import DataLoader, Dataset, decollate_batch
from monai.transforms import LoadImage, LoadImaged
from PIL import Image

from pipeline.errors import DataError
from pipeline.volumes.readers import VolumeReader

VOXELS = np.random.default_rng(0).integers(-50, 900, (6, 5, 4)).astype(np.int16)
RIGHT_HANDED = oblique_affine() @ np.diag([1.0, -1.0, 1.0, 1.0])


def write(kind: str, folder: Path, voxels: np.ndarray, affine: np.ndarray) -> Path:
    path = folder / f"image.{kind}"
    if kind == "dicom":
        return dicom_series(path, voxels, affine)
    if kind == "nii.gz":
        nib.Nifti1Image(voxels, affine).to_filename(path)
    else:
        SimpleITK.WriteImage(itk_image(voxels, affine), str(path))
    return path


@pytest.mark.parametrize("kind", ["nii.gz", "mha", "mhd", "nrrd", "dicom"])
def test_same_array_and_affine(tmp_path: Path, kind: str) -> None:
    assert np.linalg.det(RIGHT_HANDED[:3, :3]) > 0  # a DICOM series knows no other
    path = write(kind, tmp_path, VOXELS, RIGHT_HANDED)
    image = LoadImaged("image", reader=VolumeReader(), ensure_channel_first=True)({"image": str(path)})["image"]
    assert tuple(image.shape) == (1, 6, 5, 4)
    assert np.array_equal(image.numpy()[0], VOXELS)
    assert np.allclose(image.affine, RIGHT_HANDED, atol=1e-4)
    assert np.allclose(image.meta["original_affine"], RIGHT_HANDED, atol=1e-4)
    assert list(image.meta["spatial_shape"]) == [6, 5, 4]
    assert image.meta["filename_or_obj"] == str(path)


@pytest.mark.parametrize("kind", ["mha", "nrrd"])
def test_left_handed_volumes_too(tmp_path: Path, kind: str) -> None:
    path = write(kind, tmp_path, VOXELS, oblique_affine())
    image = LoadImage(reader="pipeline.volumes.readers.VolumeReader", ensure_channel_first=True)(path)
    assert np.array_equal(image.numpy()[0], VOXELS)
    assert np.allclose(image.affine, oblique_affine(), atol=1e-5)


def test_acdc_s_spacing_comes_from_pixdim(tmp_path: Path) -> None:
    path = acdc_like(tmp_path / "image.nii.gz", VOXELS, spacing=(1.5, 1.25, 10.0))
    image = LoadImage(reader=VolumeReader, ensure_channel_first=True)(path)
    assert np.allclose(image.affine, np.diag([-1.5, -1.25, 10, 1]))


def test_a_single_slice_is_a_volume(tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(VOXELS[:, :, 0].T.copy()), str(tmp_path / "slice.mha"))
    image = LoadImage(reader=VolumeReader, ensure_channel_first=True)(tmp_path / "slice.mha")
    assert tuple(image.shape) == (1, 6, 5, 1)
    assert np.array_equal(image.numpy()[0, ..., 0], VOXELS[:, :, 0])


def test_several_files_are_channels_on_one_grid(tmp_path: Path) -> None:
    SimpleITK.WriteImage(itk_image(VOXELS, RIGHT_HANDED), str(tmp_path / "a.mha"))
    SimpleITK.WriteImage(itk_image(VOXELS + 1, RIGHT_HANDED), str(tmp_path / "b.mha"))
    names = [tmp_path / "a.mha", tmp_path / "b.mha"]
    image = LoadImage(reader=VolumeReader, ensure_channel_first=True)(names)
    assert np.array_equal(image.numpy(), np.stack([VOXELS, VOXELS + 1]))
    SimpleITK.WriteImage(itk_image(VOXELS, np.eye(4)), str(tmp_path / "b.mha"))
    reader = VolumeReader()
    with pytest.raises(ValueError, match="one grid"):
        reader.get_data(reader.read(names))


@pytest.mark.parametrize("kind", ["nii.gz", "mha"])
def test_rounding_parts_no_channels(tmp_path: Path, kind: str) -> None:
    """Up to 0.01 mm between the grids' corners, as `segment` has it; the first file tells where all lie."""
    names = []
    for folder, off in (("first", 0.0), ("near", 2e-4), ("far", 2e-2)):
        (tmp_path / folder).mkdir()
        moved = RIGHT_HANDED.copy()
        moved[:3, 3] += (off, off / 2, 0)
        names.append(write(kind, tmp_path / folder, VOXELS, moved))
    image = LoadImage(reader=VolumeReader, ensure_channel_first=True)(names[:2])
    assert np.array_equal(image.numpy(), np.stack([VOXELS, VOXELS]))
    assert np.array_equal(image.affine, LoadImage(reader=VolumeReader)(names[0]).affine)
    reader = VolumeReader()
    with pytest.raises((RuntimeError, ValueError), match=r"one grid|should be the same"):
        reader.get_data(reader.read([names[0], names[2]]))


def test_suffixes() -> None:
    assert VolumeReader().verify_suffix(["a.mha", "b.NRRD"])
    assert not VolumeReader().verify_suffix(["a.mha", "b.txt"])
    assert VolumeReader().verify_suffix("b.nii.gz")
    assert VolumeReader().verify_suffix("b.png")
    assert not VolumeReader().verify_suffix("b.txt")


def test_two_series_in_one_folder_are_named(tmp_path: Path) -> None:
    dicom_series(tmp_path / "both", VOXELS, RIGHT_HANDED, uid="1.2.3.1")
    dicom_series(tmp_path / "both", VOXELS[:, :, :3], RIGHT_HANDED, uid="1.2.3.2")
    with pytest.raises(DataError, match=r"2: 1\.2\.3\.1 \(4 files\); 1\.2\.3\.2 \(3 files\)"):
        VolumeReader().read(tmp_path / "both")


def test_missing_slice_is_not_stretched_over(tmp_path: Path) -> None:
    folder = dicom_series(tmp_path / "gap", VOXELS, RIGHT_HANDED)
    sorted(folder.iterdir())[1].unlink()
    with pytest.raises(DataError, match=r"slice distances from 8\.00 to 16\.00 mm"):
        VolumeReader().read(folder)


@pytest.mark.parametrize(("degrees", "refused"), [(20, True), (-20, True), (4, True), (2, False)])
def test_a_tilted_gantry_is_not_taken_for_an_upright_stack(tmp_path: Path, degrees: float, refused: bool) -> None:
    """Even steps of 8 mm, all of them aside of the slices' normal."""
    turn = np.radians(degrees)
    tilted = RIGHT_HANDED.copy()
    tilted[:3, 2] = np.cos(turn) * RIGHT_HANDED[:3, 2] + np.sin(turn) * RIGHT_HANDED[:3, 1] * 8 / 1.25
    folder = dicom_series(tmp_path / "series", VOXELS, tilted)
    if not refused:
        VolumeReader().read(folder)
        return
    with pytest.raises(DataError, match=f"found a stack tilted by {abs(degrees)}\\.0 degrees.*dcm2niix"):
        VolumeReader().read(folder)


def test_two_phases_in_one_series_are_refused(tmp_path: Path) -> None:
    folder = dicom_series(tmp_path / "cine", VOXELS, RIGHT_HANDED)
    for file in sorted(folder.iterdir()):
        file.with_name(f"again_{file.name}").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match="several slices at one position"):
        VolumeReader().read(folder)


def test_colour_and_4d_and_empty_folders_are_refused(tmp_path: Path) -> None:
    colour = SimpleITK.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True)
    SimpleITK.WriteImage(colour, str(tmp_path / "colour.mha"))
    SimpleITK.WriteImage(
        SimpleITK.GetImageFromArray(np.zeros((2, 4, 5, 6), np.uint8), isVector=False), str(tmp_path / "4d.mha")
    )
    (tmp_path / "empty").mkdir()
    for name, found in (("colour.mha", "3 values per voxel"), ("4d.mha", "4 axes"), ("empty", "none")):
        with pytest.raises(DataError, match=found):
            VolumeReader().read(tmp_path / name)


def test_pictures_load_as_slices_without_millimetres(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(rows).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([rows, rows + 1, rows + 2], axis=-1)).save(tmp_path / "colour.png")
    load = LoadImage(reader=VolumeReader, ensure_channel_first=True)
    grey, colour = load(tmp_path / "grey.png"), load(tmp_path / "colour.png")
    assert np.array_equal(grey.numpy()[0, ..., 0], rows.T)
    assert np.array_equal(colour.numpy()[..., 0], np.stack([rows.T, rows.T + 1, rows.T + 2]))
    assert np.array_equal(grey.affine, np.diag([-1, -1, 1, 1]))
    for image in (grey, colour):
        assert image.meta["has_geometry"] is False
        assert list(image.meta["spatial_shape"]) == [4, 3, 1]
    pair = load([tmp_path / "grey.png", tmp_path / "grey.png"])
    assert np.array_equal(pair.numpy(), np.concatenate([grey.numpy()] * 2))
    stacked = load([tmp_path / "grey.png", tmp_path / "colour.png"])
    assert np.array_equal(stacked.numpy(), np.concatenate([grey.numpy(), colour.numpy()]))


def test_masks_of_pictures_are_palette_numbers(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    for name in ("s1.png", "s2.png"):
        picture.save(tmp_path / name)
    load = LoadImage(reader=VolumeReader(labels=True), ensure_channel_first=True)
    assert np.array_equal(load(tmp_path / "s1.png").numpy()[0, ..., 0].T, [[0, 1, 2], [2, 1, 0]])
    folder = load(tmp_path)
    assert tuple(folder.shape) == (1, 3, 2, 2)
    assert folder.meta["has_geometry"] is False


def test_geometry_is_told_of_every_format(tmp_path: Path) -> None:
    for kind in ("nii.gz", "mha", "dicom"):
        path = write(kind, tmp_path, VOXELS, RIGHT_HANDED)
        assert LoadImage(reader=VolumeReader)(path).meta["has_geometry"] is True


def test_formats_do_not_mix_within_a_case(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "b.png")
    path = write("nii.gz", tmp_path, VOXELS, RIGHT_HANDED)
    with pytest.raises(DataError, match=r"one kind of file, found b\.png beside image\.nii\.gz"):
        VolumeReader().read([path, tmp_path / "b.png"])
    Image.fromarray(np.zeros((6, 5), np.uint8)).save(tmp_path / "c.png")
    reader = VolumeReader()
    with pytest.raises(ValueError, match="one grid"):
        reader.get_data(reader.read([tmp_path / "b.png", tmp_path / "c.png"]))


def test_metadata_survive_a_loader(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.arange(30, dtype=np.uint8).reshape(5, 6)).save(tmp_path / name)
    data = [{"image": str(tmp_path / name)} for name in ("a.png", "b.png")]
    load = LoadImaged("image", reader=VolumeReader(), ensure_channel_first=True)
    (batch,) = DataLoader(Dataset(data, load), batch_size=2)
    assert tuple(batch["image"].shape) == (2, 1, 6, 5, 1)
    assert not bool(decollate_batch(batch)[0]["image"].meta["has_geometry"])


def test_slices_that_each_say_to_be_a_series_are_one_stack(tmp_path: Path) -> None:
    folder = tmp_path / "canon"
    for index, order in enumerate((2, 0, 3, 1)):
        part = dicom_series(tmp_path / f"part{index}", VOXELS, RIGHT_HANDED, uid=f"1.2.3.{index + 1}")
        folder.mkdir(exist_ok=True)
        sorted(part.iterdir())[3 - order].rename(folder / f"{index}.dcm")  # files run against the slices
    image = LoadImage(reader=VolumeReader, ensure_channel_first=True)(folder)
    assert np.array_equal(image.numpy()[0], VOXELS)
    assert np.allclose(image.affine, RIGHT_HANDED, atol=1e-4)
    (folder / "3.dcm").unlink()
    with pytest.raises(DataError, match="slice distances"):
        VolumeReader().read(folder)


def test_threads_share_a_reader_without_mixing_their_files(tmp_path: Path) -> None:
    """CacheDataset loads in threads, and MONAI's readers remember names between `read` and `get_data`."""
    reader = VolumeReader()
    for number in (1, 2, 3):
        nib.save(nib.Nifti1Image(np.full((4, 4, number), number, np.int16), np.eye(4)), tmp_path / f"{number}.nii.gz")
    names = [tmp_path / "1.nii.gz", [tmp_path / "2.nii.gz", tmp_path / "2.nii.gz"], tmp_path / "3.nii.gz"]
    loaded = [reader.read(name) for name in names]
    arrays = [reader.get_data(images)[0] for images in loaded]
    assert [array.shape for array in arrays] == [(4, 4, 1), (2, 4, 4, 2), (4, 4, 3)]
    assert [np.unique(array).tolist() for array in arrays] == [[1], [2], [3]]


@pytest.mark.parametrize("turned", [False, True])
def test_a_unit_sform_keeps_its_directions_beside_a_qform_that_is_not_known(tmp_path: Path, turned: bool) -> None:
    """Such a header leaves the distances to pixdim; its qform, marked as unknown, says nothing of directions."""
    directions = np.linalg.qr(oblique_affine()[:3, :3])[0] if turned else np.diag([-1.0, -1.0, 1.0])
    image = nib.Nifti1Image(VOXELS, None)
    image.header.set_zooms((1.5, 1.5, 8.0))
    image.header.set_sform(nib.affines.from_matvec(directions, (3, 4, 5)), code=2)
    image.header["qform_code"] = 0
    nib.save(image, tmp_path / "image.nii.gz")
    expected = nib.affines.from_matvec(directions @ np.diag((1.5, 1.5, 8.0)), (3, 4, 5))
    loaded = LoadImage(reader=VolumeReader())(tmp_path / "image.nii.gz")
    assert np.allclose(loaded.affine, expected, atol=1e-5)
    assert np.allclose(loaded.meta["original_affine"], expected, atol=1e-5)
