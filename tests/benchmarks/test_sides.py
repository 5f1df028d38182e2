"""Both sides of each comparison do the same: masks, scores and steps agree on small data."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks import scores
from benchmarks.ct import agreement_of
from benchmarks.monai_stock import StockMonai
from benchmarks.nnunet import InSlices, _plans
from benchmarks.ours import BareNetwork, Segmenter
from benchmarks.setting import ACDC, Setting, random_weights
from pipeline.networks import Adapter
from pipeline.transforms import labels_on_grid
from pipeline.volumes import read_mask


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Setting(tmp_path_factory.mktemp("benchmark"), quick=True)


@pytest.fixture(scope="module")
def case(phantom_acdc):
    image = sorted(phantom_acdc.rglob("patient002_frame*.nii.gz"))[0]
    return {"image": str(image), "case": "one", "label": str(image).replace(".nii.gz", "_gt.nii.gz")}


def test_masks_of_the_stock_arrangement_agree(setting, case, tmp_path):
    """One window of 128 x 128 after resampling, so that window weights and padding, which differ, play no part."""
    heart = nib.load(case["image"])
    voxels = np.asarray(heart.dataobj)[:, :, 2:4].astype(np.float32)
    large = zoom(voxels, (160 / voxels.shape[0], 160 / voxels.shape[1], 1), order=1)
    nib.save(nib.Nifti1Image(large, np.diag([1.25, 1.25, 10, 1])), tmp_path / "one.nii.gz")
    item = {"image": str(tmp_path / "one.nii.gz"), "case": "one"}
    weights = setting.acdc_weights
    alike = {"largest_component": False, "single_piece": [], "cascade": False, "precision": "fp32"}
    ours = Segmenter(ACDC, weights, tmp_path / "ours", **alike)(item)
    theirs = StockMonai(ACDC, weights, tmp_path / "stock")(item)
    assert np.count_nonzero(read_mask(ours)) > 500
    assert agreement_of(str(ours), str(theirs)) > 0.99


@pytest.mark.parametrize("mirror_axes", [[], [0, 1]])
def test_the_bare_network_sees_the_windows_of_the_bundle(setting, case, mirror_axes, tmp_path):
    options = {"mirror_axes": mirror_axes, "precision": "fp32"}
    bare = BareNetwork(setting.acdc_weights, mirror_axes=mirror_axes)
    bare.prepare(case)
    segmenter = Segmenter(ACDC, setting.acdc_weights, tmp_path, **options)
    seen = []
    hook = register_module_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].clone()) if isinstance(module, Adapter) else None
    )
    with hook:
        segmenter(case)
    windows = bare.windows[case["case"]]
    assert len(windows) > 1, "a coarse look and a fine one"
    assert [w.shape for w in windows] == [w.shape for w in seen]
    assert all(torch.equal(*pair) for pair in zip(windows, seen, strict=True))


def test_the_peers_of_the_scores_give_equal_values():
    generator = np.random.default_rng(1)
    grid = np.stack(np.indices((24, 22, 10)), -1) - (12, 11, 5)
    truth = np.stack([np.linalg.norm(grid * (1, 1, 2), axis=-1) < r for r in (9, 5)])
    pred = np.roll(truth, (2, 1, 0), axis=(1, 2, 3)) ^ (truth & (generator.random(truth.shape) < 0.02))
    pair = scores.Pair(truth, pred, (0.8, 0.7, 2.5))
    peers = [("monai", scores.ours_as_monai, scores.by_monai, 1e-4)]
    if scores.installed(scores.by_medpy):
        peers.append(("medpy", scores.ours, scores.by_medpy, 1e-4))
    for name, own, theirs, tolerance in peers:
        assert scores.largest_difference(own(pair), theirs(pair)) < tolerance, name


def test_a_network_in_slices_is_the_network_turned():
    network = torch.nn.Conv3d(1, 2, (3, 1, 1), padding=(1, 0, 0))
    x = torch.randn(2, 1, 5, 6)  # y, x
    expected = torch.stack([network(x[:, :, y][..., None, None])[..., 0, 0] for y in range(5)], dim=2)
    assert torch.allclose(InSlices(network)(x), expected, atol=1e-6)
    assert _plans([160, 160], [1.5, 1.5])["configurations"]["2d"]["patch_size"] == [160, 160]


def test_slabs_of_any_size_give_the_same_labels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 9, 8, 5, generator=generator)
    working, fine = (torch.diag(torch.tensor([n, n, 3.0, 1.0], dtype=torch.float64)) for n in (1.5, 0.7))
    whole = labels_on_grid(logits, working, fine, (19, 17, 5), slab=10**9)
    assert torch.equal(labels_on_grid(logits, working, fine, (19, 17, 5), slab=1), whole)
    assert len(whole.unique()) == 4


def test_random_weights_fit_their_bundle(tmp_path):
    Segmenter(ACDC, random_weights(ACDC, tmp_path / "a.pt"), tmp_path / "out")
