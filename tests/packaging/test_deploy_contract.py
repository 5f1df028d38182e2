"""MONAI Deploy's MonaiBundleInferenceOperator, by what it is documented to do: an image in memory in, a label map out.

It reads metadata and inference.json from model.ts (or from the folder, which it puts on the module path), takes out the
transforms that have LoadImage or SaveImage in their class's name, hands over the image with its affine and shape as
metadata, and calls the inferer with the TorchScript network.
"""

import io
import json
import sys
import zipfile

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor

from pipeline.packaging.export import export


def operator(folder, image, affine):
    """What the operator would send on for an image (X, Y, Z) with a 4 x 4 affine."""
    path = folder / "models" / "model.ts"
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        files = {name: json.loads(archive.read(f"model/extra/{name}.json")) for name in ("metadata", "inference")}
    parser = ConfigParser(files["inference"] | {"device": "$torch.device('cpu')", "precision": "fp32"})
    steps = {}
    for key in ("preprocessing", "postprocessing"):
        compose = parser.get_parsed_content(key)
        names = ("LoadImage", "SaveImage")
        compose.transforms = [t for t in compose.transforms if not any(name in type(t).__name__ for name in names)]
        steps[key] = compose
    shapes = files["metadata"]["network_data_format"]
    (image_key,), (pred_key,) = shapes["inputs"], shapes["outputs"]
    assert shapes["inputs"][image_key]["type"] == shapes["outputs"][pred_key]["type"] == "image"
    meta = {
        "affine": affine.copy(),
        "original_affine": affine.copy(),
        "spatial_shape": np.asarray(image.shape),
        "original_channel_dim": "no_channel",
        "space": "LPS",
    }
    data = steps["preprocessing"]({image_key: MetaTensor.ensure_torch_and_prune_meta(torch.as_tensor(image), meta)})
    with torch.no_grad():
        network = torch.jit.load(str(path)).eval()
        logits = parser.get_parsed_content("inferer")(inputs=data[image_key][None], network=network)
    return steps["postprocessing"]({pred_key: logits[0], **data})[pred_key]


@pytest.mark.parametrize(("name", "fixture"), [("acdc", "phantom_acdc"), ("covid19", "phantom_covid19")])
def test_an_image_in_memory_becomes_a_label_map(packed_once, tmp_path, request, monkeypatch, name, fixture):
    import shutil

    from pipeline.segmentation import segment

    folder = shutil.copytree(packed_once[name], tmp_path / packed_once[name].name)
    monkeypatch.setattr("pipeline.packaging.export.VOLUME", (48, 48))
    monkeypatch.setattr("pipeline.packaging.export.SLICES", 2)
    export(folder, torchscript=True)
    listed = json.loads((request.getfixturevalue(fixture) / "datalist.json").read_text(encoding="utf-8"))["training"]
    scan = request.getfixturevalue(fixture) / listed[0]["image"]
    loaded = nib.load(scan)
    affine = np.diag([*loaded.header.get_zooms()[:3], 1.0]) * np.sign(np.diag(loaded.affine))
    monkeypatch.syspath_prepend(str(folder))
    mask = operator(folder, np.asarray(loaded.dataobj, np.float32), affine)
    assert mask.shape == (1, *loaded.shape)
    values = np.asarray(mask[0]).astype(np.uint8)
    bundle = packed_once[name].parents[1] / "bundles" / name
    segment(scan, tmp_path / "out", bundle=bundle, overrides={"precision": "fp32"}, progress=False, echo=lambda _: None)
    ours = np.asanyarray(nib.load(tmp_path / "out" / scan.name).dataobj)
    assert len(np.unique(ours)) > 1
    assert np.mean(values == ours) > 0.999
    for module in [module for module in sys.modules if module.startswith("volseg_")]:
        del sys.modules[module]
