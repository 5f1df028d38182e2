"""Shortcuts of inference on and off give the same: windows in batches, cached weights, the air around left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from benchmarks.setting import COVID19
from pipeline.segmentation.runner import find_config
from pipeline.transforms import RestoreGridd


@pytest.mark.parametrize("change", [{"sw_batch_size": 1}, {"cache_roi_weight_map": False}], ids=str)
def test_batches_and_cached_weights_change_nothing(change):
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 3, (3, 3, 1), padding="same")
    own = {"roi_size": (8, 8, 1), "sw_batch_size": 16, "overlap": (0.5, 0.5, 0.0), "mode": "gaussian"}
    own |= {"padding_mode": "replicate", "cache_roi_weight_map": True}
    x = torch.randn(1, 1, 19, 14, 3)
    with torch.no_grad():
        expected = SlidingWindowInferer(**own)(x, network)
        assert torch.allclose(SlidingWindowInferer(**own | change)(x, network), expected, atol=1e-5)


def test_what_is_found_inside_the_body_does_not_depend_on_the_air_around(phantom_covid19):
    """Soft tissue by a threshold instead of a network, from the file and back to its grid."""
    scan = sorted((phantom_covid19 / "COVID-19-CT-Seg_20cases").glob("coronacases*"))[0]
    on, off = (_tissue(str(scan), crop_to_body=crop) for crop in (True, False))
    assert on.shape == off.shape
    assert np.count_nonzero(on) > 1000
    assert 2 * np.count_nonzero(on & off) / (np.count_nonzero(on) + np.count_nonzero(off)) > 0.99


def _tissue(path: str, **keys: bool) -> np.ndarray:
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(find_config(COVID19)))
    parser.update(keys)
    item = parser.get_parsed_content("preprocessing")({"image": path, "case": "scan"})
    item["pred"] = item["image"].as_tensor() - 0.5
    return np.asarray(RestoreGridd("pred", labels={"tissue": 1})(item)["pred"][0]) > 0
