"""The ACDC bundle trained, resumed, evaluated and used, on phantoms."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Events

from pipeline.errors import DataError
from pipeline.handlers import TrainingError

EPOCHS = {"epochs": 3, "val_interval": 2}


def weights(folder):
    return torch.load(folder / "run" / "models" / "model_final.pt", weights_only=True)


def innermost(call):
    """The error that a call ends with, out of the chain that MONAI's parser wraps around it."""
    try:
        call()
    except Exception as error:
        while error.__cause__ is not None:
            error = error.__cause__
        return error
    return None


def train(bundle, **overrides):
    workflow = bundle("train", **{**EPOCHS, **overrides})
    workflow.run()
    workflow.finalize()
    return workflow


def test_training_learns_and_leaves_log_curves_and_weights(bundle, tmp_path):
    train(bundle, epochs=6, learning_rate=0.01)
    run = tmp_path / "run"
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["loss"] < 0.9 * lines[0]["loss"]
    assert [("val_dice" in line) for line in lines] == [False, True] * 3
    assert {"val_dice_RV", "val_dice_MYO", "val_dice_LV"} <= set(lines[1])
    assert (run / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    kept = {"last.pt", "last_prev.pt", "model.pt", "model.json", "model_final.pt"}
    assert kept == {p.name for p in (run / "models").iterdir()}
    assert any((run / "tensorboard").iterdir())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(bundle, tmp_path, workers):
    train(bundle, output_dir=str(tmp_path / "whole" / "run"), num_workers=workers)

    class KilledError(Exception):
        pass

    killed = bundle("train", **EPOCHS, num_workers=workers)
    trainer = killed.parser.get_parsed_content("train#trainer")

    def kill(engine):
        if engine.state.epoch == 2:
            raise KilledError

    trainer.add_event_handler(Events.ITERATION_COMPLETED, kill)
    assert isinstance(innermost(killed.run), KilledError)
    train(bundle, resume="true", num_workers=workers)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    epochs = [
        json.loads(line)["epoch"] for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert epochs == [1, 2, 3]


@pytest.mark.parametrize("patch_size", [[48, 48, 1], [48, 48, 4]], ids=["one slice", "slab"])
def test_augmentation_leaves_the_cached_volumes_as_they_are(bundle, patch_size):
    """They are not copied for each sample: `copy_cache` is off."""
    dataset = bundle("train", patch_size=patch_size).parser.get_parsed_content("train#dataset")
    before = [{key: item[key].clone() for key in ("image", "label", "footprint")} for item in dataset._cache]
    for dataset.epoch in range(4):
        samples = [sample for index in range(len(dataset)) for sample in dataset[index]]
        assert all(sample["image"].shape == (5, *patch_size) for sample in samples)
        assert all(sample["label"].shape == (1, *patch_size) for sample in samples)
    assert all(torch.equal(old[key], new[key]) for old, new in zip(before, dataset._cache, strict=True) for key in old)


def test_training_starts_from_given_weights(bundle, tmp_path):
    train(bundle, epochs=1)
    given = tmp_path / "run" / "models" / "model.pt"
    started = bundle("train", output_dir=str(tmp_path / "next"), pretrained=str(given))
    network = started.parser.get_parsed_content("network")
    expected = torch.load(given, weights_only=True)
    assert all(torch.equal(expected[key], value) for key, value in network.state_dict().items())
    assert "a file of weights" in refused(bundle, "train", output_dir=str(tmp_path / "x"), pretrained="nowhere.pt")


def test_a_finished_run_is_not_trained_further(bundle, tmp_path):
    train(bundle, epochs=1)
    before = weights(tmp_path)
    train(bundle, epochs=1, resume=True)
    assert all(torch.equal(before[key], value) for key, value in weights(tmp_path).items())
    assert len((tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()) == 1


def refused(bundle, *files, **overrides):
    """The message with which a start is refused."""
    error = innermost(lambda: bundle(*files, **overrides))
    assert isinstance(error, DataError), error
    return str(error)


def test_a_second_run_in_the_same_folder_is_refused(bundle):
    train(bundle, epochs=1)
    assert "--resume true" in refused(bundle, "train", epochs=1)


def test_a_wrong_folder_and_a_wrong_fold_are_named(bundle, tmp_path):
    assert "no such folder" in refused(bundle, "train", dataset_dir=str(tmp_path / "nowhere"))
    assert "fold" in refused(bundle, "train", fold=77)


def test_a_nan_in_an_image_stops_the_training_with_its_case(bundle, tmp_path, phantom_acdc):
    copy = tmp_path / "data"
    shutil.copytree(phantom_acdc, copy)
    items = [
        item
        for item in json.loads((copy / "datalist.json").read_text(encoding="utf-8"))["training"]
        if item["fold"] != 0
    ]
    for item in items:
        image = nib.load(copy / item["image"])
        voxels = np.asarray(image.dataobj, dtype=np.float32)
        voxels[:] = np.where(np.arange(voxels.shape[0])[:, None, None] % 5 == 0, np.nan, voxels)
        image.header.set_data_dtype(np.float32)
        nib.save(nib.Nifti1Image(voxels, image.affine, image.header), copy / item["image"])
    workflow = bundle("train", **EPOCHS, dataset_dir=str(copy))
    error = innermost(workflow.run)
    assert isinstance(error, TrainingError), error
    assert "patient" in str(error)


def test_dynunet_by_one_override_trains(bundle, tmp_path):
    dynunet = {
        "_target_": "DynUNet",
        "spatial_dims": 3,
        "in_channels": "@network_channels",
        "out_channels": 4,
        "kernel_size": [[3, 3, 1]] * 3,
        "strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1]],
        "upsample_kernel_size": [[2, 2, 1]] * 2,
        "filters": [4, 8, 8],
    }
    overrides = {"network_def#network#network#filters": None, "network_def": dynunet, "epochs": 1}
    train(bundle, **overrides)
    assert any(value.ndim == 5 for value in weights(tmp_path).values())


def test_an_anisotropic_3d_network_trains_on_few_slices(bundle, tmp_path):
    train(
        bundle,
        epochs=1,
        patch_size=[48, 48, 4],
        **{"network_def#network#network#kernel_size": [[3, 3, 3]] * 5},
    )
    assert (tmp_path / "run" / "models" / "model.pt").is_file()


def test_evaluation_writes_masks_scores_and_report(bundle, tmp_path, phantom_acdc):
    train(bundle, epochs=1)
    (tmp_path / "run" / "models" / "model.pt").unlink()  # these patients chose it: the last epoch is scored
    as_in_training = {"mirror_axes": [], "largest_component": "false", "single_piece": [], "overlap": [0.25, 0.25, 0.0]}
    workflow = bundle("train", "evaluate", kind="infer", processes=1, **as_in_training)
    workflow.run()
    folder = tmp_path / "run" / "evaluation"
    listed = json.loads((phantom_acdc / "datalist.json").read_text(encoding="utf-8"))["training"]
    held_out = {item["case"]: item for item in listed if item["fold"] == 0}
    masks = {path.name.removesuffix(".nii.gz"): path for path in (folder / "masks").iterdir()}
    assert set(masks) == set(held_out)
    for case, path in masks.items():
        mask, image = nib.load(path), nib.load(phantom_acdc / held_out[case]["image"])
        assert mask.shape == image.shape
        assert mask.get_data_dtype() == np.uint8
        assert np.array_equal(mask.header["pixdim"], image.header["pixdim"])
    assert {"scores.csv", "slices.csv", "scores.json", "report.html"} <= {path.name for path in folder.iterdir()}
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [r for r in scores["summary"]["overall"] if r["metric"] == "dice" and r["structure"] == "mean"]
    assert rows[0]["mean"] == pytest.approx(log[-1]["val_dice"], abs=1e-6), "training validates on the original grid"
    assert "scores.csv" in refused(bundle, "train", "evaluate", kind="infer")


def test_evaluation_without_weights_says_how_to_get_them(bundle):
    assert "Train first" in refused(bundle, "train", "evaluate", kind="infer")


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "inference")])
def test_monai_finds_every_property_that_it_requires(bundle, name, kind):
    workflow = bundle(name, kind=kind, initialize=[])
    assert workflow.check_properties() == []
