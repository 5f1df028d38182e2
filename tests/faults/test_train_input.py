"""Trainings that are given what they cannot be trained on: refused beforehand, or stopped with names."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from faults import Row, plain, row
from training_process import train

TRAIN = "python -m monai.bundle run training ..."
REFUSED = "refused before anything is computed"
IMAGE = "training/patient002/patient002_frame01.nii.gz"
LABEL = "training/patient002/patient002_frame01_gt.nii.gz"


@pytest.fixture
def data(phantom_acdc, tmp_path) -> Path:
    """A copy of the phantoms, to be spoilt."""
    return shutil.copytree(phantom_acdc, tmp_path / "acdc")


def change(path: Path, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    """Other voxels under the same header."""
    image = nib.load(path)
    voxels = edit(np.asarray(image.dataobj, np.float32))
    image.header.set_data_dtype(np.float32)
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), path)


def nan_everywhere(data: Path) -> None:
    for path in data.glob("training/*/*frame*[0-9].nii.gz"):
        change(path, lambda voxels: np.where(np.arange(voxels.shape[0])[:, None, None] % 5 == 0, np.nan, voxels))


def relist(data: Path, edit: Callable[[dict], None]) -> None:
    path = data / "datalist.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def refold(content: dict) -> None:
    first = content["training"][0]
    first["fold"] = (first["fold"] + 1) % 5


@pytest.mark.parametrize(
    ("row", "spoil", "settings"),
    [
        row(
            "train-damaged-image",
            "an image whose bytes are cut off",
            TRAIN + " --preflight full",
            REFUSED,
            "patient002_frame01.nii.gz: expected",
            lambda data: (data / IMAGE).write_bytes((data / IMAGE).read_bytes()[:-2000]),
            {"preflight": "full"},
        ),
        row(
            "train-damaged-image-unchecked",
            "an image whose bytes are cut off, without preflight",
            TRAIN + " --preflight off",
            "stopped where the image is read, with its name",
            "patient002_frame01.nii.gz: expected",
            lambda data: (data / IMAGE).write_bytes((data / IMAGE).read_bytes()[:-2000]),
            {"preflight": "off"},
        ),
        row(
            "train-nan-image",
            "images with NaN",
            TRAIN + " --preflight full",
            REFUSED,
            "patient002_frame01.nii.gz: expected finite intensities",
            nan_everywhere,
            {"preflight": "full"},
        ),
        row(
            "train-nan-loss",
            "images with NaN that were not looked at closely",
            TRAIN,
            "stopped before the network is changed, with the cases named",
            "the loss is nan at epoch 1, iteration 1, for the cases patient",
            nan_everywhere,
            {},
            exit_code=1,
        ),
        row(
            "train-diverges",
            "a learning rate that is far too high",
            TRAIN + " --learning_rate 1e30",
            "stopped at the first number that is not finite, with the cases named",
            "at epoch 1, iteration 2, for the cases patient",
            lambda data: None,
            {"learning_rate": 1e30},
            exit_code=1,
        ),
        row(
            "train-label-grid",
            "a label with a slice less than its image",
            TRAIN,
            REFUSED,
            "patient002_frame01_gt.nii.gz: expected the shape",
            lambda data: change(data / LABEL, lambda voxels: voxels[..., :-1]),
            {},
        ),
        row(
            "train-label-numbers",
            "a label with other numbers than the bundle's",
            TRAIN + " --preflight full",
            REFUSED,
            "patient002_frame01_gt.nii.gz: expected",
            lambda data: change(data / LABEL, lambda voxels: voxels * 5),
            {"preflight": "full"},
        ),
        row(
            "train-missing-file",
            "a listed image that is not there",
            TRAIN,
            REFUSED,
            "patient002_frame01.nii.gz: expected a file, since datalist.json lists it, found no such file.",
            lambda data: (data / IMAGE).unlink(),
            {},
        ),
        row(
            "train-leak",
            "a patient in two folds",
            TRAIN,
            REFUSED,
            "patient001: expected one fold, found folds ",
            lambda data: relist(data, refold),
            {},
        ),
        row(
            "train-no-json",
            "a datalist that is no JSON",
            TRAIN,
            REFUSED,
            "datalist.json: expected a datalist in JSON, found a syntax error",
            lambda data: (data / "datalist.json").write_text("{"),
            {},
        ),
        row(
            "train-no-cases",
            "a datalist without cases",
            TRAIN,
            REFUSED,
            "datalist.json: expected items in 'training', found none.",
            lambda data: relist(data, lambda content: content.update(training=[])),
            {},
        ),
        row(
            "train-no-fold",
            "a fold that the list does not have",
            TRAIN + " --fold 9",
            REFUSED,
            "datalist.json: expected items of fold 9, found folds 0, 1, 2, 3, 4.",
            lambda data: None,
            {"fold": 9},
        ),
        row(
            "train-no-folder",
            "a folder of data that is not there",
            TRAIN + " --dataset_dir NOWHERE",
            REFUSED,
            "nowhere: expected the folder of the data set, found no such folder.",
            lambda data: None,
            {"dataset_dir": "nowhere"},
        ),
        row(
            "train-misspelt",
            "a misspelt setting",
            TRAIN + " --epoch 5",
            REFUSED,
            "--epoch: expected a key of the configuration, found none of that name. Perhaps --epochs is meant.",
            lambda data: None,
            {"epoch": 5},
        ),
        row(
            "train-value",
            "a setting that cannot be meant",
            TRAIN + " --overlap 1",
            REFUSED,
            "--overlap: expected shares of a window, from 0 to below 1, found 1",
            lambda data: None,
            {"overlap": 1},
        ),
        row(
            "train-preflight-level",
            "a preflight level that is none",
            TRAIN + " --preflight quick",
            REFUSED,
            "preflight: expected fast, full or off, found 'quick'.",
            lambda data: None,
            {"preflight": "quick"},
        ),
        row(
            "train-resume-word",
            "a word that is neither true nor false",
            TRAIN + " --resume perhaps",
            REFUSED,
            "expected true or false, found 'perhaps'.",
            lambda data: None,
            {"resume": "perhaps"},
        ),
        row(
            "train-no-weights",
            "weights to start from that are not there",
            TRAIN + " --pretrained NOWHERE.pt",
            REFUSED,
            "nowhere.pt: expected a file of weights, found none.",
            lambda data: None,
            {"pretrained": "nowhere.pt"},
        ),
    ],
)
def test_what_cannot_be_trained_on(row: Row, spoil, settings, data, tmp_path):
    spoil(data)
    run = tmp_path / "run"
    code, output = train(**{"dataset_dir": str(data), "output_dir": str(run), **settings})
    row.check(code, plain(output))
    assert not (run / "models").exists(), "nothing was saved"


@pytest.fixture(scope="session")
def trained(phantom_acdc, tmp_path_factory) -> Path:
    """A run of one epoch."""
    run = tmp_path_factory.mktemp("trained") / "run"
    code, output = train(dataset_dir=str(phantom_acdc), output_dir=str(run), epochs=1)
    assert code == 0, output
    return run


def bomb(path: Path) -> None:
    """A file of weights that writes a file when it is unpickled."""

    class Bomb:
        def __reduce__(self):
            return exec, (f"open({str(path.with_name('executed'))!r}, 'w')",)

    torch.save({"weight": Bomb()}, path, pickle_module=pickle)


@pytest.mark.parametrize(
    ("row", "settings"),
    [
        row(
            "train-again",
            "a folder that holds a run",
            TRAIN,
            "refused; the run is left as it is",
            "expected a folder without a run, found last.pt of an earlier one. Give --resume true to go on with it",
            {},
        ),
        row(
            "resume-other-fold",
            "a run of another fold is resumed",
            TRAIN + " --resume true --fold 1",
            "refused; the run is left as it is",
            "expected a run with fold 1, found one with fold 0",
            {"resume": "true", "fold": 1},
        ),
        row(
            "resume-other-list",
            "a run on another datalist is resumed",
            TRAIN + " --resume true --datalist OTHER.json",
            "refused; the run is left as it is",
            "Resume it with its own data and settings, or give another --output_dir.",
            {"resume": "true", "datalist": "other.json"},
        ),
        row(
            "resume-other-network",
            "a run of another network is resumed",
            TRAIN + " --resume true --network_def#network#network#filters [8,8,8,8,8]",
            "refused; the run is left as it is",
            "Use the network_def that these weights were trained with.",
            {"resume": "true", "network_def#network#network#filters": [8, 8, 8, 8, 8]},
        ),
        row(
            "resume-other-optimizer",
            "a run of another optimizer is resumed",
            TRAIN + " --resume true --optimizer ...",
            "refused; the run is left as it is",
            "expected a state of this optimizer, found that of another one.",
            {
                "resume": "true",
                "optimizer": {
                    "_target_": "torch.optim.SGD",
                    "params": "$[{'params': [p]} for p in @network.parameters()]",
                    "lr": 0.1,
                },
            },
        ),
    ],
)
def test_a_run_that_is_there(row: Row, settings, trained, phantom_acdc, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (run / "models").iterdir()}
    if "datalist" in settings:
        other = json.loads((phantom_acdc / "datalist.json").read_text())
        other["training"] = other["training"][2:]
        settings = settings | {"datalist": str(tmp_path / "other.json")}
        (tmp_path / "other.json").write_text(json.dumps(other))
    row.check(*train(**{"dataset_dir": str(phantom_acdc), "output_dir": str(run), "epochs": 2, **settings}))
    assert {path.name: path.read_bytes() for path in (run / "models").iterdir()} == before


@pytest.mark.parametrize(
    ("row", "make"),
    [
        row(
            "train-other-weights",
            "weights of another network to start from",
            TRAIN + " --pretrained OTHER.pt",
            "refused",
            "Use the network_def that these weights were trained with.",
            lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
        ),
        row(
            "train-no-torch",
            "a web page in the place of weights",
            TRAIN + " --pretrained PAGE.pt",
            "refused",
            "given.pt: expected a PyTorch file of weights",
            lambda path: path.write_text("<html></html>"),
        ),
        row(
            "train-pickle",
            "weights that execute code when they are loaded",
            TRAIN + " --pretrained BOMB.pt",
            "refused; nothing is executed",
            "given.pt: expected a PyTorch file of weights",
            bomb,
            kind="untrusted",
        ),
    ],
)
def test_weights_to_start_from(row: Row, make, phantom_acdc, tmp_path):
    make(tmp_path / "given.pt")
    run = tmp_path / "run"
    row.check(
        *train(dataset_dir=str(phantom_acdc), output_dir=str(run), pretrained=str(tmp_path / "given.pt"), epochs=1)
    )
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "row",
    [
        row(
            "train-into-file",
            "a run folder below a file",
            TRAIN + " --output_dir FILE/run",
            REFUSED,
            "expected a folder for the run, found a file. Give another --output_dir.",
        )
    ],
)
def test_a_folder_that_cannot_be(row: Row, phantom_acdc, tmp_path):
    (tmp_path / "file").write_text("")
    row.check(*train(dataset_dir=str(phantom_acdc), output_dir=str(tmp_path / "file" / "run")))
