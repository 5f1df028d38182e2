"""What a training leaves behind: whole files, the best model guarded, weights that cannot execute anything."""

import json
import pickle

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from pipeline.checkpoints import Checkpoints, digest, load_weights, save_atomically
from pipeline.errors import DataError


def run(folder, scores, *, identity=None, network=None, resume=False, start=0.0, on=None):
    """Train for len(scores) epochs; the one weight holds the epoch, validation gives the scores; `on`: handlers."""
    network = network or nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    trainer = Engine(lambda engine, batch: None)
    trainer.state.epoch_length, trainer.state.max_epochs = 1, len(scores)
    for event, handler in (on or {}).items():
        trainer.add_event_handler(event, handler)
    validator = Engine(lambda engine, batch: None)
    validator.state.best_metric, validator.state.best_metric_epoch = -1, -1
    validator.state.key_metric_name = "val_dice"

    @trainer.on(Events.EPOCH_COMPLETED)
    def _validate(engine):
        nn.init.constant_(network.weight, engine.state.epoch + start)
        score = scores[engine.state.epoch - 1]
        if score is not None and score > validator.state.best_metric:
            validator.state.best_metric, validator.state.best_metric_epoch = score, engine.state.epoch

    checkpoints = Checkpoints(
        ckpt_dir=str(folder),
        network=network,
        objects={"optimizer": optimizer},
        validator=validator,
        identity=identity or {"datalist": "d", "fold": 0},
    )
    checkpoints.attach(trainer)
    if resume:
        checkpoints.resume(trainer)
    if trainer.state.epoch < trainer.state.max_epochs:
        trainer.run([0], max_epochs=trainer.state.max_epochs, epoch_length=1)
    return trainer, validator


def weight(path):
    return torch.load(path, weights_only=True)["weight"].item()


def test_best_and_final_weights_are_kept_apart(tmp_path):
    run(tmp_path, [0.5, 0.8, 0.7])
    assert weight(tmp_path / "model.pt") == 2
    assert weight(tmp_path / "model_final.pt") == 3
    card = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert card == {"metric": "val_dice", "score": 0.8, "epoch": 2, "datalist": "d", "fold": 0}
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("last.pt", "last_prev.pt", "model.json", "model.pt", "model_final.pt")
    ]


def test_a_resumed_run_knows_its_epoch_and_its_best_score(tmp_path):
    run(tmp_path, [0.5, 0.8])
    trainer, validator = run(tmp_path, [0.5, 0.8, 0.7, 0.6], resume=True)
    assert trainer.state.epoch == 4
    assert (validator.state.best_metric, validator.state.best_metric_epoch) == (0.8, 2)
    assert weight(tmp_path / "model.pt") == 2, "a worse epoch after resuming does not replace the best"
    run(tmp_path, [0, 0, 0, 0, 0.9], resume=True)
    assert weight(tmp_path / "model.pt") == 5


def test_the_scale_of_half_precision_is_taken_up_by_the_scaler_that_the_trainer_makes_when_it_starts(tmp_path):
    seen = []

    def start(engine):
        engine.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def look(engine):
        seen.append(engine.scaler.get_scale())
        engine.scaler.load_state_dict({**engine.scaler.state_dict(), "scale": 2.0})

    run(tmp_path, [0.5], on={Events.STARTED: start, Events.EPOCH_STARTED: look})
    run(tmp_path, [0.5, 0.6], resume=True, on={Events.STARTED: start, Events.EPOCH_STARTED: look})
    assert seen == [8.0, 2.0]


def epoch_of(path):
    return torch.load(path, weights_only=True)["epoch"]


def spoil(path):
    """One bit of the weight, which PyTorch's own loading does not notice."""
    content = bytearray(path.read_bytes())
    before = torch.load(path, weights_only=True)["model"]["weight"]
    content[content.index(before.numpy().tobytes())] ^= 1
    path.write_bytes(content)
    assert not torch.equal(torch.load(path, weights_only=True)["model"]["weight"], before)


