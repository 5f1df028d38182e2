"""Members, dropout passes and the cascade against means and boxes worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.inferers import SimpleInferer
from torch import nn

from pipeline.checkpoints import members
from pipeline.ensembles import CascadeInferer, EnsembleInferer
from pipeline.errors import DataError


class Bias(nn.Module):
    """Logits (b, 0) everywhere: the probability of class 0 is that of a coin with odds e^b."""

    def __init__(self, bias: float = 0.0, dropout: float = 0.0):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(bias))
        self.dropout = nn.Dropout(dropout)
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape[2:]))
        first = self.dropout(torch.full_like(x, 1.0)) * self.bias
        return torch.cat([first, torch.zeros_like(x)], dim=1)


X = torch.zeros(1, 1, 4, 3, 2)


@pytest.fixture
def weights(tmp_path):
    def save(name, bias):
        torch.save(Bias(bias).state_dict(), tmp_path / name)
        return str(tmp_path / name)

    return save


def test_probabilities_are_averaged_not_logits(weights):
    network = Bias(4.0).eval()
    ensemble = EnsembleInferer(SimpleInferer(), checkpoints=["own.pt", weights("a.pt", 0.0), weights("b.pt", -1.0)])
    with torch.no_grad():
        logits = ensemble(X, network)
    mean = (torch.tensor([4.0, 0.0, -1.0]).sigmoid()).mean()
    assert logits.shape == (1, 2, 4, 3, 2)
    assert torch.allclose(logits.softmax(1)[:, 0], mean.expand(1, 4, 3, 2))
    assert network.bias == 4.0, "the network's own weights are back"
    with torch.no_grad():
        assert torch.equal(ensemble(X, network), logits)


def test_sigmoid_members_are_averaged_channel_by_channel(weights):
    with torch.no_grad():
        both = EnsembleInferer(SimpleInferer(), checkpoints=["own.pt", weights("a.pt", -2.0)], sigmoid=True)
        logits = both(X, Bias(1.0).eval())
    expected = torch.tensor([1.0, -2.0]).sigmoid().mean()
    assert torch.allclose(logits.sigmoid()[0, 0], expected.expand(4, 3, 2), atol=1e-6)
    assert torch.allclose(logits[0, 1], torch.zeros(4, 3, 2), atol=1e-6)


def test_with_nothing_to_average_the_answer_is_untouched():
    network = Bias(3.0).eval()
    for checkpoints in ((), "own.pt", ["own.pt"]):
        assert torch.equal(EnsembleInferer(SimpleInferer(), checkpoints=checkpoints)(X, network), network(X))


def test_weights_that_are_missing_or_of_another_network_are_named(weights, tmp_path):
    network = Bias(1.0)
    with pytest.raises(DataError, match=r"nowhere.pt: expected a file of weights"):
        EnsembleInferer(SimpleInferer(), checkpoints=["own.pt", "nowhere.pt"])(X, network)
    torch.save({"other": torch.zeros(2)}, tmp_path / "c.pt")
    given = ["own.pt", weights("a.pt", 0.0), str(tmp_path / "c.pt")]
    with pytest.raises(DataError, match="weights of this network_def"):
        EnsembleInferer(SimpleInferer(), checkpoints=given)(X, network)
    assert network.bias == 1.0


def test_members_stay_with_their_network_and_not_with_the_next_one(weights, tmp_path, monkeypatch):
    """A file that goes while a call runs changes nothing; a server that has trained put the further ones aside."""
    monkeypatch.chdir(tmp_path)
    network, further = Bias(4.0).eval(), Path(weights("model_2.pt", 0.0))
    ensemble = EnsembleInferer(SimpleInferer(), checkpoints=["model.pt", further.name])

    def share(network):
        with torch.no_grad():
            return float(ensemble(X, network).softmax(1)[0, 0, 0, 0, 0])

    both = float(torch.tensor([4.0, 0.0]).sigmoid().mean())
    assert share(network) == pytest.approx(both)
    monkeypatch.chdir("/")
    assert share(Bias(4.0).eval()) == pytest.approx(both)
    assert share(network) == pytest.approx(both)
    further.unlink()
    assert share(network) == pytest.approx(both)
    assert share(Bias(2.0).eval()) == pytest.approx(float(torch.tensor(2.0).sigmoid()))


def test_members_lie_beside_the_first(tmp_path):
    assert members(tmp_path) == str(tmp_path / "model.pt"), "told as missing by who loads it"
    for name in ("model.pt", "model_prev.pt", "model_final.pt", "fold0.pt", "fold0_2.pt"):
        (tmp_path / name).touch()
    assert members(tmp_path) == str(tmp_path / "model.pt")
    for name in ("model_3.pt", "model_2.pt"):
        (tmp_path / name).touch()
    assert members(tmp_path) == [str(tmp_path / name) for name in ("model.pt", "model_2.pt", "model_3.pt")]


def test_dropout_passes_average_what_dropout_leaves():
    network = Bias(2.0, dropout=0.5).eval()
    big = torch.zeros(1, 1, 20, 20, 20)
    inferer = EnsembleInferer(SimpleInferer(), dropout_samples=6)
    before = torch.get_rng_state()
    with torch.no_grad():
        logits = inferer(big, network)
        again = inferer(big, network)
    assert torch.equal(logits, again), "seeded"
    assert torch.equal(torch.get_rng_state(), before), "the program's random numbers are its own"
    assert len(network.sizes) == 12
    p = logits.softmax(1)[0, 0]
    values = [(k * torch.tensor(4.0).sigmoid() + (6 - k) * 0.5) / 6 for k in range(7)]  # k of 6 passes kept the voxel
    assert all(min(abs(float(v) - float(value)) for value in values) < 1e-5 for v in p.unique())
    assert float(p.mean()) == pytest.approx(float(torch.tensor(4.0).sigmoid() + 0.5) / 2, abs=0.01)
    assert not network.dropout.training


def test_dropout_of_a_network_without_it_is_refused():
    with pytest.raises(DataError, match="a network with dropout"):
        EnsembleInferer(SimpleInferer(), dropout_samples=2)(X, Bias(1.0))


class Bright(nn.Module):
    """Class 1 where the image is above a threshold; notes what it was shown."""

    def __init__(self, threshold: float = 0.5):
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))
        self.sizes = []

    def forward(self, x):
        self.sizes.append(tuple(x.shape[2:]))
        return torch.cat([self.threshold - x, x - self.threshold], dim=1)


def image():
    x = torch.zeros(1, 1, 40, 30, 6)
    x[..., 10:16, 8:14, 2:4] = 1
    return x


def test_an_axis_of_one_voxel_is_not_shrunk():
    x = torch.zeros(1, 1, 40, 1, 6)
    x[:, :, 10:16, :, 2:4] = 1
    with torch.no_grad():
        logits = CascadeInferer(SimpleInferer(), factor=(2, 2, 1), margin=(3, 2, 1))(x, Bright())
    assert torch.equal(logits.argmax(1), (x[:, 0] > 0.5).long())


def test_the_fine_pass_sees_the_region_of_the_coarse_one_only():
    network, x = Bright(), image()
    cascade = CascadeInferer(SimpleInferer(), factor=(2, 2, 1), margin=(3, 2, 1))
    with torch.no_grad():
        logits = cascade(x, network)
    assert network.sizes == [(20, 15, 6), (12, 10, 4)]
    assert torch.equal(logits.argmax(1), (x[:, 0] > 0.5).long())
    assert logits[0, 0, 0, 0, 0] - logits[0, 1, 0, 0, 0] == 20, "surely background outside"


@pytest.mark.parametrize(("start", "smallest", "box"), [(0, 16, (0, 16)), (34, 16, (24, 40)), (10, 60, (0, 40))])
def test_the_region_is_widened_within_the_image(start, smallest, box):
    x = torch.zeros(1, 1, 40, 30, 6)
    x[:, :, start : start + 6] = 1
    seen = []

    def network(part):
        seen.append(part)
        return torch.cat([0.5 - part, part - 0.5], dim=1)

    CascadeInferer(SimpleInferer(), factor=(2, 2, 1), margin=(0, 0, 0), smallest=(smallest, 1, 1))(x, network)
    assert torch.equal(seen[1], x[:, :, slice(*box)])


def test_where_nothing_is_found_the_whole_image_is_looked_at():
    network = Bright()
    with torch.no_grad():
        logits = CascadeInferer(SimpleInferer(), factor=(2, 2, 2))(torch.zeros(1, 1, 9, 7, 5), network)
    assert network.sizes == [(5, 4, 3), (9, 7, 5)]
    assert logits.shape == (1, 2, 9, 7, 5)


def test_sigmoid_background_is_far_below_zero_and_a_switch_turns_the_cascade_off():
    x = image()
    with torch.no_grad():
        logits = CascadeInferer(SimpleInferer(), sigmoid=True, margin=(0, 0, 0))(x, lambda part: part - 0.5)
    assert torch.equal(logits > 0, x > 0.5)
    assert logits[0, 0, 0, 0, 0] == -10
    network = Bright()
    CascadeInferer(SimpleInferer(), enabled=False)(x, network)
    assert network.sizes == [(40, 30, 6)]


def test_the_coarse_pass_has_weights_of_its_own(tmp_path):
    torch.save(Bright(2.0).state_dict(), tmp_path / "coarse.pt")  # blind: nothing is above 2
    network, x = Bright(), image()
    with torch.no_grad():
        CascadeInferer(SimpleInferer(), checkpoint=str(tmp_path / "coarse.pt"))(x, network)
    assert network.sizes == [(20, 15, 6), (40, 30, 6)]
    assert network.threshold == 0.5


def test_of_what_was_found_the_largest_part_can_count_alone():
    x = image()
    x[..., 30:34, 24:26, 5] = 1  # smaller, and far from the other
    seen = []
    for largest in (False, True):
        network = Bright()
        with torch.no_grad():
            logits = CascadeInferer(SimpleInferer(), margin=(0, 0, 0), largest_component=largest)(x, network)
        seen.append((network.sizes[1], int(logits.argmax(1).sum())))
    assert seen == [((24, 18, 4), 6 * 6 * 2 + 4 * 2), ((6, 6, 2), 6 * 6 * 2)]


def test_the_coarse_pass_can_be_called_in_its_own_way():
    class Counting(SimpleInferer):
        calls = 0

        def __call__(self, *args, **kwargs):
            self.calls += 1
            return super().__call__(*args, **kwargs)

    fine, coarse = Counting(), Counting()
    network = Bright()
    with torch.no_grad():
        CascadeInferer(fine, coarse=coarse)(image(), network)
    assert (coarse.calls, fine.calls) == (1, 1)
    assert network.sizes[0] == (20, 15, 6)
