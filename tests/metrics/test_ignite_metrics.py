"""The Dice of validation inside ignite engines, on one process and on two."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from pipeline.metrics import CaseDice, CaseDiceHandler, overlap

torch = pytest.importorskip("torch")
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


def random_case(seed: int, shape: tuple[int, ...] = (1, 6, 5, 4)) -> dict:
    generator = torch.Generator().manual_seed(seed)
    pred, label = torch.randint(0, 4, (2, *shape), generator=generator)
    return {"pred": pred, "label": label}


def maps(*voxels: int) -> torch.Tensor:
    return torch.tensor(voxels).reshape(1, -1, 1, 1)


def test_by_hand() -> None:
    metric = CaseDice(STRUCTURES)
    # case 1: RV 2/3, MYO missed, LV in neither. case 2: RV 1, MYO falsely found, LV 1.
    metric([maps(1, 0, 0, 0)], [maps(1, 1, 2, 0)])
    metric([maps(1, 2, 3, 0)], [maps(1, 0, 3, 0)])
    assert metric.by_structure() == pytest.approx({"RV": 5 / 6, "MYO": 0.0, "LV": 1.0})
    # first the mean of a case over its structures, then over cases: (1/3 + 2/3) / 2
    assert metric.aggregate().item() == pytest.approx(0.5)


def test_a_batch_and_a_list_and_floats_are_the_same() -> None:
    cases = [random_case(seed) for seed in range(3)]
    metric = CaseDice(STRUCTURES)
    listed = metric([case["pred"] for case in cases], [case["label"] for case in cases])
    batch = metric(torch.stack([c["pred"] for c in cases]).float(), torch.stack([c["label"] for c in cases]))
    assert torch.equal(listed, batch)
    assert len(metric) == 6


def test_reset_forgets() -> None:
    metric = CaseDice(STRUCTURES)
    metric([maps(1, 0)], [maps(0, 1)])
    metric.aggregate()
    metric.reset()
    with pytest.raises(ValueError, match="validation set is empty"):
        metric.aggregate()
    metric([maps(1, 0)], [maps(1, 0)])
    assert metric.aggregate().item() == 1.0


def test_refuses_one_hot_and_foreign_labels() -> None:
    metric = CaseDice(STRUCTURES)
    with pytest.raises(ValueError, match="one channel"):
        metric([torch.zeros(4, 3, 3, 3)], [torch.zeros(1, 3, 3, 3)])
    with pytest.raises(ValueError, match="prediction: labels are 0 to 3, found 4"):
        metric([maps(4)], [maps(1)])
    with pytest.raises(ValueError, match="at least one structure"):
        CaseDice({})


@pytest.mark.parametrize("wrapped", [False, True])
def test_inside_an_engine(wrapped: bool) -> None:
    from ignite.engine import Engine
    from monai.data import MetaTensor
    from monai.handlers import IgniteMetricHandler, from_engine

    cases = [random_case(seed, (1, 4, 5, 2 + seed)) for seed in range(4)]
    expected = np.array([overlap.dice(overlap.confusion(c["pred"].numpy(), c["label"].numpy(), 4))[1:] for c in cases])
    engine = Engine(lambda _, case: [{key: MetaTensor(value) for key, value in case.items()}])
    transform = from_engine(["pred", "label"])
    if wrapped:
        IgniteMetricHandler(CaseDice(STRUCTURES), output_transform=transform).attach(engine, "val_dice")
    else:
        CaseDiceHandler(STRUCTURES, transform).attach(engine, "val_dice")
    for _ in range(2):  # a second epoch starts afresh
        engine.run(cases)
        assert engine.state.metrics["val_dice"] == pytest.approx(expected.mean())
        np.testing.assert_allclose(engine.state.metric_details["val_dice"], expected)
        if not wrapped:
            for name, column in zip(STRUCTURES, expected.T, strict=True):
                assert engine.state.metrics[f"val_dice_{name}"] == pytest.approx(column.mean())


def _score_share(rank: int, port: int, out: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    results = []
    for cases in ([[0, 1, 2], []], [[0], [1, 2]]):  # one rank with nothing, then shards of different length
        metric = CaseDice(STRUCTURES)
        for seed in cases[rank]:
            metric([random_case(seed)["pred"]], [random_case(seed)["label"]])
        results.append((metric.aggregate().item(), len(metric), metric.by_structure()["LV"]))
    torch.save(results, f"{out}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_score_share, (port, str(tmp_path)), nprocs=2)
    alone = CaseDice(STRUCTURES)
    for seed in range(3):
        alone([random_case(seed)["pred"]], [random_case(seed)["label"]])
    expected = (alone.aggregate().item(), 3, alone.by_structure()["LV"])
    for rank in range(2):
        for found in torch.load(tmp_path / f"{rank}.pt"):
            assert found == pytest.approx(expected)
