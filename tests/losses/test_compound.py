"""CompoundLoss and LossSchedule: weights, warm-up, stages, balance, resuming, labelled items, and what terms get."""

from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from torch import nn

from pipeline.losses.common import ImageLoss
from pipeline.losses.compound import CompoundLoss
from pipeline.losses.consistency import ramp_up
from pipeline.losses.schedule import LossSchedule

INPUT, TARGET = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)


class Constant(nn.Module):
    """A loss that is a number (times the mean of the input, 1 here), and counts how often it is asked."""

    def __init__(self, value=1.0):
        super().__init__()
        self.value = value
        self.asked = 0

    def forward(self, input, target):
        self.asked += 1
        self.last = input
        return self.value * input.mean()


def shares(loss, epochs):
    found = []
    for epoch in epochs:
        loss.set_epoch(epoch)
        found.append(float(loss(INPUT, TARGET)))
    return found


def test_weights_add_up_and_a_term_without_weight_is_never_asked():
    silent = Constant(5.0)
    loss = CompoundLoss(
        [{"loss": Constant(1.0)}, {"loss": Constant(10.0), "weight": 0.5}, {"loss": silent, "weight": 0}]
    )
    assert float(loss(INPUT, TARGET)) == 6.0
    assert silent.asked == 0


def test_a_term_warms_up_and_is_not_computed_before():
    late = Constant(1.0)
    loss = CompoundLoss([{"loss": Constant(0.0)}, {"loss": late, "weight": 2.0, "start": 3, "ramp": 4}])
    assert shares(loss, [1, 3]) == [0, 0]
    assert late.asked == 0
    assert shares(loss, [4, 5, 6, 7, 8, 100]) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_stages_follow_each_other():
    loss = CompoundLoss([{"loss": Constant(1.0), "end": 2}, {"loss": Constant(10.0), "start": 2, "end": 4}])
    assert shares(loss, [1, 2, 3, 4, 5]) == [1, 1, 10, 10, 0]
    x = INPUT.clone().requires_grad_()
    loss(x, TARGET).backward()
    assert float(x.grad.abs().max()) == 0


@pytest.mark.parametrize(
    ("epoch", "length", "shape", "expected"),
    [
        (0, 10, "exponential", 0.0),
        (5, 10, "exponential", math.exp(-1.25)),
        (10, 10, "exponential", 1.0),
        (99, 10, "exponential", 1.0),
        (5, 10, "linear", 0.5),
        (1, 0, "linear", 1.0),
        (-3, 10, "linear", 0.0),
    ],
)
def test_ramps(epoch, length, shape, expected):
    assert ramp_up(epoch, length=length, shape=shape) == pytest.approx(expected)


def test_a_scheduled_loss_that_is_not_told_its_epoch_says_so():
    loss = CompoundLoss([{"loss": Constant()}, {"loss": Constant(), "start": 1}])
    with pytest.raises(RuntimeError, match="LossSchedule"):
        loss(INPUT, TARGET)
    CompoundLoss([{"loss": Constant()}, {"loss": Constant(), "start": 1, "weight": 0}])(INPUT, TARGET)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([], "at least one"),
        ([{"loss": Constant(), "wieght": 2}], "unknown: wieght"),
        ([{"weight": 2}], "needs a loss"),
        ([{"loss": Constant(), "weight": -1}], "negative"),
        ([{"loss": Constant(), "balance": True}], "balanced against"),
    ],
)
def test_wrong_terms_are_refused(terms, message):
    with pytest.raises(ValueError, match=message):
        CompoundLoss(terms)


def balanced():
    return CompoundLoss([{"loss": Constant(3.0)}, {"loss": Constant(60.0), "balance": True, "weight": 0.5, "start": 1}])


def test_a_balanced_term_has_the_mean_of_the_first_one_over_the_last_epoch():
    loss = balanced()
    loss.set_epoch(1)
    assert float(loss(INPUT, TARGET)) == 3.0
    loss.set_epoch(2)
    assert float(loss(INPUT, TARGET)) == pytest.approx(3 + 0.5 * 3), "in its first epoch the mean so far"
    loss.losses[1].value = 20.0
    assert float(loss(INPUT, TARGET)) == pytest.approx(3 + 0.5 * 20 * 3 / 40)
    loss.set_epoch(3)
    assert float(loss(INPUT, TARGET)) == pytest.approx(3 + 0.5 * 20 * 3 / 40)
    loss.losses[1].value = 6.0
    assert float(loss(INPUT, TARGET)) == pytest.approx(3 + 0.5 * 6 * 3 / 40), "constant within an epoch"
    loss.set_epoch(4)
    assert float(loss(INPUT, TARGET)) == pytest.approx(3 + 0.5 * 6 * 3 / 13)
    x = INPUT.clone().requires_grad_()
    loss(x, TARGET).backward()
    assert float(x.grad.sum()) == pytest.approx(3 + 0.5 * 6 * 3 / 13), "the ratio itself has no gradient"


