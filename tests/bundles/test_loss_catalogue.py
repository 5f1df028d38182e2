"""Every entry of bundles/options/losses.json trains, with exclusive classes and with overlapping structures."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.utils import set_determinism

from pipeline.losses import CompoundLoss, LossSchedule

REPOSITORY = Path(__file__).resolve().parents[2]
CATALOGUE = "bundles/options/losses.json"
ENTRIES = json.loads((REPOSITORY / CATALOGUE).read_text(encoding="utf-8"))
OF_THE_ARTICLES = {
    *("dice", "dice_squared", "dice_weighted", "generalised_dice", "cross_entropy", "weighted_cross_entropy"),
    *("ce_dice", "focal", "tversky", "hausdorff_dt", "hausdorff_dt_one_sided", "hausdorff_er", "hausdorff_cv"),
    *("combo", "active_contour", "mumford_shah", "distance_penalised_ce", "consistency"),
    *("sensitivity_specificity", "exponential_logarithmic", "staged"),
}
EPOCHS = 6
NAMES = ("acdc", "covid19")

each_entry = pytest.mark.parametrize("entry", ENTRIES)
each_bundle = pytest.mark.parametrize("name", ["acdc", "covid19"])


@pytest.fixture(scope="module", autouse=True)
def _in_the_repository():
    """Macros such as %bundles/options/losses.json::combo are relative to the current folder."""
    before = Path.cwd()
    os.chdir(REPOSITORY)
    yield
    os.chdir(before)


@pytest.fixture(scope="module")
def configurations():
    """train.json of each bundle, as MONAI reads it."""
    return {name: ConfigParser.load_config_files([f"bundles/{name}/train.json"]) for name in NAMES}


@pytest.fixture(scope="module")
def batch(configurations, phantom_acdc):
    """One batch of bundles/acdc's own training data: 8 crops of 48x48."""
    parser = ConfigParser(copy.deepcopy(configurations["acdc"]))
    settings = {"dataset_dir": str(phantom_acdc), "patch_size": [48, 48, 1], "spacing": [3.0, 3.0, -1], "neighbours": 0}
    for key, value in (settings | {"batch_size": 2, "num_workers": 0}).items():
        parser[key] = value
    parser["train#dataset#num_workers"] = 0
    set_determinism(0)
    return next(iter(parser.get_parsed_content("train#dataloader")))


def loss_of(configuration, entry, **settings):
    """The loss as the bundle builds it for `--loss %bundles/options/losses.json::entry`."""
    parser = ConfigParser(copy.deepcopy(configuration))
    for key, value in ({"loss": f"%{CATALOGUE}::{entry}", "epochs": EPOCHS, "target": "both"} | settings).items():
        parser[key] = value
    return parser.get_parsed_content("loss")


def overlapping(label):
    """The heart and, within it, the left ventricle, as the COVID bundles hand over lungs and infection."""
    return torch.cat([label > 0, label == 3], dim=1).to(torch.float32)


class Tiny(torch.nn.Sequential):
    """Three convolutions in the plane."""

    def __init__(self, channels):
        plane = {"kernel_size": (3, 3, 1), "padding": (1, 1, 0)}
        super().__init__(
            torch.nn.Conv3d(1, 8, **plane),
            torch.nn.InstanceNorm3d(8),
            torch.nn.LeakyReLU(),
            torch.nn.Conv3d(8, 8, **plane),
            torch.nn.LeakyReLU(),
            torch.nn.Conv3d(8, channels, 1),
        )


def cost(loss, network, image, label):
    """The loss of the last epoch, with the same random turns for every network."""
    torch.manual_seed(0)
    if isinstance(loss, CompoundLoss):
        loss.set_epoch(EPOCHS)
    given = {"image": image, "predict": lambda x, _: network(x)} if isinstance(loss, CompoundLoss) else {}
    with torch.no_grad():
        return float(loss(network(image), label, **given))


def test_every_loss_of_the_articles_has_an_entry_that_says_what_it_is():
    assert set(ENTRIES) >= OF_THE_ARTICLES
    for entry in ENTRIES.values():
        assert len(entry["_desc_"]) > 20


@each_bundle
@each_entry
def test_an_entry_trains(configurations, batch, name, entry):
    loss = loss_of(configurations[name], entry)
    data = {"image": batch["image"], "label": batch["label"] if name == "acdc" else overlapping(batch["label"])}
    torch.manual_seed(1)
    network = Tiny(4 if name == "acdc" else 2)
    untrained = copy.deepcopy(network)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=EPOCHS,
        train_data_loader=[data, data],
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), 0.01),
        loss_function=loss,
        train_handlers=[LossSchedule(loss)],
        decollate=False,
    )
    trainer.run()
    before, after = (cost(loss, candidate, **data) for candidate in (untrained, network))
    assert after < 0.98 * before
    assert all(torch.isfinite(p).all() for p in network.parameters())


@each_bundle
def test_hausdorff_terms_wait_and_never_stand_alone(configurations, name):
    for entry in ENTRIES:
        loss = loss_of(configurations[name], entry, epochs=100)
        kinds = [type(term).__name__ for term in getattr(loss, "losses", [loss])]
        if any(kind.startswith("Hausdorff") for kind in kinds):
            assert kinds[0] == "DiceCELoss", entry
            shares = []
            for epoch in (1, 25, 34, 100):
                loss.set_epoch(epoch)
                shares.append(loss.share(len(kinds) - 1))
            assert shares[0] == 0, entry
            assert shares[-1] == 1, entry


def test_entries_take_the_settings_of_the_bundle(configurations):
    loss = loss_of(configurations["acdc"], "hausdorff_dt", alpha=0.25, loss_spacing=[2.0, 2.0, 9.0])
    assert loss.losses[0].lambda_dice == 0.25
    assert loss.losses[1].spacing == [2.0, 2.0, 9.0]
    assert (loss.losses[1].softmax, loss.losses[1].include_background) == (True, False)
    loss = loss_of(configurations["covid19"], "weighted_cross_entropy", target="infection")
    assert loss.dice.sigmoid
    assert loss.binary_cross_entropy.pos_weight.tolist() == [5.0]


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["hausdorff_dt", "consistency"])
def test_a_bundle_trains_with_an_entry_named_on_its_command_line(bundle, tmp_path, entry):
    workflow = bundle("train", epochs=4, loss=f"%{CATALOGUE}::{entry}", val_interval=4)
    workflow.run()
    workflow.finalize()
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert len(losses) == 4
    assert losses[-1] < losses[1], "from the second epoch on all terms count"


@pytest.mark.parametrize("entry", ["combo", "consistency", "mumford_shah"])
def test_deep_supervision_goes_with_any_loss(bundle, tmp_path, entry):
    workflow = bundle("train", epochs=2, deep_supervision=2, loss=f"%{CATALOGUE}::{entry}", val_interval=2)
    workflow.run()
    workflow.finalize()
    assert (tmp_path / "run" / "models" / "model_final.pt").is_file()
    network = workflow.parser.get_parsed_content("network")
    heads = [p for name, p in network.named_parameters() if "deep_supervision_heads" in name]
    assert len(heads) >= 4
    assert all(float(p.grad.abs().max()) > 0 for p in heads), "each answer teaches"
