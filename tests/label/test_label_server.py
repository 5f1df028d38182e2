"""MONAI Label with packed bundles: what it serves is what `volseg segment` gives, and what it trains it serves."""

from __future__ import annotations

import json
import os
import shutil
import time
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
ACDC, COVID, SLICES = "acdc_segmentation", "covid19_segmentation", "covid19_slices_segmentation"
SLICER_ASKS = {"result_extension": ".nrrd", "result_dtype": "uint8"}  # MONAILabel.py of its module, `infer`


def voxels(path):
    """The mask as it is stored, x first; whole numbers."""
    nrrd = path.suffix == ".nrrd"
    values = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))).T if nrrd else nib.load(path).dataobj
    values = np.asanyarray(values)
    assert np.array_equal(values, values.astype(np.uint8)), path
    return values.astype(np.uint8)


def place(path):
    """Spacing, origin and direction as ITK reads them, and so 3D Slicer; ACDC's headers tell others by their sform."""
    image = SimpleITK.ReadImage(str(path))
    return [*image.GetSpacing(), *image.GetOrigin(), *image.GetDirection()]


def report(what, served_file, our_file, log):
    """One line for the log, and the comparison itself."""
    ours, served = voxels(our_file), voxels(served_file)
    different = int((ours != served).sum())
    labels = dict(zip(*map(np.ndarray.tolist, np.unique(ours, return_counts=True)), strict=True))
    log(f"{what}: {different} of {ours.size} voxels differ from volseg segment; voxels by label: {labels}")
    assert ours.shape == served.shape
    np.testing.assert_allclose(place(served_file), place(our_file), atol=1e-4)
    assert different == 0
    assert len(labels) > 1, "an empty mask proves nothing"


def as_slicer_saves(mask, image, target):
    """A mask as 3D Slicer's module submits it: on the image's grid as ITK reads it, 16 bits, by ITK."""
    read = SimpleITK.ReadImage(str(image))
    label = SimpleITK.GetImageFromArray(voxels(mask).T.astype(np.int16))
    label.CopyInformation(read)
    SimpleITK.WriteImage(label, str(target))
    return target


def wait_for(log, words, seconds=60):
    """The server answers before it writes the reason into its log."""
    end = time.monotonic() + seconds
    while words not in (text := log.read_text(errors="replace")):
        assert time.monotonic() < end, text[-3000:]
        time.sleep(0.5)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Images, their labels, and the packed bundles: acdc and covid19_slices with their weights, covid19 with random
    ones."""
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
    package("bundles/covid19_slices", root / "dist")
    middle = SimpleITK.ReadImage(str(chest))
    depth = middle.GetSize()[2] // 2
    SimpleITK.WriteImage(middle[:, :, depth : depth + 1], str(root / "one_slice.nii.gz"))
    cases = [(root / "acdc" / item["image"], root / "acdc" / item["label"]) for item in datalist["training"]]
    images = [image for image, _ in cases] + [chest, root / "one_slice.nii.gz"]
    real = Path(os.environ.get("VOLSEG_ACDC", "/nowhere"), "training/patient001/patient001_frame01.nii.gz")
    if real.is_file():
        images.append(shutil.copy(real, root / "real_patient001_frame01.nii.gz"))
    return {"root": root, "cases": cases, "chest": chest, "images": images, "random": random}


@pytest.fixture(scope="module")
def server(workplace):
    """The server with all bundles; it ends with the tests."""
    with LabelServer(os.environ["VOLSEG_LABEL_PYTHON"], workplace["root"], workplace["images"]) as started:
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
    info = server.get("/info/")
    models = info["models"]
    assert models[ACDC]["type"] == "segmentation"
    assert models[ACDC]["labels"] == {"rv": 1, "myo": 2, "lv": 3}
    assert models[COVID]["labels"] == {"infection": 1}
    assert info["labels"] == ["rv", "myo", "lv", "infection"]  # the order in which Slicer numbers segments
    metadata = json.loads(Path("bundles/acdc/metadata.json").read_text(encoding="utf-8"))
    assert models[ACDC]["version"] == metadata["version"]


def test_a_served_heart_is_what_volseg_segment_gives(server, workplace, tmp_path, log):
    hearts = [workplace["cases"][0][0], *(path for path in workplace["images"] if "real_" in str(path))]
    for image in hearts:
        served = server.infer(ACDC, name_of(image), tmp_path / "served.nii.gz")
        report(f"infer {name_of(image)}", served, ours(workplace, image, "acdc"), log)
    served = server.infer(ACDC, name_of(hearts[-1]), tmp_path / "served.nrrd", **SLICER_ASKS)
    report(f"infer {name_of(hearts[-1])} as 3D Slicer asks", served, workplace["root"] / "ours/acdc" / image.name, log)


def test_other_bundles_in_the_same_server(server, workplace, tmp_path, log):
    served = server.infer(COVID, name_of(workplace["chest"]), tmp_path / "served.nii.gz")
    expected = ours(workplace, workplace["chest"], "covid19", bundle="bundles/covid19", weights=workplace["random"])
    report("infer covid19", served, expected, log)
    image = workplace["root"] / "one_slice.nii.gz"
    served = server.infer(SLICES, name_of(image), tmp_path / "slice.nii.gz")
    report("infer covid19_slices", served, ours(workplace, image, "slices", bundle="bundles/covid19_slices"), log)


def test_it_trains_on_saved_labels_and_serves_the_new_weights(server, workplace, tmp_path, log):
    segments = server.get("/info/")["labels"]
    for number, (image, label) in enumerate(workplace["cases"]):
        drawn = as_slicer_saves(label, image, tmp_path / "drawn.nii.gz") if number % 2 else label
        server.save_label(name_of(image), drawn, segments)
    for image in (path for path in workplace["images"] if "real_" in str(path)):
        proposed = workplace["root"] / "ours" / "acdc" / image.name
        server.save_label(name_of(image), as_slicer_saves(proposed, image, tmp_path / "drawn.nii.gz"), segments)
    models = server.app / "model" / ACDC / "models"
    shipped = (models / "model.pt").read_bytes()
    request = {"device": "cpu", "max_epochs": 2, "multi_gpu": False, "val_split": 0.25}
    server.post(f"/train/{ACDC}?run_sync=true", request)
    server.train(ACDC, request)  # as Slicer does; it is not refused because of the first
    logs = sorted((server.app / "model" / ACDC / "runs").glob("*/log.jsonl"))
    assert [len(log.read_text(encoding="utf-8").splitlines()) for log in logs] == [2, 2]
    assert (models / "model.pt").read_bytes() != shipped
    assert json.loads((models / "model.json").read_text(encoding="utf-8"))["cases"]
    image = workplace["cases"][1][0]
    served = server.infer(ACDC, name_of(image), tmp_path / "served.nii.gz")
    trained = ours(workplace, image, "trained", weights=models / "model.pt")
    report("infer after two trainings of two epochs", served, trained, log)


def test_labels_with_the_numbers_of_another_bundle_are_not_trained_on(server, workplace):
    """Hearts have labels by now, which the COVID bundle does not know: a server has one folder for all its models."""
    weights = server.app / "model" / COVID / "models" / "model.pt"
    before = weights.read_bytes()
    with pytest.raises(AssertionError, match="500"):
        server.post(f"/train/{COVID}?run_sync=true", {"device": "cpu", "max_epochs": 1, "multi_gpu": False})
    wait_for(server.log, "expected the numbers 0 background, 1 infection, found 2, 3")
    assert weights.read_bytes() == before
