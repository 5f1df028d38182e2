"""Which way up a volume is shown, and in which proportions."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from pipeline.volumes import affine, read_image, shape, spacing
from pipeline.volumes.view import View


def numbered(size: tuple[int, int, int]) -> np.ndarray:
    """Voxels that tell their own place: 10000 x + 100 y + z."""
    x, y, z = np.indices(size)
    return (10000 * x + 100 * y + z).astype(np.int32)


@pytest.mark.parametrize(("signs", "corner"), [
    ((-1, -1), (0, 0)),  # as ACDC: x to the patient's left, y to the back
    ((1, -1), (5, 0)),
    ((-1, 1), (0, 4)),
    ((1, 1), (5, 4)),
])  # fmt: skip
def test_patient_s_right_and_front_are_at_the_upper_left(
    tmp_path: Path, signs: tuple[int, int], corner: tuple[int, int]
) -> None:
    nib.Nifti1Image(numbered((6, 5, 3)), np.diag([*signs, 8.0, 1.0])).to_filename(tmp_path / "a.nii.gz")
    view = View(affine(tmp_path / "a.nii.gz"), spacing(tmp_path / "a.nii.gz"))
    shown = view(numbered((6, 5, 3)))
    assert shown.shape == (3, 5, 6)
    assert shown[1, 0, 0] == 10000 * corner[0] + 100 * corner[1] + 1
    assert shown[1, 0, 1] // 10000 == corner[0] + (1 if corner[0] == 0 else -1)  # columns run along x


def test_slices_stored_first_and_sagittal_stacks() -> None:
    axes = np.zeros((4, 4))
    axes[[2, 0, 1, 3], [0, 1, 2, 3]] = (9, 1.5, 2, 1)  # voxel axes run up, right and to the front
    view = View(axes, (9, 1.5, 2))
    shown = view(numbered((3, 6, 5)))
    assert shown.shape == (3, 5, 6)
    assert (view.column_mm, view.row_mm) == (1.5, 2)
    sagittal = np.zeros((4, 4))
    sagittal[[0, 1, 2, 3], [2, 0, 1, 3]] = (8, 1.5, 2, 1)  # voxel axes run to the front, up and right
    shown = View(sagittal, (1.5, 2, 8))(numbered((6, 5, 3)))
    assert shown[0, 0, 0] == 10000 * 5 + 100 * 4  # front and top


def test_a_picture_is_shown_as_it_is(tmp_path: Path) -> None:
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    view = View(affine(path), spacing(path), shape(path))
    assert (view(read_image(path)) == pixels[None]).all()
    assert (view.row_mm, view.column_mm) == (1, 1)
