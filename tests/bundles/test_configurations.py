"""What the configurations of a bundle must agree on, without running them."""

import json
from pathlib import Path

import pytest

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
TRAINED = sorted(path.parent for path in BUNDLES.glob("*/train.json"))


def load(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", TRAINED, ids=lambda folder: folder.name)
def test_training_and_inference_spell_out_the_same_network_and_preprocessing(folder):
    train, inference = load(folder, "train.json"), load(folder, "inference.json")
    for key in ("network_def", "network", "preprocessing", "spacing", "patch_size", "labels", "device"):
        assert train[key] == inference[key], key


@pytest.mark.parametrize("folder", TRAINED, ids=lambda folder: folder.name)
def test_evaluation_infers_as_inference_does(folder):
    train, evaluate, inference = (load(folder, f"{name}.json") for name in ("train", "evaluate", "inference"))
    merged = train | evaluate
    for key in ("inferer", "overlap", "sw_batch_size", "mirror_axes", "largest_component", "precision"):
        assert merged[key] == inference[key], key
    steps = inference["postprocessing"]["transforms"]
    assert steps[:-1] == train["postprocessing"]["transforms"]
    assert steps[-1]["_target_"].endswith("SaveMaskd")


@pytest.mark.parametrize("folder", TRAINED, ids=lambda folder: folder.name)
def test_metadata_speaks_of_the_same_classes(folder):
    labels = load(folder, "train.json")["labels"]
    output = load(folder, "metadata.json")["network_data_format"]["outputs"]["pred"]
    assert output["channel_def"] == {"0": "background"} | {str(number): name for name, number in labels.items()}
    assert output["num_channels"] == load(folder, "train.json")["network_def"]["out_channels"]


@pytest.mark.parametrize("path", sorted(BUNDLES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_first_expression_checks_what_the_user_gave(path):
    config = json.loads(path.read_text(encoding="utf-8"))
    if "initialize" in config:
        assert config["initialize"][0].startswith("$launch.check(")


@pytest.mark.parametrize("path", sorted(BUNDLES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_bundles_name_public_things_only(path):
    assert "._" not in path.read_text(encoding="utf-8")
