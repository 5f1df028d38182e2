"""Cine series: frames and back, and the heart's cycle from the volumes."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from image_files import acdc_like

from pipeline.volumes import read_mask, write_mask
from pipeline.volumes.cine import heart_cycle, join_masks, split_frames
from pipeline.volumes.masks import GRID_FIELDS

SERIES = np.random.default_rng(0).integers(0, 900, (6, 5, 4, 3)).astype(np.int16)


def test_frames_have_the_series_voxels_and_grid(tmp_path: Path) -> None:
    path = acdc_like(tmp_path / "p_4d.nii.gz", SERIES)
    (tmp_path / "frames").mkdir()
    frames = list(split_frames(path, tmp_path / "frames", "p"))
    assert [frame["case"] for frame in frames] == ["p_frame01", "p_frame02", "p_frame03"]
    series = nib.load(path).header
    for index, frame in enumerate(frames):
        image = nib.load(frame["image"])
        assert image.get_data_dtype() == np.int16
        assert np.array_equal(np.asarray(image.dataobj), SERIES[..., index])
        for field in GRID_FIELDS:
            assert np.array_equal(image.header[field], series[field]), field


def test_masks_are_joined_in_order(tmp_path: Path) -> None:
    path = acdc_like(tmp_path / "p_4d.nii.gz", SERIES)
    labels = (SERIES % 4).astype(np.uint8)
    masks = [write_mask(labels[..., i], path, tmp_path / f"{i}.nii.gz") for i in range(3)]
    assert np.array_equal(read_mask(join_masks(masks, path, tmp_path / "joined.nii.gz")), labels)


@pytest.mark.real_data
def test_real_cine_holds_the_annotated_frames(acdc_root: Path, tmp_path: Path) -> None:
    folder = acdc_root / "training" / "patient090"
    frames = {frame["case"]: frame["image"] for frame in split_frames(folder / "patient090_4d.nii.gz", tmp_path, "p")}
    assert len(frames) == 12
    for number in ("04", "11"):
        annotated = nib.load(folder / f"patient090_frame{number}.nii.gz")
        frame = nib.load(frames[f"p_frame{number}"])
        assert np.array_equal(np.asarray(frame.dataobj), np.asarray(annotated.dataobj))
        assert frame.header.get_zooms() == pytest.approx(annotated.header.get_zooms(), abs=1e-4)


def test_cycle_by_hand() -> None:
    cycle = heart_cycle([{"LV": 90.0, "RV": 1.0}, {"LV": 120.0, "RV": 2.0}, {"LV": 48.0, "RV": 3.0}])
    assert cycle is not None
    assert (cycle["ED_frame"], cycle["ES_frame"]) == (2, 3)
    assert (cycle["LV_EDV_ml"], cycle["LV_ESV_ml"], cycle["LV_EF_percent"]) == (120.0, 48.0, 60.0)
    assert cycle["derived"] is True


def test_cycle_without_a_ventricle() -> None:
    assert heart_cycle([{"lungs": 3.0}, {"lungs": 4.0}]) is None
    assert heart_cycle([]) is None
    empty = heart_cycle([{"LV": 0.0}, {"LV": 0.0}])
    assert empty is not None
    assert empty["LV_EF_percent"] is None
