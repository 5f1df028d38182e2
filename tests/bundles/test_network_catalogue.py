"""Every entry of bundles/options/networks.json builds, trains a step and segments ten slices."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import acdc_like
from monai.bundle import ConfigParser

from pipeline.errors import DataError
from pipeline.volumes import read_mask

REPOSITORY = Path(__file__).resolve().parents[2]
CATALOGUE = REPOSITORY / "bundles" / "options" / "networks.json"
ENTRIES = json.loads(CATALOGUE.read_text(encoding="utf-8"))
NARROW = {
    "fcn": {"channels": [4] * 6},
    "unet_paper": {"network#features": [4] * 6},
    "unet_unpadded": {"network#channels": [4] * 5},
    "unet_3d": {"network#features": [4] * 6},
    "dynunet": {"network#filters": [4] * 6},
    "attention_unet": {"network#channels": [4] * 5},
    "unet_plus_plus": {"network#features": [4] * 6},
    "segnet": {"channels": [4] * 5},
    "deeplabv3_plus": {"channels": [4] * 4, "atrous_channels": 4, "aspp_channels": 4},
    "deepmedic": {"channels": [4] * 8, "classifier": [4]},
    "segresnet": {"network#init_filters": 8},
    "unetr": {"network#hidden_size": 12, "network#mlp_dim": 12, "network#num_heads": 2, "network#feature_size": 4},
    "swin_unetr": {"network#feature_size": 12, "network#depths": [1, 1, 1, 1]},
    "mednext": {"network#init_filters": 4},
    "highresnet": {
        "network#layer_params": [
            {"n_features": 4, "kernel_size": 3},
            *({"n_features": 4, "kernels": [3, 3], "repeat": 1} for _ in range(3)),
            {"n_features": 4, "kernel_size": 1},
            {"kernel_size": 1},
        ]
    },
    "light": {"network#channels": [4] * 5},
}
NEEDS = {"unetr": "einops", "swin_unetr": "einops"}
IN_PLANE, SLAB, SMALL_SLAB = [64, 64, 1], [48, 48, 12], [32, 32, 12]
COSTLY = ("swin_unetr", "vnet")  # in 3D, and nothing to make narrower
CPU = {"device": "$torch.device('cpu')", "neighbours": 0, "out_channels": 4, "cache_rate": 0.0}


def narrow(name: str) -> dict:
    """The entry with fewer features, where it has a number for them."""
    entry = ConfigParser(copy.deepcopy(ENTRIES[name]))
    entry.update(NARROW.get(name, {}))
    return entry.get()


def parse(config: str, network: dict | str, patch_size: list[int], **settings) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(REPOSITORY / "bundles" / "acdc" / f"{config}.json"))
    parser.update({**CPU, "network_def": network, "patch_size": patch_size, **settings})
    torch.manual_seed(0)
    return parser


@pytest.mark.parametrize("name", ENTRIES)
@pytest.mark.parametrize("patch_size", [IN_PLANE, SLAB], ids=["in_plane", "slab"])
def test_entry_trains_a_step_and_segments_ten_slices(name, patch_size):
    pytest.importorskip(NEEDS.get(name, "monai"), reason=f"MONAI's network for {name} needs einops")
    patch_size = SMALL_SLAB if patch_size == SLAB and name in COSTLY else patch_size
    # bf16 convolutions are wrong where an output is one voxel wide (pytorch issue 169688), as in small slabs here
    train = parse("train", narrow(name), patch_size, precision="fp32")
    network, loss, optimizer, inferer = (
        train.get_parsed_content(key) for key in ("network", "loss", "optimizer", "train#inferer")
    )
    x, truth = torch.randn(2, 1, *patch_size), torch.randint(0, 4, (2, 1, *patch_size))
    logits = inferer(x, network.train())
    assert logits.shape == (2, 4, *patch_size)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    loss(logits, truth).backward()
    optimizer.step()
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    moved = [not torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True)]
    assert sum(moved) > 0.8 * len(moved)  # some networks have parts that their output does not use
    overlap = [0.0, 0.0, 0.0]
    use = parse("inference", narrow(name), patch_size, precision="fp32", overlap=overlap, mirror_axes=[])
    other = use.get_parsed_content("network")
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        segmented = use.get_parsed_content("inferer")(torch.randn(1, 1, 60, 30, 10), other.eval())
    assert segmented.shape == (1, 4, 60, 30, 10)
    assert segmented.isfinite().all()


def test_entries_say_what_they_are_and_where_from():
    for name, entry in ENTRIES.items():
        assert any(sign in entry["_desc_"] for sign in ("arXiv:", "doi ")), name
        assert {"@network_channels", "@out_channels"} <= set(str(entry).replace("'", " ").split()), name


def test_dynunet_is_the_own_network_of_the_slices():
    own = json.loads((REPOSITORY / "bundles" / "covid19_slices" / "train.json").read_text(encoding="utf-8"))[
        "network_def"
    ]
    shapes = []
    for network in (own, f"%{CATALOGUE}::dynunet"):
        weights = parse("train", network, [160, 160, 1]).get_parsed_content("network_def").state_dict()
        shapes.append({key.removeprefix("network."): value.shape for key, value in weights.items()})
    assert shapes[0] == shapes[1]


def test_weights_of_another_plan_are_refused(tmp_path):
    from pipeline.checkpoints import load_weights

    for name in ("fcn", "segnet", "deeplabv3_plus", "dynunet", "unet_3d"):
        flat, slab = (parse("train", narrow(name), size).get_parsed_content("network_def") for size in (IN_PLANE, SLAB))
        torch.save(flat.state_dict(), tmp_path / "flat.pt")
        with pytest.raises(DataError, match="weights of this network_def"):
            load_weights(slab, tmp_path / "flat.pt")


def test_deep_supervision_is_one_key_of_a_training_and_nothing_of_what_uses_its_weights(bundle, tmp_path):
    from pipeline.segmentation import segment

    filters = {"network_def#network#network#filters": [4, 8, 8, 8, 8]}
    workflow = bundle("train", **filters, deep_supervision=2, epochs=1)
    workflow.run()
    workflow.finalize()
    weights = tmp_path / "run" / "models" / "model.pt"
    assert any("deep_supervision_heads.1" in key for key in torch.load(weights, weights_only=True))
    image = acdc_like(tmp_path / "a.nii.gz", torch.randn(40, 36, 10).mul(100).short().numpy())
    masks = []
    for heads in (0, 2):
        settings = {"bundle": REPOSITORY / "bundles" / "acdc", "weights": weights, "progress": False}
        overrides = {**filters, "patch_size": [48, 48, 1], "precision": "fp32", "deep_supervision": heads}
        summary = segment(image, tmp_path / f"out{heads}", **settings, overrides=overrides)
        assert [case.reason for case in summary.cases] == [""]
        masks.append(read_mask(summary.cases[0].mask))
    assert np.array_equal(*masks)


def test_one_override_trains_the_bundle_and_segments_with_it(bundle, tmp_path):
    from pipeline.segmentation import segment

    chosen = {"network_def": "%bundles/options/networks.json::light", "network_channels": 5, "out_channels": 4}
    workflow = bundle("train", **{"network_def#network#network#filters": None}, **chosen, epochs=1)
    workflow.run()
    workflow.finalize()
    own = json.loads((REPOSITORY / "bundles" / "acdc" / "inference.json").read_text(encoding="utf-8"))
    config = tmp_path / "inference.json"
    config.write_text(json.dumps({**chosen, **own, "network_def": chosen["network_def"]}))
    image = acdc_like(tmp_path / "a.nii.gz", torch.randn(40, 36, 10).mul(100).short().numpy())
    summary = segment(
        image,
        tmp_path / "out",
        bundle=config,
        weights=tmp_path / "run" / "models" / "model.pt",
        device="cpu",
        overrides={"patch_size": [48, 48, 1]},
        progress=False,
        echo=lambda _: None,
    )
    assert [case.reason for case in summary.cases] == [""]
    assert read_mask(summary.cases[0].mask).shape == (40, 36, 10)