@pytest.mark.parametrize("damage", [lambda p: p.write_bytes(b""), lambda p: p.write_bytes(p.read_bytes()[:700]), spoil])
def test_a_damaged_state_gives_way_to_the_one_before_and_is_never_kept_as_such(tmp_path, caplog, damage):
    run(tmp_path, [0.5, 0.8, 0.7])
    assert (epoch_of(tmp_path / "last.pt"), epoch_of(tmp_path / "last_prev.pt")) == (3, 2)
    damage(tmp_path / "last.pt")
    with caplog.at_level("WARNING", logger="pipeline"):
        trainer, validator = run(tmp_path, [0.5, 0.8, 0.7], resume=True)
    assert "last.pt is damaged" in caplog.text
    assert "going on from last_prev.pt" in caplog.text
    assert (trainer.state.epoch, validator.state.best_metric) == (3, 0.8)
    assert (epoch_of(tmp_path / "last.pt"), epoch_of(tmp_path / "last_prev.pt")) == (3, 2)
    run(tmp_path, [0.5, 0.8, 0.7, 0.6], resume=True)
    assert (epoch_of(tmp_path / "last.pt"), epoch_of(tmp_path / "last_prev.pt")) == (4, 3)


def test_the_state_before_is_found_alone_as_a_kill_between_two_renames_leaves_it(tmp_path):
    run(tmp_path, [0.5, 0.8])
    (tmp_path / "last.pt").unlink()
    trainer, _ = run(tmp_path, [0.5, 0.8], resume=True)
    assert trainer.state.epoch == 2
    assert epoch_of(tmp_path / "last.pt") == 2


