"""Exported networks against the eager one."""

import json
import re
import shutil
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from pipeline.packaging.export import OnnxNetwork, compare, export, random_volume
from pipeline.packaging.loading import network_of, on_path, parser_of


@pytest.fixture(autouse=True)
def small_volume(monkeypatch):
    monkeypatch.setattr("pipeline.packaging.export.VOLUME", (96, 96))
    monkeypatch.setattr("pipeline.packaging.export.SLICES", 3)


def test_torchscript_gives_the_same_and_holds_its_configuration(packed):
    found = export(packed, torchscript=True)["torchscript"]
    assert found.shape == (96, 96, 3)
    assert found.agreement == 1.0
    assert found.difference < 1e-4 * found.spread + 1e-5
    with zipfile.ZipFile(packed / "models" / "model.ts") as archive:
        # where MONAI Deploy looks for them
        assert json.loads(archive.read("model/extra/metadata.json"))["version"] == "0.3.3"
        assert json.loads(archive.read("model/extra/inference.json"))["bundle_root"] == "."


def test_a_network_that_answers_otherwise_is_noticed(packed):
    with on_path(packed):
        network = network_of(packed)
    window = torch.zeros(1, 5, 48, 48, 1)
    found = compare(lambda x: network(x) + 0.25, network, packed / "models" / "model.pt", window)
    assert found.difference == pytest.approx(0.25, abs=1e-5)
    assert found.agreement == 1.0  # all classes shifted alike
    found = compare(lambda x: -network(x), network, packed / "models" / "model.pt", window)
    assert found.agreement < 0.5


def test_the_volume_is_always_the_same_and_standardised():
    volume = random_volume(2, (20, 24, 3))
    assert volume.shape == (1, 2, 20, 24, 3)
    assert torch.equal(volume, random_volume(2, (20, 24, 3)))
    assert abs(float(volume.mean())) < 1e-5
    assert float(volume.std()) == pytest.approx(1, abs=1e-4)


def test_onnx_runtime_infers_what_the_network_infers(packed, phantom_acdc, tmp_path, monkeypatch):
    found = export(packed, onnx=True)["onnx"]
    assert found.agreement >= 0.9999
    windows = torch.rand(3, 5, 48, 48, 1)
    with torch.no_grad(), on_path(packed):
        eager = network_of(packed)(windows)
    torch.testing.assert_close(OnnxNetwork(packed / "models" / "model.onnx")(windows), eager, atol=5e-4, rtol=1e-3)
    the_example_of_the_page_segments(packed, phantom_acdc, tmp_path, monkeypatch)


def the_example_of_the_page_segments(packed, phantom_acdc, tmp_path, monkeypatch):
    scan = next((phantom_acdc / "training" / "patient001").glob("*_frame01.nii.gz"))
    shutil.copy(scan, packed / "heart.nii.gz")
    page = (Path(__file__).parents[2] / "docs" / "packaging.md").read_text(encoding="utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "onnxruntime" in block)
    monkeypatch.chdir(packed)
    monkeypatch.setattr(sys, "path", list(sys.path))
    exec(example, {})
    mask = np.asanyarray(nib.load("masks/heart.nii.gz").dataobj)
    out = tmp_path / "eager"
    with on_path(packed):
        parser = parser_of(packed, output_dir=str(out), device="$torch.device('cpu')", precision="fp32")
        data = parser.get_parsed_content("preprocessing")({"image": str(scan), "case": "heart"})
        with torch.no_grad():
            data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network_of(packed))[0]
        parser.get_parsed_content("postprocessing")(data)
    expected = np.asanyarray(nib.load(out / "heart.nii.gz").dataobj)
    assert mask.dtype == np.uint8
    assert len(np.unique(expected)) > 1
    assert np.mean(mask == expected) > 0.999
