"""The picture: which slices, which way up, in which proportions, with which colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import acdc_like
from matplotlib.image import imread

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
