"""What a packed bundle does within a server: simulated here, done by a real one in tests/label."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer
from monai.networks.nets import DynUNet
from monai.transforms import SaveImaged
from tiny_bundles import SHALLOW

from pipeline.errors import DataError
from pipeline.packaging import serving


def command_line(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["/site/monai/bundle/__main__.py", "run", *arguments])


def test_servers_leave_out_the_saving(tmp_path):
    transform = serving.SaveImageMaskd(keys="pred", output_dir=str(tmp_path), ref_key="image")
    assert isinstance(transform, SaveImaged)  # MONAI Label's rule
    assert "SaveImage" in type(transform).__name__  # MONAI Deploy's rule
    assert transform.output_dir == tmp_path


def test_the_served_network_computes_in_plane_and_gives_the_same():
    torch.manual_seed(0)
    network = DynUNet(3, 1, 3, **SHALLOW, norm_name="instance").eval()
    image = torch.rand(1, 1, 16, 16, 3)
    with torch.no_grad():
        plain = network(image)
        served = serving.InPlaneInferer(SimpleInferer())(image, network)
    torch.testing.assert_close(served, plain, atol=1e-5, rtol=1e-4)
    assert {type(m).__name__ for m in network.modules() if isinstance(m, torch.nn.Conv3d)} == {"_InPlaneConv"}


def test_a_training_gets_a_folder_of_its_own_in_a_server_alone(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site/monailabel/main.py"])
    assert serving.in_server()
    assert serving.run_folder("/b").startswith("/b/runs/2")
    command_line(monkeypatch, "--config_file", "configs/train.json")
    assert not serving.in_server()
    assert serving.run_folder("/b") == "/b/runs/train"
    command_line(monkeypatch, "--config_file", "['/b/configs/monailabel_train.json','/b/configs/multi_gpu_train.json']")
    assert serving.in_server()


@pytest.fixture
def bundle(tmp_path):
    for name in ("models", "run"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "model.pt").write_text("shipped")
    (tmp_path / "models" / "model.json").write_text('{"score": 1}')
    (tmp_path / "run" / "model_final.pt").write_text("final")
    return tmp_path


def texts(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in (folder / "models").iterdir()}


def test_the_best_weights_are_served_and_the_earlier_ones_kept(bundle, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site/monailabel/main.py"])
    (bundle / "run" / "model.pt").write_text("best")
    (bundle / "run" / "model.json").write_text('{"score": 2}')
    serving.publish(str(bundle / "run"), str(bundle))
    assert texts(bundle) == {
        "model.pt": "best",
        "model.json": '{"score": 2}',
        "model_prev.pt": "shipped",
        "model_prev.json": '{"score": 1}',
    }


def test_what_answered_together_with_the_earlier_weights_goes_with_them(bundle, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site/monailabel/main.py"])
    for name in ("model_2.pt", "model_prev_2.pt", "model_prev_3.pt"):
        (bundle / "models" / name).write_text(name)
    serving.publish(str(bundle / "run"), str(bundle))
    found = texts(bundle)
    assert {name: found[name] for name in found if name.endswith(".pt")} == {
        "model.pt": "final",
        "model_prev.pt": "shipped",
        "model_prev_2.pt": "model_2.pt",
    }


def test_without_validation_the_final_weights_are_served_without_a_score(bundle, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site/monailabel/main.py"])
    serving.publish(str(bundle / "run"), str(bundle))
    assert texts(bundle)["model.pt"] == "final"
    assert "model.json" not in texts(bundle)


def test_the_command_line_replaces_nothing(bundle, monkeypatch):
    command_line(monkeypatch, "training")
    before = texts(bundle)
    serving.publish(str(bundle / "run"), str(bundle))
    assert texts(bundle) == before


def test_only_one_of_several_processes_publishes(bundle, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site/monailabel/main.py"])
    monkeypatch.setenv("RANK", "1")
    before = texts(bundle)
    serving.publish(str(bundle / "run"), str(bundle))
    assert texts(bundle) == before


def test_cases_are_known_by_name_wherever_they_lie():
    one = [{"image": "/a/x.nii.gz"}, {"image": "/a/y.nii.gz"}]
    other = [{"image": "/b/y.nii.gz"}, {"image": "/b/x.nii.gz"}]
    assert serving.digest(one, []) == serving.digest(other, [])
    assert serving.digest(one, []) != serving.digest([], one)
    assert serving.digest([{"image": ["/a/t1.nii", "/a/t2.nii"]}], []) != serving.digest(one, [])


def test_training_without_labels_is_refused_in_words():
    serving.check_cases([{"image": "x"}])
    with pytest.raises(ValueError, match="save the labels"):
        serving.check_cases([])


@pytest.fixture
def saved(tmp_path):
    """Cases with labels as a server has them: the file's numbers are as given."""

    def write(**numbers):
        for name, values in numbers.items():
            mask = np.zeros((4, 4, 2), np.int16)
            mask.flat[: len(values)] = values
            nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / f"{name}.nii.gz")
        return [{"image": "x", "label": str(tmp_path / f"{name}.nii.gz")} for name in numbers]

    return write


def test_labels_with_other_numbers_are_refused_in_a_server_all_at_once(saved, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/site/monailabel/main.py"])
    labels = {"lungs": [1, 2], "infection": [2]}
    good, bad = saved(a=[1, 2, 2], b=[]), saved(c=[4], d=[5, 3, 1])
    serving.check_cases(good, [], labels)
    with pytest.raises(DataError) as caught:
        serving.check_cases([*good, bad[0]], [bad[1]], labels)
    assert [(Path(problem.file).name, problem.found) for problem in caught.value.problems] == [
        ("c.nii.gz", "4"),
        ("d.nii.gz", "3, 5"),
    ]
    assert "0 background, 1 lungs, 2 infection" in str(caught.value)


def test_labels_of_a_datalist_are_left_to_its_own_numbers(saved, monkeypatch):
    command_line(monkeypatch, "training")
    serving.check_cases(saved(a=[7]), [], {"infection": 1})


@pytest.mark.parametrize(("cases", "registered"), [([], 0), ([1], 1)])
def test_validation_without_cases_is_left_out(cases, registered):
    added = []
    engine = SimpleNamespace(add_event_handler=lambda *arguments: added.append(arguments))
    validator = SimpleNamespace(data_loader=SimpleNamespace(dataset=cases))
    handler = serving.Validation.__new__(serving.Validation)
    handler.validator, handler.interval = validator, 1
    handler.attach(engine)
    assert len(added) == registered


def test_the_score_card_of_a_training_tells_its_cases(packed_once):
    train = json.loads((packed_once["acdc"] / "configs" / "train.json").read_text(encoding="utf-8"))
    assert train["checkpoints"]["identity"] == {"cases": "$serving.digest(@train#dataset#data, @validate#dataset#data)"}
