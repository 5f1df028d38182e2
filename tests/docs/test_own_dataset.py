"""The commands of docs/own_dataset.md, run as they stand there, on tiny files and with a small network."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "own_dataset.md"

SMALL = {
    "network_def#kernel_size": [[3, 3, 1]] * 3,
    "network_def#strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1]],
    "network_def#upsample_kernel_size": [[2, 2, 1]] * 2,
    "network_def#filters": [4, 8, 8],
    "patch_size": [32, 32, 1],
}
SMALL_ACDC = {"network_def#network#network#filters": [4, 8, 8, 8, 8], "patch_size": [32, 32, 1]}
TRAINING = {"epochs": 1, "val_interval": 1}


def commands(heading):
    """The command lines below a heading of the page."""
    section = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(heading))
    blocks = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def run(command, monkeypatch):
    """Run a command of the page in this process, made small; no process is started, since each imports for seconds."""
    program, *arguments = command
    size = SMALL_ACDC if "bundles/acdc" in " ".join(arguments) else SMALL
    if program == ".venv/bin/volseg":
        from typer.testing import CliRunner

        from pipeline.cli import app

        if arguments[0] == "segment":
            for key, value in size.items():
                arguments += ["--set", f"{key}={json.dumps(value)}"]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception!r}"
        return
    assert program == ".venv/bin/python"
    assert arguments[:2] == ["-m", "monai.bundle"]
    small = size | (TRAINING if arguments[3] == "training" else {"processes": 1})
    extra = [part for key, value in small.items() for part in (f"--{key}", str(value))]
    monkeypatch.setattr(sys, "argv", ["monai.bundle", *arguments[2:], *extra])
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)  # a SystemExit fails the test


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A working folder that looks like the repository's root; what commands write stays in it."""
    for name in ("bundles", "data_lists"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def nifti(path, voxels, spacing):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)


def blob(shape, centre, radius):
    offsets = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return ((offsets**2).sum(axis=0) < radius**2).astype(np.uint8)


def decathlon(folder, make, *, cases, **content):
    """A task folder: make(number) gives the voxels of an image, those of its mask and the spacing."""
    names = [f"case_{number:02d}" for number in range(cases)]
    for number, name in enumerate([*names, "new_01"]):
        image, mask, spacing = make(number)
        training = name in names
        nifti(folder / ("imagesTr" if training else "imagesTs") / f"{name}.nii.gz", image, spacing)
        if training:
            nifti(folder / "labelsTr" / f"{name}.nii.gz", mask, spacing)
    lists = {
        "numTraining": cases,
        "numTest": 1,
        "training": [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names],
        "test": ["./imagesTs/new_01.nii.gz"],
    }
    (folder / "dataset.json").write_text(json.dumps(content | lists))


def spleen(number):
    generator = np.random.default_rng(number)
    body, organ = blob((40, 36, 8), (20, 18, 4), 16), blob((40, 36, 8), (24, 20, 4), 6)
    voxels = np.where(body, 40, -1000) + 80 * organ + generator.normal(0, 5, body.shape)
    return voxels.astype(np.int16), organ, (3.0, 3.0, 5.0)


def prostate(number):
    generator = np.random.default_rng(number)
    inner, outer = blob((40, 36, 5), (20, 18, 2), 4), blob((40, 36, 5), (20, 18, 2), 9)
    channels = [300 + 200.0 * outer, 500 - 150.0 * inner]
    voxels = np.stack(channels, axis=-1) + generator.normal(0, 10, (40, 36, 5, 2))
    return voxels.astype(np.float32), (outer + inner).astype(np.uint8), (1.0, 1.0, 4.0)


@pytest.mark.slow
def test_ct_volumes(root, monkeypatch):
    labels = {"0": "background", "1": "spleen"}
    decathlon(root / "data" / "Task09_Spleen", spleen, cases=6, labels=labels, modality={"0": "CT"}, name="Spleen")
    follow(commands("CT volumes"), monkeypatch)
    check(root / "runs" / "spleen", ["spleen"], ["new_01.nii.gz"])
    mask = nib.load(root / "runs" / "spleen" / "masks" / "new_01.nii.gz")
    assert mask.shape == (40, 36, 8)


