"""The picture: which slices, which way up, in which proportions, with which colours."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from image_files import acdc_like
from matplotlib.image import imread
from PIL import Image

from pipeline.errors import DataError
from pipeline.segmentation.preview import _crop, _slices, draw_preview
from pipeline.volumes import write_mask
from pipeline.volumes.view import View

LABELS = {"RV": 1, "MYO": 2, "LV": 3}


def test_crop_keeps_a_margin_in_mm() -> None:
    view = View(np.diag([-2.5, -5.0, 10, 1]), (2.5, 5.0, 10.0))
    mask = np.zeros((3, 60, 80), np.uint8)  # slices, rows of 5 mm, columns of 2.5 mm
    mask[1, 20:30, 15:30] = 2
    rows, columns = _crop(mask, view)
    assert (rows.start, rows.stop) == (15, 35)
    assert (columns.start, columns.stop) == (5, 40)
    assert _crop(np.zeros_like(mask), view) == (slice(0, 60), slice(0, 80))
    mask[:, 0, 0] = 1
    assert _crop(mask, view)[0].start == 0


def test_slices_that_hold_a_structure() -> None:
    masks = np.zeros((1, 12, 4, 4), np.uint8)
    assert _slices(masks) == list(range(12))
    masks[0, 3:8, 1, 1] = 1
    assert _slices(masks) == [3, 4, 5, 6, 7]
    many = np.ones((2, 300, 2, 2), np.uint8)
    chosen = _slices(many)
    assert len(chosen) == 18
    assert (chosen[0], chosen[-1]) == (0, 299)


@pytest.mark.parametrize("size", [(40, 36, 7), (40, 36, 1), (40, 36), (40, 36, 5, 4)])
def test_picture_has_structures_in_colour(tmp_path: Path, size: tuple[int, ...]) -> None:
    voxels = np.random.default_rng(0).integers(0, 100, size).astype(np.int16)
    image = acdc_like(tmp_path / "a.nii.gz", voxels)
    mask = np.zeros(size, np.uint8)
    mask[10:20, 10:20] = 3
    plain = coloured(draw(image, np.zeros_like(mask), tmp_path / "none.nii.gz"))
    full = coloured(draw(image, mask, tmp_path / "mask.nii.gz"))
    assert full > plain + 200  # the legend alone against legend and contours


def draw(image: Path, mask: np.ndarray, path: Path) -> Path:
    write_mask(mask, image, path)
    return draw_preview(image, path, LABELS, path.with_suffix(".png"), title="case <1> $x$")


def coloured(png: Path) -> int:
    """Pixels of the LV's hue: clearly more red than blue."""
    pixels = imread(png)[..., :3]
    return int((pixels[..., 0] - pixels[..., 2] > 0.2).sum())


def test_an_existing_picture_is_kept_unless_asked(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", np.arange(300, dtype=np.int16).reshape(10, 10, 3))
    write_mask(np.zeros((10, 10, 3), np.uint8), image, tmp_path / "m.nii.gz")
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(DataError, match="one that exists"):
        draw_preview(image, tmp_path / "m.nii.gz", LABELS, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    draw_preview(image, tmp_path / "m.nii.gz", LABELS, tmp_path / "a.png", overwrite=True)
    assert imread(tmp_path / "a.png").ndim == 3


def test_structures_that_overlap_are_both_outlined(tmp_path: Path) -> None:
    """Lungs blue, infection vermilion over it: with the lungs' own number alone, a ring of blue would remain."""
    image = acdc_like(tmp_path / "a.nii.gz", np.zeros((60, 60, 1), np.int16))
    mask = np.zeros((60, 60, 1), np.uint8)
    mask[10:50, 10:50] = 1
    mask[20:40, 20:40] = 2
    write_mask(mask, image, tmp_path / "m.nii.gz")
    labels = {"lungs": [1, 2], "infection": [2]}
    pixels = imread(draw_preview(image, tmp_path / "m.nii.gz", labels, tmp_path / "a.png"))[..., :3]
    inner = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]
    outer = pixels[pixels.shape[0] // 2, pixels.shape[1] // 4]
    assert outer[2] > outer[0] + 0.05
    assert inner[0] > outer[0] + 0.1
    assert inner[2] > 0.8 * outer[2]


@pytest.mark.parametrize("several", [False, True])
def test_a_picture_is_shown_whole_and_upright(tmp_path: Path, several: bool) -> None:
    rows = np.zeros((60, 90), np.uint8)
    rows[5:15, 5:25] = 200  # bright, upper left
    mask = np.zeros_like(rows)
    mask[45:55, 70:85] = 1  # lower right
    Image.fromarray(rows).save(tmp_path / "a.png")
    Image.fromarray(mask).save(tmp_path / "m.png")
    images = [tmp_path / "a.png", tmp_path / "m.png"] if several else tmp_path / "a.png"
    pixels = imread(draw_preview(images, tmp_path / "m.png", {"x": 1}, tmp_path / "out.png"))[..., :3]
    below = pixels[int(0.62 * 110) :]  # the head is 0.62 inches high
    assert below.shape[0] / below.shape[1] == pytest.approx(60 / 90, abs=0.02)
    bright = np.argwhere(below.min(-1) > 0.9).mean(0) / below.shape[:2]
    marked = np.argwhere(np.ptp(below, axis=-1) > 0.2).mean(0) / below.shape[:2]
    assert bright == pytest.approx([10 / 60, 15 / 90], abs=0.03)
    assert marked == pytest.approx([50 / 60, 77.5 / 90], abs=0.03)


def test_one_slice_of_a_stack(tmp_path: Path) -> None:
    stack = np.zeros((20, 20, 3), np.int16)
    stack[5:15, 5:15, 2] = 100
    image = acdc_like(tmp_path / "a.nii.gz", stack)
    nib.Nifti1Image(np.zeros((20, 20, 1), np.uint8), None).to_filename(tmp_path / "m.nii.gz")
    pictures = [
        imread(draw_preview(image, tmp_path / "m.nii.gz", LABELS, tmp_path / f"{k}.png", index=k)) for k in (1, 2)
    ]
    below = [picture[int(0.62 * 110) + 5 :, :, :3] for picture in pictures]
    assert (below[0].max(), below[1].max()) == pytest.approx((0, 1), abs=0.1)
