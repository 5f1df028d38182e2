"""Every slice once, with its own randomness; and the measures over slices against the scores of finished masks."""

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandGaussianNoised
from monai.utils import set_determinism

from pipeline.experiment import SliceDataset
from pipeline.experiment.slice_scores import SliceScores
from pipeline.metrics import score_case
from pipeline.metrics.cases import CaseScore


def volumes(*depths):
    return [
        {"image": torch.arange(4.0 * d).reshape(1, 2, 2, d), "label": torch.full((1, 2, 2, d), i), "case": f"c{i}"}
        for i, d in enumerate(depths)
    ]


def test_each_slice_of_each_volume_is_one_item():
    data = volumes(3, 1, 2)
    dataset = SliceDataset(data)
    assert len(dataset) == 6
    assert [item["case"] for item in dataset] == ["c0", "c0", "c0", "c1", "c2", "c2"]
    assert torch.equal(torch.cat([dataset[i]["image"] for i in range(3)], -1), data[0]["image"])
    assert dataset[5]["label"].shape == (1, 2, 2, 1)


def test_randomness_depends_on_seed_epoch_and_slice_alone():
    set_determinism(0)
    noise = Compose([RandGaussianNoised(keys="image", prob=1.0, std=1.0)])

    def look(seed, epoch, order):
        dataset = SliceDataset(volumes(3), transform=noise, seed=seed)
        dataset.epoch = epoch
        return {i: dataset[i]["image"].clone() for i in order}

    first, again = look(1, 4, [0, 1, 2]), look(1, 4, [2, 0, 1])
    assert all(torch.equal(first[i], again[i]) for i in range(3))
    assert not torch.equal(first[0], look(1, 5, [0])[0])
    assert not torch.equal(first[0], look(2, 4, [0])[0])
    assert torch.equal(volumes(3)[0]["image"], SliceDataset(volumes(3), transform=noise).volumes[0]["image"])


def cases(seed, labels, number=3):
    generator = np.random.default_rng(seed)
    for _ in range(number):
        shape = (6, 5, int(generator.integers(1, 5)))
        truth, pred = (generator.integers(0, 4, shape, dtype=np.uint8) for _ in range(2))
        truth[..., 0] = 0
        yield pred, truth


@pytest.mark.parametrize("labels", [{"RV": 1, "MYO": 2, "LV": 3}, {"lungs": [1, 2, 3], "infection": [2], "other": [3]}])
def test_means_over_slices_are_those_of_the_score_files(labels):
    metric, rows = SliceScores(labels), []
    for pred, truth in cases(0, labels):
        metric(torch.from_numpy(pred)[None, None], torch.from_numpy(truth)[None, None])
        score: CaseScore = score_case(pred, truth, (1, 1, 1), labels)
        rows += [row for row in score.slices if row["structure"] == "mean"]
    found = metric.aggregate()
    for measure, value in found.items():
        assert value == pytest.approx(np.nanmean([row[measure] for row in rows])), measure


def test_the_background_counts_as_one_more_structure():
    truth = np.zeros((4, 4, 1), np.uint8)
    truth[0] = 1
    pred = np.zeros_like(truth)
    given = torch.from_numpy(pred)[None, None], torch.from_numpy(truth)[None, None]
    plain, more = SliceScores({"a": 1}), SliceScores({"a": 1}, background=True)
    plain(*given)
    more(*given)
    assert plain.aggregate()["dice"] == 0
    assert more.aggregate()["dice"] == pytest.approx((0 + 2 * 12 / (16 + 12)) / 2)
    assert more.aggregate()["pixel_error"] == plain.aggregate()["pixel_error"] == pytest.approx(0.25)


def test_no_case_is_an_error():
    with pytest.raises(ValueError, match="empty"):
        SliceScores({"a": 1}).aggregate()
