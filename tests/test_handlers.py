"""Handlers inside MONAI's own trainer: randomness by epoch, non-finite loss, clipping, validation, the log."""

import json
import math

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, Dataset, get_track_meta
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.transforms import Compose, Lambdad, OneOf, RandAffined, RandFlipd, RandGaussianNoised, ToTensord
from torch import nn

from pipeline.datasets import SeededCacheDataset
from pipeline.handlers import (
    ClipGradients,
    EpochLog,
    Progress,
    Randomness,
    StopOnNonFiniteLoss,
    TrainingError,
    Validation,
)


def trainer(handlers, *, epochs=3, data=None, loss=None, validator=None, workers=0, seen=None):
    torch.manual_seed(0)
    items = data or [
        {"image": np.full((1, 2, 2, 1), float(i)), "label": np.zeros((1, 2, 2, 1)), "case": f"c{i}"} for i in range(4)
    ]
    transform = Compose([ToTensord(["image", "label"], dtype=torch.float32), RandGaussianNoised("image", prob=1.0)])
    dataset = SeededCacheDataset(seed=5, data=items, transform=transform, progress=False)
    loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=workers)
    network = nn.Conv3d(1, 1, 1)

    def mse(pred, label):
        if seen is not None:
            seen.append(pred.detach().sum().item())
        return (pred - label).square().mean()

    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=loader,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.01),
        loss_function=loss or mse,
        train_handlers=handlers,
        decollate=False,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_epochs_see_the_same_samples_with_any_number_of_workers_and_after_a_restart(workers):
    whole, again = [], []
    first = trainer([Randomness(3)], seen=whole)
    first.run()
    engine = trainer([Randomness(3)], seen=again, workers=workers)
    engine.state.max_epochs = 2
    engine.run()
    resumed = trainer([Randomness(3)], seen=again, workers=workers)
    resumed.network.load_state_dict(engine.network.state_dict())
    resumed.state.epoch, resumed.state.iteration = 2, 4
    resumed.run()
    assert whole == again
    assert len(set(whole)) == len(whole), "no two batches alike"


@pytest.mark.parametrize("workers", [0, 2])
def test_transforms_within_transforms_are_renewed_too(workers):
    """A sample depends on seed, epoch and index alone, whatever was drawn before it."""
    inner = OneOf([RandGaussianNoised("image", prob=1.0), Compose([RandAffined("image", prob=0.9, rotate_range=0.5)])])
    data = [{"image": torch.arange(64.0).reshape(1, 8, 8)} for _ in range(6)]

    def samples(order, seed=5):
        transform = Compose([inner, RandFlipd("image", prob=0.5)])
        dataset = SeededCacheDataset(seed=seed, data=data, transform=transform, progress=False)
        loader = DataLoader(dataset, batch_size=1, sampler=order, num_workers=workers)
        return dict(zip(order, [batch["image"] for batch in loader], strict=True))

    forth, back, other = samples(range(6)), samples([5, 4, 3, 2, 1, 0]), samples(range(6), seed=6)
    assert all(torch.equal(forth[index], back[index]) for index in range(6))
    assert not any(torch.equal(forth[index], other[index]) for index in range(6))
    assert not torch.equal(forth[0], forth[1])


def test_another_seed_sees_other_samples():
    one, other = [], []
    trainer([Randomness(3)], seen=one).run()
    trainer([Randomness(4)], seen=other).run()
    assert one != other


