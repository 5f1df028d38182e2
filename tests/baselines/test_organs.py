"""Hearts and lungs found by rule: drawn ones, phantoms, real ones, and through the command that segments."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from image_files import acdc_like
from monai.bundle import ConfigParser

from pipeline.baselines import Baseline
from pipeline.baselines.brightness import METHODS
from pipeline.baselines.heart import heart
from pipeline.baselines.lungs import lungs
from pipeline.errors import DataError
from pipeline.segmentation import segment
from pipeline.volumes import read_mask

CONFIGS = Path(__file__).resolve().parents[2] / "bundles" / "options" / "baselines"


def dice(found, truth):
    return 2 * (found & truth).sum() / max(1, found.sum() + truth.sum())


def drawn_heart() -> tuple[np.ndarray, np.ndarray]:
    """1.5 mm pixels, 4 slices: a bright disc in a dark wall, a bright sickle beside it, grey around."""
    x, y = np.meshgrid(np.arange(110), np.arange(100), indexing="ij")
    from_left = np.hypot(x - 60, y - 52) * 1.5
    from_right = np.hypot(x - 42, y - 52) * 1.5
    labels = np.zeros((110, 100), np.uint8)
    labels[(from_right < 26) & (from_left > 32)] = 1
    labels[from_left < 29] = 2
    labels[from_left < 20] = 3
    image = np.select([labels == 2, labels > 0], [0.25, 1.0], 0.5)
    image[from_left > 68] = 0.0
    rng = np.random.default_rng(0)
    return np.stack([image] * 4, -1) + rng.normal(0, 0.04, (110, 100, 4)), np.stack([labels] * 4, -1)


@pytest.mark.parametrize("method", METHODS)
def test_a_drawn_heart_is_found_and_each_part_named(method):
    image, labels = drawn_heart()
    found = heart(image, method=method, spacing=(1.5, 1.5))
    assert found.dtype == np.uint8
    scores = [dice(found == n, labels == n) for n in (1, 2, 3)]
    assert min(scores) > 0.8, scores


def test_the_heart_is_found_wherever_the_right_ventricle_lies():
    image, labels = drawn_heart()
    for turn in (1, 2, 3):
        found = heart(np.rot90(image, turn), method="otsu", spacing=(1.5, 1.5))
        assert dice(found == 1, np.rot90(labels, turn) == 1) > 0.8


def drawn_chest() -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units, 3 mm pixels: a body in air on a table, two lungs with vessels, a bubble in the stomach."""
    x, y, z = np.meshgrid(np.arange(100), np.arange(80), np.arange(6), indexing="ij")
    rng = np.random.default_rng(0)
    image = np.full(x.shape, -1000.0)
    image[((x - 50) / 44) ** 2 + ((y - 40) / 32) ** 2 < 1] = 40
    mask = np.zeros(x.shape, bool)
    for centre in (30, 70):
        mask |= ((x - centre) / 15) ** 2 + ((y - 40) / 22) ** 2 < 1
    image[mask] = -850
    image[mask & (np.hypot(x - 30, y - 44) < 2)] = 50
    image[np.hypot(np.hypot(x - 50, y - 62), 3 * (z - 3)) < 4] = -950
    image[:, 78] = 100
    return image + rng.normal(0, 30, x.shape), mask


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", ["hounsfield", "grey"])
def test_drawn_lungs_are_found_with_their_vessels_on_either_scale(method, scale):
    image, mask = drawn_chest()
    if scale == "grey":
        image = np.clip((image + 1250) / 1500, 0, 1) * 255
    found = lungs(image, method=method, spacing=(3.0, 3.0, 5.0))
    assert dice(found, mask) > 0.93
    assert not found[46:55, 58:67].any(), "the stomach's air is none of it"


@pytest.mark.parametrize("method", METHODS)
def test_an_empty_image_is_background(method):
    flat = np.zeros((20, 20, 3))
    assert not heart(flat, method=method, spacing=(1.5, 1.5)).any()
    assert not lungs(flat, method=method, spacing=(2.0, 2.0, 5.0)).any()


def test_as_a_network_it_answers_one_hot_for_each_volume():
    image, labels = drawn_heart()
    network = Baseline("heart")
    x = torch.from_numpy(np.stack([image, image[::-1]])[:, None].copy()).float()
    logits = network(x)
    assert logits.shape == (2, 4, *image.shape)
    assert torch.equal(logits.sum(1), torch.ones(2, *image.shape))
    assert dice(logits[1, 3].numpy() > 0, labels[::-1] == 3) > 0.8
    assert list(network.parameters()) == []
    with pytest.raises(DataError, match="heart or lungs"):
        Baseline("liver")


@pytest.mark.parametrize(("organ", "numbers"), [("heart", {0, 1, 2, 3}), ("lungs", {0, 1})])
def test_the_command_that_segments_takes_it_for_a_bundle(tmp_path, organ, numbers):
    image, truth = drawn_heart() if organ == "heart" else drawn_chest()
    spacing = (1.5, 1.5, 10.0) if organ == "heart" else (3.0, 3.0, 5.0)
    voxels = np.round(image * (100 if organ == "heart" else 1)).astype(np.int16)
    scan = acdc_like(tmp_path / "a.nii.gz", voxels, spacing=spacing)
    config = json.loads((CONFIGS / f"{organ}.json").read_text(encoding="utf-8"))
    (tmp_path / f"{organ}.json").write_text(json.dumps(config))
    summary = segment(
        scan, tmp_path / "out", bundle=tmp_path / f"{organ}.json", overrides={"method": "gaussian_mixture"},
        progress=False, echo=lambda _: None,
    )  # fmt: skip
    assert [case.reason for case in summary.cases] == [""]
    mask = read_mask(summary.cases[0].mask)
    assert set(np.unique(mask)) == numbers
    assert dice(mask > 0, truth > 0) > 0.9


@pytest.mark.parametrize("organ", ["heart", "lungs"])
def test_masks_below_the_images_are_no_input_of_monais_own_command(tmp_path, organ):
    voxels = np.arange(60, dtype=np.int16).reshape(5, 4, 3)
    (tmp_path / "out").mkdir()
    acdc_like(tmp_path / "a.nii.gz", voxels)
    acdc_like(tmp_path / "out" / "a.nii.gz", voxels)
    scan = acdc_like(tmp_path / "b.nii.gz", voxels)
    parser = ConfigParser()
    parser.read_config(CONFIGS / f"{organ}.json")
    parser.update({"dataset_dir": str(tmp_path), "output_dir": str(tmp_path / "out")})
    parser.get_parsed_content("imports")
    assert parser.get_parsed_content("datalist") == [{"image": str(scan), "case": "b"}]


@pytest.mark.real_data
def test_real_left_ventricles_overlap(acdc_root):
    from monai.transforms import NormalizeIntensity
    from scipy.ndimage import zoom

    scores = []
    for patient, frame in (("patient004", 1), ("patient030", 1), ("patient070", 1)):
        stem = acdc_root / "training" / patient / f"{patient}_frame{frame:02d}"
        image, truth = (nib.load(f"{stem}{end}.nii.gz") for end in ("", "_gt"))
        factors = [mm / 1.5 for mm in image.header.get_zooms()[:2]] + [1]
        grey = NormalizeIntensity()(zoom(image.get_fdata(), factors, order=1)[None])[0]
        found = heart(np.asarray(grey), method="otsu", spacing=(1.5, 1.5))
        scores.append(dice(found == 3, zoom(np.asarray(truth.dataobj), factors, order=0) == 3))
    assert np.mean(scores) > 0.5, scores