def test_two_damaged_states_are_both_named(tmp_path):
    run(tmp_path, [0.5, 0.8])
    (tmp_path / "last.pt").write_bytes(b"")
    (tmp_path / "last_prev.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=r"last\.pt.*an empty file.*\n.*last_prev\.pt.*cut off"):
        run(tmp_path, [0.5, 0.8, 0.9], resume=True)


def test_a_run_that_was_killed_before_its_final_weights_gets_them(tmp_path):
    run(tmp_path, [0.5, 0.8])
    (tmp_path / "model_final.pt").unlink()
    run(tmp_path, [0.5, 0.8], resume=True)
    assert weight(tmp_path / "model_final.pt") == 2


def test_a_state_of_another_optimizer_is_refused(tmp_path):
    run(tmp_path, [0.5])
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    state["optimizer"]["param_groups"].append(state["optimizer"]["param_groups"][0])
    save_atomically(state, tmp_path / "last.pt")
    with pytest.raises(DataError, match="a state of this optimizer"):
        run(tmp_path, [0.5, 0.6], resume=True)


def test_a_later_worse_run_does_not_replace_a_better_model(tmp_path):
    run(tmp_path, [0.8])
    run(tmp_path, [0.7], start=100)
    assert weight(tmp_path / "model.pt") == 1
    run(tmp_path, [0.9], start=200)
    assert weight(tmp_path / "model.pt") == 201


@pytest.mark.parametrize("other", [{"datalist": "d", "fold": 1}, {"datalist": "e", "fold": 0}])
def test_scores_of_other_data_are_not_compared_but_the_older_model_is_kept(tmp_path, other):
    run(tmp_path, [0.8])
    run(tmp_path, [0.3, 0.4], identity=other, start=100)
    assert weight(tmp_path / "model_prev.pt") == 1
    assert weight(tmp_path / "model.pt") == 102


def test_a_model_of_unknown_worth_is_kept_as_previous(tmp_path):
    save_atomically({"weight": torch.full((1, 1), 7.0)}, tmp_path / "model.pt")
    run(tmp_path, [0.1])
    assert weight(tmp_path / "model_prev.pt") == 7


def test_resuming_on_another_fold_is_refused(tmp_path):
    run(tmp_path, [0.5])
    with pytest.raises(DataError, match="fold 0"):
        run(tmp_path, [0.5, 0.6], identity={"datalist": "d", "fold": 3}, resume=True)


def test_resuming_with_other_labels_is_refused_with_what_differs_alone(tmp_path):
    identity = {"datalist": "d", "fold": 0, "labels": {"TZ": 1}}
    run(tmp_path, [0.5], identity=identity)
    with pytest.raises(DataError, match=r"expected a run with labels \{'PZ': 1\}, found one with labels \{'TZ': 1\}"):
        run(tmp_path, [0.5, 0.6], identity={**identity, "labels": {"PZ": 1}}, resume=True)


def test_what_a_state_of_an_earlier_version_does_not_tell_is_not_asked(tmp_path):
    run(tmp_path, [0.5])
    trainer, _ = run(tmp_path, [0.5, 0.6], identity={"datalist": "d", "fold": 0, "labels": {"TZ": 1}}, resume=True)
    assert trainer.state.epoch == 2


def test_a_finished_run_stays_finished(tmp_path):
    run(tmp_path, [0.5, 0.6])
    trainer, _ = run(tmp_path, [0.5, 0.6], resume=True)
    assert trainer.state.epoch == 2


def test_resuming_nothing_starts_from_the_beginning(tmp_path):
    trainer, _ = run(tmp_path, [0.5], resume=True)
    assert trainer.state.epoch == 1


def test_weights_of_another_network_are_refused_in_one_line(tmp_path):
    save_atomically(nn.Linear(1, 1).state_dict(), tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"weight \(2, 3\)") as error:
        load_weights(nn.Linear(3, 2), tmp_path / "model.pt")
    assert len(error.value.problems) == 1


def test_heads_of_deep_supervision_come_and_go_with_the_network(tmp_path):
    class Supervised(nn.Module):
        def __init__(self, heads):
            super().__init__()
            self.body = nn.Linear(1, 1)
            self.deep_supervision_heads = nn.ModuleList(nn.Linear(1, 1) for _ in range(heads))

    without, with_heads = Supervised(0), Supervised(2)
    own = with_heads.deep_supervision_heads[1].weight.clone()
    for value, (network, other) in enumerate(((without, with_heads), (with_heads, without)), start=2):
        nn.init.constant_(other.body.weight, value)
        torch.save(other.state_dict(), tmp_path / "model.pt")
        assert load_weights(network, tmp_path / "model.pt").body.weight.item() == value
    assert torch.equal(with_heads.deep_supervision_heads[1].weight, own)


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(DataError, match="Train first"):
        load_weights(nn.Linear(1, 1), tmp_path / "none.pt")


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"PK\x03\x04broken"])
def test_files_that_are_no_weights_are_named(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(DataError, match=r"model\.pt"):
        load_weights(nn.Linear(1, 1), tmp_path / "model.pt")


def test_a_pickle_that_executes_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    torch.save({"weight": Bomb()}, tmp_path / "model.pt", pickle_module=pickle)
    with pytest.raises(DataError):
        load_weights(nn.Linear(1, 1), tmp_path / "model.pt")
    assert not (tmp_path / "executed").exists()


def test_a_failed_write_leaves_the_previous_file_and_no_other(tmp_path):
    save_atomically({"a": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(Exception, match="pickle"):
        save_atomically({"a": lambda: None}, tmp_path / "x.pt")
    assert torch.load(tmp_path / "x.pt", weights_only=True)["a"].item() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_a_full_disk_is_told_with_the_file(tmp_path):
    resource = pytest.importorskip("resource")
    save_atomically({"a": torch.ones(1)}, tmp_path / "x.pt")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*x\.pt"):
            save_atomically({"a": torch.ones(100_000)}, tmp_path / "x.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.load(tmp_path / "x.pt", weights_only=True)["a"].item() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.pt"]


def test_the_digest_sees_cases_and_folds_but_not_paths(tmp_path):
    def write(name, items):
        (tmp_path / name).write_text(json.dumps({"training": items}))
        return digest(tmp_path / name)

    one = write("a.json", [{"image": "x/1.nii", "case": "1", "fold": 0}, {"image": "x/2.nii", "case": "2", "fold": 1}])
    moved = write(
        "b.json", [{"image": "y/2.nii", "case": "2", "fold": 1}, {"image": "y/1.nii", "case": "1", "fold": 0}]
    )
    refolded = write(
        "c.json", [{"image": "x/1.nii", "case": "1", "fold": 1}, {"image": "x/2.nii", "case": "2", "fold": 0}]
    )
    assert one == moved != refolded
