"""Ensembles, dropout, the cascade, the CRF and the entropy map as keys of a bundle's inference, through segment."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from image_files import acdc_like
from monai.bundle import ConfigParser
from scipy.ndimage import gaussian_filter, label

from pipeline.segmentation import segment
from pipeline.volumes import read_mask

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "acdc"
SMALL = {"filters": [4] * 5, "dropout": 0.3}


def config() -> dict:
    """bundles/acdc/inference.json with a small network that has dropout, and small windows."""
    told = json.loads((BUNDLE / "inference.json").read_text(encoding="utf-8"))
    told["network_def"]["network"]["network"] |= SMALL
    small = {"patch_size": [64, 64, 1], "overlap": 0.25, "precision": "fp32", "sw_batch_size": 8}
    return told | small | {"mirror_axes": [], "cascade": False} | {"device": "$torch.device('cpu')"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A folder with the configuration, an image, and two sets of random weights."""
    folder = tmp_path_factory.mktemp("options")
    (folder / "inference.json").write_text(json.dumps(config()))
    for seed in (0, 1):
        torch.manual_seed(seed)
        parser = ConfigParser(json.loads((folder / "inference.json").read_text(encoding="utf-8")))
        torch.save(parser.get_parsed_content("network").state_dict(), folder / f"{seed}.pt")
    noise = gaussian_filter(np.random.default_rng(3).normal(size=(70, 60, 4)), (4, 4, 1))
    acdc_like(folder / "a.nii.gz", np.round(4000 * noise).astype(np.int16))
    return folder


def run(ready: Path, output: Path, *, weights: tuple[int, ...] = (0,), **overrides) -> np.ndarray:
    files = [str(ready / f"{n}.pt") for n in weights]
    plain = {"largest_component": False, "single_piece": []}
    chosen = {"checkpoint": files if len(files) > 1 else files[0], **plain, **overrides}
    summary = segment(
        ready / "a.nii.gz", output, bundle=ready / "inference.json", overrides=chosen, progress=False,
        echo=lambda _: None,
    )  # fmt: skip
    assert [case.reason for case in summary.cases] == [""]
    return read_mask(summary.cases[0].mask)


def test_several_checkpoints_are_averaged(ready, tmp_path):
    alone = [run(ready, tmp_path / str(n), weights=(n,)) for n in (0, 1)]
    assert np.array_equal(run(ready, tmp_path / "twice", weights=(0, 0)), alone[0])
    both = run(ready, tmp_path / "both", weights=(0, 1))
    assert not np.array_equal(both, alone[0])
    assert not np.array_equal(both, alone[1])
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text(encoding="utf-8"))
    assert "1.pt" in json.dumps(manifest)


def test_the_entropy_lies_beside_the_mask(ready, tmp_path):
    run(ready, tmp_path / "out", dropout_samples=3, entropy=True)
    values = nib.load(tmp_path / "out" / "a_entropy.nii.gz")
    assert values.shape == (70, 60, 4)
    assert values.get_data_dtype() == np.float32
    assert 0 <= values.get_fdata().min() < values.get_fdata().max() <= 1


def test_the_crf_smooths_the_mask(ready, tmp_path):
    off, on = run(ready, tmp_path / "off"), run(ready, tmp_path / "on", crf=True)
    assert 0 < _borders(on) < _borders(off)


def test_the_cascade_looks_at_what_it_found(ready, tmp_path):
    off = run(ready, tmp_path / "off")
    everywhere = run(ready, tmp_path / "wide", cascade=True, **{"inferer#margin": [99, 99, 9]})
    assert np.array_equal(everywhere, off), "a margin that reaches the edges leaves nothing out"
    with_coarse = {"cascade": True, "cascade_checkpoint": str(ready / "1.pt"), "inferer#smallest": [8, 8, 1]}
    assert run(ready, tmp_path / "near", **with_coarse, **{"inferer#margin": [0, 0, 0]}).shape == off.shape


@pytest.mark.parametrize(("structure", "number"), [("RV", 1), ("LV", 3)])
def test_of_a_structure_in_several_pieces_the_largest_is_kept(ready, tmp_path, structure, number):
    before = run(ready, tmp_path / "off")
    pieces, count = label(before == number, np.ones((3, 3, 3)))
    assert count > 1
    largest = 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    expected = np.where((before == number) & (pieces != largest), 0, before)
    assert np.array_equal(run(ready, tmp_path / "on", single_piece=[structure]), expected)
    assert np.array_equal(run(ready, tmp_path / "other", single_piece=["liver"]), before)


def _borders(mask: np.ndarray) -> int:
    """Pairs of neighbours in plane that disagree."""
    return int((mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum())