def test_a_balanced_term_of_zero_does_no_harm():
    loss = CompoundLoss([{"loss": Constant(3.0)}, {"loss": Constant(0.0), "balance": True}])
    for epoch in (1, 2):
        loss.set_epoch(epoch)
        assert float(loss(INPUT, TARGET)) == 3.0
    loss.losses[1].value = 2.0
    loss.set_epoch(3)
    assert float(loss(INPUT, TARGET)) == pytest.approx(6.0)


def test_processes_agree_on_the_balance(monkeypatch):
    loss = balanced()
    loss.set_epoch(2)
    loss(INPUT, TARGET)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda sums: sums.add_(torch.tensor([1.0, 20.0])))
    loss.renew_balance()
    assert loss.ratios == {1: pytest.approx((3 + 1) / (60 + 20))}


def test_a_resumed_training_has_the_balance_of_an_uninterrupted_one(tmp_path):
    whole, resumed = balanced(), balanced()
    for epoch in (1, 2, 3):
        whole.set_epoch(epoch)
        whole.losses[1].value = 10.0 * epoch
        whole(INPUT, TARGET)
        whole.renew_balance()
    torch.save({"loss": whole.state_dict()}, tmp_path / "last.pt")
    resumed.load_state_dict(torch.load(tmp_path / "last.pt", weights_only=True)["loss"])
    resumed.losses[1].value = whole.losses[1].value
    for loss in (whole, resumed):
        loss.set_epoch(4)
    assert float(resumed(INPUT, TARGET)) == float(whole(INPUT, TARGET)) == pytest.approx(3 + 0.5 * 30 * 3 / 30)


def test_items_without_a_label_are_left_out_where_asked():
    supervised, everything = Constant(), Constant()
    loss = CompoundLoss([{"loss": supervised, "labelled_only": True}, {"loss": everything, "weight": 10}])
    target = torch.stack([torch.full((1, 2, 2), 255), torch.zeros(1, 2, 2, dtype=torch.int64)]).to(torch.uint8)
    x = torch.tensor([5.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)
    assert float(loss(x, target)) == 1 + 10 * 3
    assert supervised.last.shape[0] == 1
    target[1] = 255
    assert float(loss(x, target)) == 10 * 3
    assert supervised.asked == 1


class Watching(ImageLoss):
    """Records what it was given."""

    def forward(self, input, target=None, **given):
        self.image = self.provided("image", given)
        self.asked = self.provided("predict", given)(self.image)
        return (input - self.asked).square().mean()


def test_a_compound_within_a_compound_sees_the_image_of_the_labelled_items():
    watching = Watching()
    inner = CompoundLoss([{"loss": watching}])
    outer = CompoundLoss([{"loss": inner, "labelled_only": True, "weight": 2}])
    image = torch.arange(2.0).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)
    target = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    target[0] = 255
    inner.context = {"image": image, "predict": lambda x: x}
    assert float(outer(INPUT + 1, target, image=image, predict=lambda x: x)) == 2.0
    assert torch.equal(watching.image, image[1:])


@pytest.mark.parametrize("wrapped", [False, True], ids=["alone", "in a compound"])
def test_the_schedule_tells_epoch_image_and_network(wrapped):
    torch.manual_seed(0)
    watching = Watching()
    late = Constant()
    loss = CompoundLoss([{"loss": watching}, {"loss": late, "start": 1}]) if wrapped else watching
    network = nn.Conv2d(1, 1, 1)
    batches = [{"image": torch.full((1, 1, 2, 2), float(i)), "label": torch.zeros(1, 1, 2, 2)} for i in range(2)]
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=batches,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.0),
        loss_function=loss,
        train_handlers=[LossSchedule(loss)],
        decollate=False,
    )
    seen = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: seen.append(float(watching.image.mean())))
    trainer.run()
    assert seen == [0, 1, 0, 1]
    assert torch.equal(watching.asked, network(batches[1]["image"]))
    assert watching.context is None
    assert late.asked == (2 if wrapped else 0), "once for each batch of the second epoch"
    with pytest.raises(ValueError, match="LossSchedule"):
        watching(INPUT, TARGET)


def test_any_other_loss_is_left_alone():
    class Engine:
        def add_event_handler(self, *args):
            raise AssertionError(args)

    LossSchedule(nn.MSELoss()).attach(Engine())
    LossSchedule(lambda x, y: x.sum()).attach(Engine())


def test_a_negative_weight_on_the_command_line_is_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/somewhere/monai/bundle/__main__.py", "run"])
    with pytest.raises(SystemExit) as stop:
        CompoundLoss([{"loss": Constant()}, {"loss": Constant(), "weight": -0.5}])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("volseg: term 2 of the loss: expected a weight that is not negative, found -0.5.")