@pytest.mark.slow
def test_mr_volumes_with_channels(root, monkeypatch):
    labels, modality = {"0": "background", "1": "PZ", "2": "TZ"}, {"0": "T2", "1": "ADC"}
    decathlon(root / "data" / "Task05_Prostate", prostate, cases=6, labels=labels, modality=modality)
    follow(commands("MR volumes"), monkeypatch)
    check(root / "runs" / "prostate", ["PZ", "TZ"], ["new_01.nii.gz"])
    assert nib.load(root / "runs" / "prostate" / "masks" / "new_01.nii.gz").shape == (40, 36, 5)


@pytest.mark.slow
def test_pictures_and_their_masks(root, monkeypatch):
    folder = root / "data" / "skin"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for number in range(6):
        lesion = blob((48, 40 + number, 1), (20, 18 + number, 0), 9)[..., 0]
        pixels = np.stack([200 - 90 * lesion, 160 - 90 * lesion, 140 - 60 * lesion], axis=-1).astype(np.uint8)
        Image.fromarray(pixels.swapaxes(0, 1).copy()).save(folder / "images" / f"ISIC_{number:07d}.jpg")
        Image.fromarray(255 * lesion.T.copy()).save(folder / "masks" / f"ISIC_{number:07d}_segmentation.png")
    follow(commands("Pictures"), monkeypatch)
    check(root / "runs" / "skin", ["lesion"], [f"ISIC_{number:07d}.png" for number in range(6)])
    assert Image.open(root / "runs" / "skin" / "masks" / "ISIC_0000003.png").size == (48, 43)
    assert (root / "runs" / "skin" / "scores" / "report.html").is_file()


def follow(lines, monkeypatch):
    assert len(lines) >= 4
    for line in lines:
        run(line, monkeypatch)


def check(folder, structures, masks):
    """What the page promises of a run."""
    assert (folder / "models" / "model.pt").is_file()
    assert (folder / "learning_curves.png").is_file()
    assert (folder / "evaluation" / "report.html").is_file()
    scores = json.loads((folder / "evaluation" / "scores.json").read_text(encoding="utf-8"))
    assert list(scores["labels"]) == structures
    assert len(list((folder / "evaluation" / "masks").iterdir())) > 0
    assert {name for name in masks if (folder / "masks" / name).is_file()} == set(masks)


def test_the_keys_and_defaults_of_the_table_are_those_of_the_bundles():
    rows = [line.split("|")[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    names = ["covid19", "acdc", "covid19_slices"]
    bundles = {
        name: json.loads((REPOSITORY / "bundles" / name / "train.json").read_text(encoding="utf-8")) for name in names
    }
    keys = {key for row in rows for key in re.findall(r"`(\w+)`", row[0])}
    assert keys >= {"hu_window", "spacing", "patch_size", "labels", "in_channels", "epochs"}
    for key in keys - {"hu_window", "spacing"}:
        assert all(key in bundle for bundle in bundles.values()), key
    said = {row[0].strip().strip("`"): [re.findall(r"-?\d+\.?\d*", cell) for cell in row[2:]] for row in rows}
    for column, name in enumerate(names):
        assert [float(n) for n in said["patch_size"][column]] == bundles[name]["patch_size"]
    assert [float(n) for n in said["spacing"][0]] == bundles["covid19"]["spacing"]
    assert [float(n) for n in said["spacing"][1]] == bundles["acdc"]["spacing"][:2]
    assert "-1250..250" in rows[[row[0].strip() for row in rows].index("`hu_window`")][2]
    assert bundles["covid19"]["hu_window"] == bundles["covid19_slices"]["hu_window"] == [-1250.0, 250.0]


def test_the_list_on_the_page_is_a_datalist(tmp_path):
    from pipeline.datalists import load_datalist, save_datalist

    (block,) = re.findall(r"^```json\n(.*?)^```", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    datalist = load_datalist(save_datalist(json.loads(block), tmp_path / "datalist.json"))
    assert [item["case"] for item in datalist["training"] + datalist["testing"]] == ["p01", "p02", "p03"]


def test_the_error_on_the_page_is_what_is_said(tmp_path, monkeypatch):
    from pipeline.datalists.pairs import build
    from pipeline.errors import DataError

    monkeypatch.chdir(tmp_path)
    for name, size in (("images/ISIC_0000041.jpg", (1022, 767)), ("masks/ISIC_0000041_segmentation.png", (767, 1022))):
        path = tmp_path / "data" / "skin" / name
        path.parent.mkdir(parents=True)
        Image.new("L", size).save(path)
    with pytest.raises(DataError) as caught:
        build("data/skin/images", "data/skin/masks")
    assert f"volseg: {caught.value}" in PAGE.read_text(encoding="utf-8").splitlines()
