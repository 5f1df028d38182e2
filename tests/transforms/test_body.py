"""The box around the body."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import acdc_like
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from pipeline.transforms import CropToBodyd, HounsfieldWindowd

REPOSITORY = Path(__file__).resolve().parents[2]
AIR, LUNG, MUSCLE, SPLEEN, CONTRAST, TABLE = -1000, -800, 50, 120, 320, 200


def scan():
    """A body of 120 x 90 mm in air, a lung, a spleen and a vessel with contrast in it, on a thin table, in HU."""
    x, y, _ = torch.meshgrid(torch.arange(200), torch.arange(160), torch.arange(12), indexing="ij")
    image = torch.full(x.shape, AIR, dtype=torch.int16)
    image[((x - 100) / 60.0) ** 2 + ((y - 70) / 45.0) ** 2 < 1] = MUSCLE
    image[((x - 75) / 20.0) ** 2 + ((y - 70) / 30.0) ** 2 < 1] = LUNG
    image[((x - 145) / 8.0) ** 2 + ((y - 60) / 8.0) ** 2 < 1] = SPLEEN
    image[((x - 110) / 15.0) ** 2 + ((y - 70) / 15.0) ** 2 < 1] = CONTRAST
    image[20:180, 140:143] = TABLE
    return image[None]


def cropped(image):
    return CropToBodyd("image")({"image": MetaTensor(image, affine=np.diag([1.0, 1.0, 5.0, 1.0]))})["image"]


def test_the_box_holds_the_whole_body_and_little_else():
    image = cropped(scan())
    assert image.dtype == torch.int16
    start = image.affine[:3, 3].tolist()
    for axis, (low, high) in enumerate(((41, 159), (26, 114))):
        assert low - 8 <= start[axis] <= low
        assert high <= start[axis] + image.shape[axis + 1] - 1 <= high + 8
    assert (start[2], image.shape[3]) == (0, 12)


@pytest.mark.parametrize("config", ["train", "inference"])
@pytest.mark.parametrize("window", [(-1250, 250), (-160, 240), (0, 80), (200, 2000)])
def test_the_bundle_crops_to_the_body_whatever_its_window(config, window, tmp_path):
    """In a window of soft tissue the vessel alone is bright: it is not the body."""
    image = acdc_like(tmp_path / "ct.nii.gz", scan()[0].numpy(), spacing=(1.0, 1.0, 5.0))
    parser = ConfigParser(ConfigParser.load_config_file(str(REPOSITORY / "bundles" / "covid19" / f"{config}.json")))
    parser.update({"hu_window": list(window), "spacing": [1.0, 1.0, 5.0]})
    out = parser.get_parsed_content("preprocessing")({"image": str(image), "case": "ct"})["image"]
    assert out.shape == cropped(scan()).shape
    assert (cropped(scan()) == SPLEEN).sum() == (scan() == SPLEEN).sum()


def test_each_way_of_storing_a_scan_gives_the_same_box():
    wanted = cropped(scan())
    grey = ((scan().float() + 1250) / 1500).clip(0, 1)
    for other in (scan() + 1024, grey * 255, grey):
        assert cropped(other).shape == wanted.shape
        assert torch.equal(cropped(other).affine, wanted.affine)


def test_the_scale_is_told_by_the_whole_volume_and_not_by_what_is_left_of_it():
    image = torch.full((1, 100, 100, 8), AIR, dtype=torch.int16)
    image[:, 40:70, 40:70] = torch.arange(30, dtype=torch.int16)[:, None, None] * 20  # 0 to 580 HU, no air
    inside = cropped(image)[:, 5:-5, 5:-5]
    out = HounsfieldWindowd("image", window=(0, 580))({"image": inside})["image"]
    assert 0 <= inside.min() < 300 < inside.max(), "without the note it would be taken for HU + 1024"
    assert torch.allclose(out.as_tensor(), (inside.as_tensor() - 290) / 290)


def test_a_slice_cropped_to_the_lungs_is_kept_whole():
    lungs = scan()[:, 60:90, 50:90, 5:6]
    assert cropped(lungs).shape == lungs.shape


@pytest.mark.parametrize("value", [AIR, MUSCLE])
def test_an_image_without_tissue_or_without_air_is_kept_whole(value):
    assert cropped(torch.full((1, 30, 30, 4), value)).shape == (1, 30, 30, 4)
