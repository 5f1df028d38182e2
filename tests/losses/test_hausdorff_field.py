"""The truth's field as one more key: what it is, how it is carried, and a training by configuration that uses it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import RandFlipd, RandRotate90d, RandSpatialCropd

from pipeline.losses import HausdorffDTLoss, TruthDistanced, TruthFieldHandler

SPACING = (1.5, 2.0, 4.0)


@pytest.fixture
def label(balls):
    affine = np.diag([*SPACING, 1.0])
    affine[:2, :2] = [[0, -2.0], [1.5, 0]]  # turned by 90 degrees: the spacing is in the columns' lengths
    return MetaTensor(balls((12, 10, 4), [5, 2.5]), affine=affine)


def field_of(label, **settings):
    return TruthDistanced("label", **{"labels": {"outer": 1, "inner": 2}, **settings})({"label": label})["truth_field"]


def test_one_channel_for_each_structure_in_mm(label, distances_by_pairs):
    field = field_of(label)
    assert field.shape == (2, 12, 10, 4)
    assert field.dtype == torch.float32
    for channel, number in zip(field, (1, 2), strict=True):
        np.testing.assert_allclose(channel, distances_by_pairs(label[0] == number, SPACING), rtol=1e-5)


def test_structures_may_overlap_and_masks_come_as_they_are(label, distances_by_pairs):
    whole = distances_by_pairs(label[0] >= 1, SPACING)
    np.testing.assert_allclose(field_of(label, labels={"lungs": [1, 2], "infection": [2]})[0], whole, rtol=1e-5)
    masks = MetaTensor(torch.stack([label.as_tensor()[0] >= 1, label.as_tensor()[0] == 2]), affine=label.affine)
    np.testing.assert_allclose(field_of(masks, labels=None)[0], whole, rtol=1e-5)


def test_spacing_is_given_or_the_metadatas(label):
    plain = label.as_tensor()
    expected = field_of(label)
    torch.testing.assert_close(field_of(plain, spacing=SPACING), expected.as_tensor())
    torch.testing.assert_close(field_of(label, spacing=(1.5, 2.0, -1)), expected)
    assert not torch.equal(field_of(label, spacing=1.0), expected)
    with pytest.raises(ValueError, match="give spacing"):
        field_of(plain)


def test_several_channels_are_no_label_map(label):
    with pytest.raises(ValueError, match="one channel"):
        field_of(torch.cat([label, label]), spacing=SPACING)


def test_metadata_changes_no_value(label):
    logits = torch.randn(1, 3, *label.shape[1:], generator=torch.Generator().manual_seed(0))
    loss = HausdorffDTLoss(to_onehot_y=True, softmax=True, spacing=SPACING)
    plain = loss(logits, label.as_tensor()[None])
    assert float(loss(MetaTensor(logits), label[None])) == float(plain)
    assert float(loss(logits, label[None], field_of(label)[None])) == pytest.approx(float(plain), rel=1e-5)


def test_half_precision_is_near(label):
    assert field_of(label, dtype=torch.float16).dtype == torch.float16
    torch.testing.assert_close(field_of(label, dtype=torch.float16).float(), field_of(label), rtol=5e-4, atol=0)


def test_flips_and_rotations_carry_the_field(label):
    """What was computed before a flip or a rotation by 90 degrees is what would be computed after it."""
    spacing = (1.5, 1.5, 4.0)
    item = {"label": label, "truth_field": field_of(label, spacing=spacing)}
    for seed in range(6):
        turned = item
        for transform in (
            RandFlipd(["label", "truth_field"], prob=0.5, spatial_axis=0),
            RandFlipd(["label", "truth_field"], prob=0.5, spatial_axis=2),
            RandRotate90d(["label", "truth_field"], prob=1.0, max_k=3),
        ):
            turned = transform.set_random_state(seed)(turned)
        again = field_of(turned["label"], spacing=spacing)
        torch.testing.assert_close(turned["truth_field"].as_tensor(), again.as_tensor())


def test_a_crop_keeps_the_distances_of_the_whole(label):
    item = {"label": label, "truth_field": field_of(label)}
    crop = RandSpatialCropd(["label", "truth_field"], roi_size=(6, 5, 4), random_size=False).set_random_state(1)(item)
    x, y = (int(n) for n in np.argwhere(_windows(item["truth_field"], crop["truth_field"]))[0])
    torch.testing.assert_close(
        crop["truth_field"].as_tensor(), item["truth_field"].as_tensor()[:, x : x + 6, y : y + 5]
    )
    HausdorffDTLoss(to_onehot_y=True, softmax=True, spacing=SPACING)(
        torch.zeros(1, 3, 6, 5, 4), crop["label"][None], crop["truth_field"][None]
    )


def _windows(whole, part):
    """Where `part` begins in `whole`, in plane."""
    sizes = [n - m + 1 for n, m in zip(whole.shape[1:3], part.shape[1:3], strict=True)]
    found = np.zeros(sizes, bool)
    for x, y in np.ndindex(*sizes):
        found[x, y] = torch.equal(whole[:, x : x + part.shape[1], y : y + part.shape[2]], part)
    return found


def configuration(balls, *, moving, loss):
    """A training as a bundle writes it: volumes of nested balls, the field cached, cropped and flipped."""
    items = []
    for index in range(4):
        label = balls((24, 24, 4), [8, 4], centre=(10 + index, 12, 1.5)).float()
        image = torch.cat([label == 1, label == 2]).float()
        image = image + 0.3 * torch.randn(image.shape, generator=torch.Generator().manual_seed(index))
        items.append({"image": MetaTensor(image), "label": MetaTensor(label)})
    return {
        "spacing": [1.5, 1.5, 5.0],
        "labels": {"outer": 1, "inner": 2},
        "keys": ["image", "label", "truth_field"],
        "loss": loss,
        "network": {
            "_target_": "torch.nn.Conv3d",
            "in_channels": 2,
            "out_channels": 3,
            "kernel_size": [5, 5, 1],
            "padding": [2, 2, 0],
        },
        "distances": {
            "_target_": "pipeline.losses.TruthDistanced",
            "keys": "label",
            "labels": "@labels",
            "spacing": "@spacing",
        },
        "crop": {"_target_": "RandSpatialCropd", "keys": "@keys", "roi_size": [16, 16, 4], "random_size": False},
        "moving": moving,
        "dataset": {
            "_target_": "CacheDataset",
            "data": items,
            "transform": {"_target_": "Compose", "transforms": ["@distances", "@crop", "@moving"]},
            "progress": False,
        },
        "trainer": {
            "_target_": "SupervisedTrainer",
            "device": "$torch.device('cpu')",
            "max_epochs": 20,
            "train_data_loader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 2},
            "network": "@network",
            "optimizer": {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 0.05},
            "loss_function": "@loss",
            "train_handlers": [{"_target_": "pipeline.losses.TruthFieldHandler", "loss": "@loss"}],
            "decollate": False,
        },
    }


HAUSDORFF = {
    "_target_": "pipeline.losses.HausdorffDTLoss",
    "softmax": True,
    "to_onehot_y": True,
    "spacing": "@spacing",
    "two_sided": False,
}
DICE_AND_HAUSDORFF = {
    "_target_": "pipeline.losses.compound.CompoundLoss",
    "terms": [
        {"loss": {"_target_": "DiceLoss", "softmax": True, "to_onehot_y": True}},
        {"loss": HAUSDORFF, "weight": 0.1},
    ],
}
FLIPS = {"_target_": "RandFlipd", "keys": "@keys", "prob": 0.5, "spatial_axis": 1}
ZOOM = {"_target_": "RandZoomd", "keys": "@keys", "prob": 1.0, "min_zoom": 1.3, "max_zoom": 1.5}


@pytest.fixture
def trained(balls):
    """Train a configuration; returns the losses of each iteration and the parser."""
    from ignite.engine import Events
    from monai.utils import set_determinism

    def train(moving, loss):
        set_determinism(seed=0)
        parser = ConfigParser(configuration(balls, moving=moving, loss=loss))
        trainer = parser.get_parsed_content("trainer")
        trainer.logger.setLevel("CRITICAL")
        losses = []
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output["loss"].item()))
        trainer.run()
        return losses, parser

    yield train
    set_determinism(seed=None)


@pytest.mark.parametrize("loss", [HAUSDORFF, DICE_AND_HAUSDORFF], ids=["alone", "beside Dice"])
def test_a_configuration_trains_with_cached_fields(trained, monkeypatch, loss):
    import pipeline.losses.hausdorff_dt as module

    monkeypatch.setattr(module, "distance_field", lambda *args, **kwargs: pytest.fail("computed at a step"))
    losses, parser = trained(FLIPS, loss)
    assert np.mean(losses[-6:]) < 0.6 * np.mean(losses[:6])
    takers = [m for m in parser.get_parsed_content("loss").modules() if isinstance(m, HausdorffDTLoss)]
    assert [taker.truth_field for taker in takers] == [None]  # nothing is left for a batch without a field


def test_a_configuration_that_zooms_is_refused(trained):
    with pytest.raises(ValueError, match="does not fit the label"):
        trained(ZOOM, HAUSDORFF)


def test_a_flip_that_forgets_the_field_is_refused(trained):
    with pytest.raises(ValueError, match="does not fit the label"):
        trained({**FLIPS, "keys": ["image", "label"], "prob": 1.0}, HAUSDORFF)


def test_without_a_field_the_handler_changes_nothing():
    loss = torch.nn.ModuleList([torch.nn.Identity(), HausdorffDTLoss(softmax=True, to_onehot_y=True)])
    handler = TruthFieldHandler(loss)
    assert handler.takers == [loss[1]]

    class Engine:
        class state:  # noqa: N801
            batch = {"label": None}  # noqa: RUF012

    handler._hand_over(Engine)
    assert loss[1].truth_field is None
    assert TruthFieldHandler(lambda input, target: 0).takers == []
