"""Pictures as volumes of one slice: every mode, colour, masks by palette, folders of slices, broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import DataError
from pipeline.volumes import affine, has_geometry, mask_name, read_image, read_mask, shape, spacing
from pipeline.volumes.pictures import palette, read_label_picture, read_picture, read_picture_folder, slice_files

ROWS = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20  # 3 rows, 4 columns
TURN_RIGHT = 6  # EXIF: the stored picture must be turned by 90 degrees clockwise to be upright


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options) -> Path:
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".PNG"])
def test_x_is_the_column_and_y_the_row(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", ROWS)
    voxels = read_picture(path)
    assert voxels.shape == shape(path) == (4, 3, 1)
    assert voxels.dtype == np.uint8
    assert (voxels[3, 0, 0], voxels[0, 2, 0]) == (60, 160)  # upper right, lower left
    assert np.array_equal(voxels, read_image(path))
    assert np.array_equal(voxels, read_mask(path))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg(tmp_path: Path, suffix: str) -> None:
    pixels = np.repeat(np.arange(0, 256, 16, np.uint8)[None], 16, axis=0)
    path = save(tmp_path / f"a{suffix}", pixels, quality=95)
    assert shape(path) == (16, 16, 1)
    assert np.abs(read_picture(path)[..., 0].astype(int) - pixels.T).max() < 12
    with pytest.raises(DataError, match="exact label numbers, found JPEG"):
        read_mask(path)


def test_no_millimetres(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", ROWS, dpi=(300, 300))
    assert spacing(path) == (1.0, 1.0, 1.0)
    assert np.array_equal(affine(path), np.diag([-1, -1, 1, 1]))
    assert not has_geometry(path)
    assert has_geometry(tmp_path / "a.nii.gz")
    assert has_geometry(tmp_path / "series")
    assert mask_name("case", path) == mask_name("case", ["a.jpg", "b.jpg"]) == "case.png"


@pytest.mark.parametrize(("mode", "expected"), [("L", ROWS), ("LA", ROWS), ("RGB", ROWS), ("RGBA", ROWS)])
def test_equal_channels_are_grey_and_alpha_is_dropped(tmp_path: Path, mode: str, expected: np.ndarray) -> None:
    path = save(tmp_path / "a.png", ROWS, mode)
    assert Image.open(path).mode == mode
    assert np.array_equal(read_picture(path)[..., 0].T, expected)
    assert np.array_equal(read_label_picture(path)[..., 0].T, expected)


def test_true_colour(tmp_path: Path) -> None:
    pixels = np.stack([ROWS, ROWS // 2, ROWS // 4], axis=-1)
    path = save(tmp_path / "a.png", np.dstack([pixels, np.full((3, 4), 9, np.uint8)]))
    voxels = read_picture(path)
    assert voxels.shape == (3, 4, 3, 1)
    assert shape(path) == (4, 3, 1)
    assert np.array_equal(voxels[1, :, :, 0].T, ROWS // 2)
    assert read_image(path).shape == (4, 3, 1)
    assert read_image(path)[3, 2, 0] == round(0.299 * 220 + 0.587 * 110 + 0.114 * 55)
    with pytest.raises(DataError, match="found a colour picture") as caught:
        read_mask(path)
    assert "\n" not in str(caught.value)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    deep = ROWS.astype(np.uint16) * 250
    for name in ("a.png", "a.tif"):
        voxels = read_picture(save(tmp_path / name, deep))
        assert voxels.dtype == np.uint16
        assert np.array_equal(voxels[..., 0].T, deep)
    (tmp_path / "big.tif").write_bytes(tiff_big_endian(deep))
    assert np.array_equal(read_picture(tmp_path / "big.tif")[..., 0].T, deep)
    assert np.array_equal(read_picture(save(tmp_path / "f.tif", deep / np.float32(3)))[..., 0].T, deep / np.float32(3))
    with pytest.raises(ValueError, match="integers from 0 to 255"):
        read_mask(tmp_path / "a.png")


def tiff_big_endian(pixels: np.ndarray) -> bytes:
    """A baseline TIFF, most significant byte first, written from the standard: header, pixels, one directory."""
    import struct

    data = pixels.astype(">u2").tobytes()
    entries = [(256, pixels.shape[1]), (257, pixels.shape[0]), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1)]
    entries += [(278, pixels.shape[0]), (279, len(data))]
    directory = struct.pack(">H", len(entries))
    for tag, value in entries:
        directory += struct.pack(">HHIHH", tag, 3, 1, value, 0)
    return b"MM" + struct.pack(">HI", 42, 8 + len(data)) + data + directory + bytes(4)


def test_one_bit_and_palette(tmp_path: Path) -> None:
    bits = ROWS > 100
    path = save(tmp_path / "bits.png", bits)
    assert Image.open(path).mode == "1"
    assert np.array_equal(read_picture(path)[..., 0].T, bits * 255)
    assert np.array_equal(read_mask(path)[..., 0].T, bits * 1)
    picture = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8))
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "palette.png")
    assert np.array_equal(read_mask(tmp_path / "palette.png")[..., 0].T, [[0, 1, 2], [2, 1, 0]])
    colours = read_picture(tmp_path / "palette.png")
    assert colours[:, 1, 0, 0].tolist() == [255, 0, 0]
    assert colours[:, 2, 0, 0].tolist() == [0, 255, 0]


def test_the_picture_is_read_as_it_is_shown(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = TURN_RIGHT
    path = save(tmp_path / "a.png", ROWS, exif=exif)
    assert shape(path) == (3, 4, 1)
    assert np.array_equal(read_picture(path)[..., 0].T, np.rot90(ROWS, -1))


def test_the_palette_tells_numbers_apart() -> None:
    colours = np.array(palette()).reshape(256, 3)
    assert colours[0].tolist() == [0, 0, 0]
    assert len({tuple(colour) for colour in colours.tolist()}) == 256
    assert all(np.abs(colours[i].astype(int) - colours[j]).sum() > 60 for i in range(9) for j in range(i))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("kept", [0.7, 0.5, 0.02])
@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_truncated_files_are_one_line(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    path = save(tmp_path / f"a.{suffix}", noise)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: expected a ")
    assert ("found a truncated or damaged one" in str(caught.value)) or kept < 0.1
    assert "\n" not in str(caught.value)


def test_pages_and_absent_files(tmp_path: Path) -> None:
    first, second = Image.fromarray(ROWS), Image.fromarray(ROWS // 2)
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    with pytest.raises(DataError, match="one picture, found 2 pages"):
        read_picture(tmp_path / "pages.tif")
    for look in (read_picture, read_label_picture, shape):
        with pytest.raises(DataError, match="nothing of that name"):
            look(tmp_path / "absent.png")


def test_a_folder_of_slices_is_sorted_by_number(tmp_path: Path) -> None:
    for number in (2, 10, 1, 3, 4, 5, 6, 7, 8, 9):
        save(tmp_path / f"IMG-0004-{number}.png", np.full((3, 4), number, np.uint8))
    (tmp_path / "._IMG-0004-1.png").write_bytes(b"")
    (tmp_path / "readme.txt").write_text("labels")
    voxels = read_picture_folder(tmp_path)
    assert voxels.shape == shape(tmp_path) == (4, 3, 10)
    assert voxels[0, 0].tolist() == list(range(1, 11))
    assert np.array_equal(read_mask(tmp_path), voxels)
    assert np.array_equal(read_image(tmp_path), voxels)
    assert not has_geometry(tmp_path)
    assert spacing(tmp_path) == (1, 1, 1)
    assert mask_name("case", tmp_path) == "case.nii.gz"


@given(start=st.integers(0, 10**6), step=st.integers(1, 5), count=st.integers(1, 12))
@settings(max_examples=8, deadline=None)
def test_any_even_numbering_is_taken(tmp_path_factory, start: int, step: int, count: int) -> None:
    folder = tmp_path_factory.mktemp("slices")
    expected = [f"s{start + step * index}_b.png" for index in range(count)]
    for name in sorted(expected):
        (folder / name).touch()
    assert [file.name for file in slice_files(folder)] == expected


@pytest.mark.parametrize("names", [
    ("s1.png", "s2.png", "s4.png"),
    ("s1.png", "s01.png"),
    ("a.png", "b.png"),
    ("s1.png", "s2.png", "s2_mask.png"),
    ("s1.png", "s2.png", "cover.png"),
])  # fmt: skip
def test_slices_whose_order_is_in_doubt(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        save(tmp_path / name, ROWS)
    with pytest.raises(DataError, match="numbered in their names, without gaps"):
        read_picture_folder(tmp_path)


def test_slices_of_two_sizes(tmp_path: Path) -> None:
    save(tmp_path / "s1.png", ROWS)
    save(tmp_path / "s2.png", ROWS.T)
    with pytest.raises(DataError, match=r"s1\.png and s2\.png, which differ"):
        read_picture_folder(tmp_path)


@pytest.mark.real_data
def test_real_slices(covid_root: Path) -> None:
    folder = covid_root / "Dataset" / "TrainingSet" / "LungInfection-Train" / "Doctor-label"
    image, mask = read_image(folder / "Imgs" / "10.jpg"), read_mask(folder / "GT" / "10.png")
    assert image.shape == mask.shape == shape(folder / "Imgs" / "10.jpg")
    assert set(np.unique(mask).tolist()) == {0, 255}
    assert image[..., 0][mask[..., 0] > 0].mean() > image[..., 0].min() + 20  # lesions are no air
