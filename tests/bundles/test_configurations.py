"""What the configurations of a bundle must agree on, without running them."""

import json
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
TRAINED = sorted(path.parent for path in BUNDLES.glob("*/train.json"))


def load(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", TRAINED, ids=lambda folder: folder.name)
def test_training_and_inference_spell_out_the_same_network_and_preprocessing(folder):
    train, inference = load(folder, "train.json"), load(folder, "inference.json")
    keys = ("network_def", "network", "preprocessing", "spacing", "patch_size", "labels", "device")
    for key in (*keys, "in_channels", "network_channels", "neighbours"):
        assert train.get(key) == inference.get(key), key


@pytest.mark.parametrize("folder", TRAINED, ids=lambda folder: folder.name)
def test_evaluation_infers_as_inference_does(folder):
    train, evaluate, inference = (load(folder, f"{name}.json") for name in ("train", "evaluate", "inference"))
    merged = train | evaluate
    cascade, ensemble = inference["inferer"], inference["inferer"]["inferer"]
    expected = cascade | {"inferer": ensemble["inferer"]}
    del expected["checkpoint"]
    if "coarse" in cascade:  # a path within the inferers, of which training has one less
        expected["coarse"] = cascade["coarse"].removesuffix("#inferer")
    assert merged["inferer"] == expected
    for key in (
        "cascade",
        "overlap",
        "sw_batch_size",
        "mirror_axes",
        "precision",
        "largest_component",
        "single_piece",
        "min_component",
    ):
        assert merged.get(key) == inference.get(key), key
    steps = inference["postprocessing"]["transforms"]
    assert steps[2:-2] == train["postprocessing"]["transforms"]
    extra = [step["_target_"].rsplit(".", 1)[-1] for step in (*steps[:2], *steps[-2:])]
    assert extra == ["MeanFieldCRFd", "SaveEntropyd", "SaveMaskd", "SaveInstancesd"]


@pytest.mark.parametrize("folder", TRAINED, ids=lambda folder: folder.name)
def test_metadata_speaks_of_the_same_classes(folder):
    parser = ConfigParser(load(folder, "train.json"))
    labels, channels = (parser.get_parsed_content(key) for key in ("labels", "out_channels"))
    output = load(folder, "metadata.json")["network_data_format"]["outputs"]["pred"]
    names = [*(["background"] if channels > len(labels) else []), *labels]
    assert output["channel_def"] == {str(channel): name for channel, name in enumerate(names)}
    assert output["num_channels"] == channels


def test_all_bundles_have_the_same_files_and_keys():
    """A user who knows one bundle knows the others; what only one needs is listed here."""
    own = {
        "acdc": {"spacing", "neighbours", "largest_component", "single_piece"},
        "covid19": {"folds", "spacing", "crop_to_body", "hu_window", "lesions", "min_component", "target", "targets"},
        "covid19_slices": {"folds", "hu_window", "lesions", "min_component", "target", "targets"},
    }
    assert {folder.name for folder in TRAINED} == set(own)
    for name in ("train", "evaluate", "inference", "multi_gpu_train", "metadata"):
        keys = [set(load(folder, f"{name}.json")) - own[folder.name] for folder in TRAINED]
        assert all(found == keys[0] for found in keys[1:]), name


@pytest.mark.parametrize("path", sorted(BUNDLES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_first_expression_checks_what_the_user_gave(path):
    config = json.loads(path.read_text(encoding="utf-8"))
    if "initialize" in config:
        assert config["initialize"][0].startswith("$launch.check(")


@pytest.mark.parametrize("path", sorted(BUNDLES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_bundles_name_public_things_only(path):
    assert "._" not in path.read_text(encoding="utf-8")
