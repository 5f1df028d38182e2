"""MONAI Label with packed bundles: what it serves is what `volseg segment` gives, and what it trains it serves."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from server import LabelServer

from pipeline.checkpoints import save_atomically
from pipeline.packaging import package
from pipeline.segmentation import segment

REPOSITORY = Path(__file__).resolve().parents[2]
ACDC, COVID = "acdc_segmentation", "covid19_segmentation"


def voxels(path):
    """The mask as it is stored; whole numbers."""
    values = np.asanyarray(nib.load(path).dataobj)
    assert np.array_equal(values, values.astype(np.uint8)), path
    return values.astype(np.uint8)


def place(path):
    """Spacing, origin and direction as ITK reads them, and so 3D Slicer; ACDC's headers tell others by their sform."""
    image = SimpleITK.ReadImage(str(path))
    return [*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]


def report(what, served_file, our_file):
    """One line for the log, and the comparison itself."""
    ours, served = voxels(our_file), voxels(served_file)
    different = int((ours != served).sum())
    labels = dict(zip(*map(np.ndarray.tolist, np.unique(ours, return_counts=True)), strict=True))
    print(f"\n{what}: {different} of {ours.size} voxels differ from volseg segment; voxels by label: {labels}")
    assert ours.shape == served.shape
    np.testing.assert_allclose(place(served_file), place(our_file), atol=1e-4)
    assert different == 0
    assert len(labels) > 1, "an empty mask proves nothing"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Images, their labels, and two packed bundles: acdc with its weights, covid19 with random ones."""
    from monai.bundle import ConfigParser

    from pipeline.phantoms import acdc, covid19

    os.chdir(REPOSITORY)
    root = tmp_path_factory.mktemp("label")
    datalist = acdc.write(root / "acdc", patients=2, seed=0, size="small")
    covid19.write(root / "covid19", layout="covid-19-ct-seg", patients=2, seed=0, size="small")
    chest = next(path for path in sorted((root / "covid19").rglob("coronacases*.nii.gz")) if "Mask" not in str(path))
    random = root / "random.pt"
    torch.manual_seed(1)
    inference = json.loads(Path("bundles/covid19/inference.json").read_text(encoding="utf-8"))
    network = ConfigParser(inference | {"device": "$torch.device('cpu')"}).get_parsed_content("network_def")
    save_atomically(network.state_dict(), random)
    package("bundles/acdc", root / "dist")
    package("bundles/covid19", root / "dist", weights=random)
    cases = [(root / "acdc" / item["image"], root / "acdc" / item["label"]) for item in datalist["training"]]
    images = [image for image, _ in cases] + [chest]
    real = Path(os.environ.get("VOLSEG_ACDC", "/nowhere"), "training/patient001/patient001_frame01.nii.gz")
    if real.is_file():
        images.append(shutil.copy(real, root / "real_patient001_frame01.nii.gz"))
    return {"root": root, "cases": cases, "chest": chest, "images": images, "random": random}


@pytest.fixture(scope="module")
def server(workplace):
    """The server with both bundles; it ends with the tests."""
    root = workplace["root"]
    bundles = [root / "dist" / ACDC, root / "dist" / COVID]
    with LabelServer(os.environ["VOLSEG_LABEL_PYTHON"], root, bundles, workplace["images"]) as started:
        yield started
    assert started.process.poll() is not None


def name_of(path):
    return Path(path).name.removesuffix(".nii.gz")


def ours(workplace, image, name, **options):
    out = workplace["root"] / "ours" / name
    summary = segment(image, out, progress=False, overwrite=True, **options)
    assert summary.exit_code == 0
    return out / Path(image).name


def test_info_names_the_models_and_their_labels(server):
    models = server.get("/info/")["models"]
    assert models[ACDC]["type"] == "segmentation"
    assert models[ACDC]["labels"] == {"rv": 1, "myo": 2, "lv": 3}
    assert models[COVID]["labels"] == {"infection": 1}
    assert (
        models[ACDC]["version"] == json.loads(Path("bundles/acdc/metadata.json").read_text(encoding="utf-8"))["version"]
    )


def test_a_served_heart_is_what_volseg_segment_gives(server, workplace, tmp_path):
    hearts = [workplace["cases"][0][0], *(path for path in workplace["images"] if "real_" in str(path))]
    for image in hearts:
        served = server.infer(ACDC, name_of(image), tmp_path / "served.nii.gz")
        report(f"infer {name_of(image)}", served, ours(workplace, image, "acdc"))


def test_a_second_bundle_in_the_same_server(server, workplace, tmp_path):
    served = server.infer(COVID, name_of(workplace["chest"]), tmp_path / "served.nii.gz")
    expected = ours(workplace, workplace["chest"], "covid19", bundle="bundles/covid19", weights=workplace["random"])
    report("infer covid19", served, expected)


def test_it_trains_on_saved_labels_and_serves_the_new_weights(server, workplace, tmp_path):
    for image, label in workplace["cases"]:
        assert server.save_label(name_of(image), label)
    models = server.app / "model" / ACDC / "models"
    shipped = (models / "model.pt").read_bytes()
    request = {"device": "cpu", "max_epochs": 2, "multi_gpu": False, "val_split": 0.25}
    for _ in range(2):  # a second training is not refused because of the first
        server.post(f"/train/{ACDC}?run_sync=true", request)
    logs = sorted((server.app / "model" / ACDC / "runs").glob("*/log.jsonl"))
    assert [len(log.read_text(encoding="utf-8").splitlines()) for log in logs] == [2, 2]
    assert (models / "model.pt").read_bytes() != shipped
    assert json.loads((models / "model.json").read_text(encoding="utf-8"))["cases"]
    image = workplace["cases"][1][0]
    served = server.infer(ACDC, name_of(image), tmp_path / "served.nii.gz")
    report("infer after training", served, ours(workplace, image, "trained", weights=models / "model.pt"))