def test_each_process_draws_differently_and_the_first_as_if_alone(monkeypatch):
    def drawn(**environment):
        monkeypatch.delenv("RANK", raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        numbers = []
        engine = trainer([Randomness(3)])
        engine.add_event_handler(Events.EPOCH_STARTED, lambda: numbers.append(torch.rand(1).item()))
        engine.run()
        return numbers

    alone, first, second = drawn(), drawn(RANK="0"), drawn(RANK="1")
    assert first == alone
    assert not set(first) & set(second)


def test_a_non_finite_loss_stops_before_the_step_and_names_the_cases():
    engine = trainer([StopOnNonFiniteLoss()], loss=lambda pred, label: pred.mean() * math.nan)
    before = engine.network.weight.clone()
    with pytest.raises(TrainingError, match=r"epoch 1, iteration 1, for the cases c\d, c\d"):
        engine.run()
    assert torch.equal(engine.network.weight, before)


class ForgetfulScale(torch.autograd.Function):
    """The number itself; its gradient is infinite."""

    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.inf


@pytest.mark.parametrize("norm", [None, 12.0])
def test_a_non_finite_gradient_stops_before_the_step_and_names_the_cases(norm):
    engine = trainer([ClipGradients(norm)], loss=lambda pred, label: ForgetfulScale.apply(pred.mean()))
    before = engine.network.weight.clone()
    told = r"not finite at epoch 1, iteration 1, for the cases c\d, c\d, though the loss is .*--precision fp32"
    with pytest.raises(TrainingError, match=told):
        engine.run()
    assert torch.equal(engine.network.weight, before)


def test_a_scaler_skips_steps_by_itself():
    engine = trainer([ClipGradients(12.0)], loss=lambda pred, label: ForgetfulScale.apply(pred.mean()), epochs=1)
    unscaled = []
    scaler = type("Scaler", (), {"unscale_": lambda self, optimizer: unscaled.append(optimizer)})()
    engine.add_event_handler(Events.STARTED, lambda e: setattr(e, "scaler", scaler))
    engine.run()
    assert unscaled == [engine.optimizer] * 2


def test_gradients_are_clipped_to_the_norm():
    engine = trainer([ClipGradients(0.5)], loss=lambda pred, label: 1000 * pred.mean(), epochs=1)
    engine.run()
    norm = torch.stack([p.grad.norm() for p in engine.network.parameters()]).norm()
    assert norm.item() == pytest.approx(0.5, rel=1e-4)


def test_without_a_norm_gradients_are_left_alone():
    engine = trainer([ClipGradients(0)], loss=lambda pred, label: 1000 * pred.mean(), epochs=1)
    engine.run()
    assert engine.network.bias.grad.item() == pytest.approx(1000)


def evaluator(validated):
    loader = DataLoader(Dataset([{"image": torch.ones(1, 1, 1, 1), "label": torch.ones(1, 1, 1, 1)}]), batch_size=1)
    engine = SupervisedEvaluator(device=torch.device("cpu"), val_data_loader=loader, network=nn.Conv3d(1, 1, 1))
    engine.add_event_handler(Events.COMPLETED, lambda e: validated.append(e.state.epoch))
    return engine


@pytest.mark.parametrize(("epochs", "expected"), [(5, [2, 4, 5]), (4, [2, 4]), (1, [1])])
def test_the_last_epoch_always_validates_and_only_once(epochs, expected):
    validated = []
    trainer([Validation(interval=2, validator=evaluator(validated))], epochs=epochs).run()
    assert validated == expected


def test_the_log_has_a_line_for_each_epoch_with_scores_where_it_validated(tmp_path):
    validator = evaluator([])
    validator.state.best_metric_epoch = 2

    @validator.on(Events.COMPLETED)
    def _score(engine):
        engine.state.metrics["val_dice"] = 0.25 * engine.state.epoch

    log = tmp_path / "run" / "log.jsonl"
    trainer([Validation(interval=2, validator=validator), EpochLog(str(log), validator)], epochs=3).run()
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line.get("val_dice") for line in lines] == [None, 0.5, 0.75]
    assert [line.get("best") for line in lines] == [None, True, False]
    assert all(line["loss"] > 0 and line["lr"] == 0.01 and line["seconds"] > 0 for line in lines)


def test_epochs_that_are_trained_again_have_one_line_each(tmp_path):
    log = tmp_path / "log.jsonl"
    trainer([EpochLog(str(log))], epochs=3).run()
    with log.open("a", encoding="utf-8") as file:
        file.write('{"epoch": 4, "lo')
    first = log.read_text(encoding="utf-8").splitlines()[0]
    resumed = trainer([EpochLog(str(log))], epochs=4)
    resumed.state.epoch, resumed.state.iteration = 1, 2
    resumed.run()
    lines = log.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    assert lines[0] == first


def test_the_bar_counts_every_iteration_and_shows_epoch_and_loss(capsys):
    trainer([Progress()], epochs=2).run()
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "epoch=2/2, loss=" in shown


@pytest.mark.parametrize(("cached", "tracked"), [(2, True), (4, False)])
def test_metadata_is_dropped_only_where_no_loading_transform_runs_any_more(cached, tracked):
    loaded, randomized = [], []
    load = Lambdad("image", lambda x: loaded.append(get_track_meta()) or x)
    note = Lambdad("image", lambda x: randomized.append(get_track_meta()) or x)
    transform = Compose([load, RandGaussianNoised("image", prob=0), note])
    data = [{"image": torch.zeros(1, 2, 2, 2)} for _ in range(4)]
    dataset = SeededCacheDataset(seed=0, data=data, transform=transform, cache_num=cached, progress=False)
    assert len([dataset[i] for i in range(4)]) == 4
    assert loaded == [True] * 4, "files are always loaded with their grid"
    assert randomized == [tracked] * 4
    assert get_track_meta(), "and the switch is put back"
