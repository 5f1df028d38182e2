"""DeepSupervision: weights of the answers, MONAI's own values, and what losses that ask the network again are told."""

from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from monai.losses import DeepSupervisionLoss, DiceCELoss
from torch import nn

from pipeline.losses import ConsistencyLoss, DeepSupervision, LossSchedule


class Mean(nn.Module):
    """A loss that is the mean of the answer."""

    def forward(self, input, target):
        return input.mean()


class ThreeAnswers(nn.Module):
    """Answers as MONAI's DynUNet does: several while it trains, one afterwards."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Conv2d(1, 2, 1) for _ in range(3))

    def forward(self, x):
        return torch.stack([head(x) for head in self.heads], dim=1) if self.training else self.heads[0](x)


def test_each_answer_counts_half_of_the_one_before():
    ones, target = torch.ones(2, 4, 8, 8), torch.zeros(2, 1, 8, 8)
    answers = torch.stack([1 * ones, 3 * ones, 5 * ones], dim=1)
    assert float(DeepSupervision(Mean())(answers, target)) == pytest.approx((1 + 3 / 2 + 5 / 4) / (1 + 1 / 2 + 1 / 4))
    assert float(DeepSupervision(Mean())(3 * ones, target)) == 3


def test_the_values_are_monai_s_divided_by_its_weights():
    torch.manual_seed(0)
    answers, target = torch.randn(2, 3, 4, 8, 8), torch.randint(0, 4, (2, 1, 8, 8))
    loss = DiceCELoss(softmax=True, to_onehot_y=True)
    expected = DeepSupervisionLoss(loss, weight_mode="exp")(list(answers.unbind(1)), target) / 1.75
    assert float(DeepSupervision(loss)(answers, target)) == pytest.approx(float(expected), rel=1e-6)


def test_a_loss_that_asks_again_gets_the_finest_answer():
    torch.manual_seed(0)
    network, told = ThreeAnswers(), []

    class Asking(ConsistencyLoss):
        def forward(self, input, target=None, **given):
            image = self.provided("image", given)
            told.append((self.provided("predict", given)(image), network.heads[0](image)))
            return super().forward(input, target, **given)

    loss = Asking(softmax=True)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.randn(2, 1, 4, 4), "label": torch.zeros(2, 1, 4, 4)}],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), 0.0),
        loss_function=DeepSupervision(loss),
        train_handlers=[LossSchedule(loss)],
        decollate=False,
    )
    trainer.run()
    assert len(told) == 3, "once for each answer"
    assert all(torch.equal(answer, expected) for answer, expected in told)
    assert all(head.weight.grad is not None for head in network.heads)
