"""Semi-supervised training by overlay: which images are unlabelled, that they teach, and that it resumes."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import MetaTensor

from pipeline.errors import DataError
from pipeline.losses.compound import UNLABELLED
from pipeline.semi_supervised import HideLabeld, draw_weights, items


@pytest.fixture
def arguments(phantom_acdc):
    return {"datalist": phantom_acdc / "datalist.json", "dataset_dir": phantom_acdc, "fold": 0}


def listed(phantom_acdc):
    return json.loads((phantom_acdc / "datalist.json").read_text(encoding="utf-8"))["training"]


def test_labels_are_hidden_by_patient_and_the_held_out_fold_stays_out(arguments, phantom_acdc):
    patient = {item["case"]: item["patient"] for item in listed(phantom_acdc)}
    held_out = {item["patient"] for item in listed(phantom_acdc) if item["fold"] == 0}
    found = items(**arguments, labelled_share=0.5)
    known = {patient[item["case"]] for item in found if not item["unlabelled"]}
    unknown = {patient[item["case"]] for item in found if item["unlabelled"]}
    everyone = set(patient.values()) - held_out
    assert known | unknown == everyone
    assert not known & unknown
    assert len(known) == round(0.5 * len(everyone))
    for item in found:
        assert (item["label"] == item["image"]) is item["unlabelled"]
    assert items(**arguments, labelled_share=0.5) == found
    choices = [{i["case"] for i in items(**arguments, labelled_share=0.5, seed=s) if i["unlabelled"]} for s in range(5)]
    assert len(set(map(frozenset, choices))) > 1, "the seed chooses"
    assert sum(not item["unlabelled"] for item in items(**arguments, labelled_share=0.01)) == 2, "one patient at least"


def test_items_keep_what_the_list_says_of_them(arguments, phantom_acdc, tmp_path):
    """Which numbers a mask uses, above all: else the labels are wrong, or taken for unlabelled."""
    content = json.loads((phantom_acdc / "datalist.json").read_text(encoding="utf-8"))
    told = {"structures": {"RV": [7], "MYO": [8], "LV": [9]}, "slice": 1, "reversed": True}
    content["training"] = [item | told for item in content["training"]]
    (tmp_path / "list.json").write_text(json.dumps(content))
    found = items(**arguments | {"datalist": tmp_path / "list.json"}, labelled_share=0.5)
    for item in found:
        kept = {key: item[key] for key in told if key in item}
        assert kept == ({"slice": 1} if item["unlabelled"] else told)
    plain = items(**arguments, labelled_share=0.5)
    assert {"listed" in item for item in plain if not item["unlabelled"]} == {True}
    assert {"listed" in item for item in plain if item["unlabelled"]} == {False}


def test_of_a_folder_nothing_comes_that_the_list_names(arguments, phantom_acdc, tmp_path):
    with pytest.raises(DataError, match="images without label"):
        items(**arguments, folder=phantom_acdc / "training")
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(phantom_acdc / listed(phantom_acdc)[0]["image"], new / "other.nii.gz")
    unlabelled = [item for item in items(**arguments, folder=new) if item["unlabelled"]]
    assert [item["case"] for item in unlabelled] == ["other"]


def test_unlabelled_images_come_from_the_list_and_from_a_folder(arguments, phantom_acdc, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(phantom_acdc, copy)
    datalist = json.loads((copy / "datalist.json").read_text(encoding="utf-8"))
    entries = datalist["training"]
    kept = [item for item in entries if item["patient"] != entries[0]["patient"] or item["fold"] == 0]
    spare = next(item["patient"] for item in entries if item["fold"] != 0)
    unlabelled = [
        {key: item[key] for key in ("image", "case", "patient")}
        for item in entries
        if item["patient"] == spare or item["fold"] == 0
    ]
    datalist["training"] = [item for item in kept if item["patient"] != spare]
    datalist["unlabelled"] = unlabelled
    (copy / "datalist.json").write_text(json.dumps(datalist))
    arguments = {"datalist": copy / "datalist.json", "dataset_dir": copy, "fold": 0}
    found = [item["case"] for item in items(**arguments) if item["unlabelled"]]
    assert found == [item["case"] for item in unlabelled if item["patient"] == spare], "not those of the held-out fold"
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(copy / entries[0]["image"], scans / "another.nii.gz")
    found = [item["image"] for item in items(**arguments, folder=scans) if item["unlabelled"]]
    assert str(scans / "another.nii.gz") in found


@pytest.fixture
def many(tmp_path):
    """A list with patients on every side, "unlabelled" images of each, and a folder that holds more of them."""
    home = tmp_path / "many"
    for folder in ("images", "more", "more/p9", "p9"):
        (home / folder).mkdir(parents=True, exist_ok=True)

    def file(path):
        (home / path).touch()
        return path

    def labelled(patient, **more):
        image, label = (file(f"images/{patient}_{kind}.nii.gz") for kind in ("a", "a_gt"))
        return {"image": image, "label": label, "patient": patient, **more}

    content = {
        "training": [labelled(f"p{i}", fold=i % 2) for i in range(4)],
        "testing": [labelled("p9"), {"image": "absent/t_0001.nii.gz"}],
        "unlabelled": [{"image": file(f"images/{p}_b.nii.gz"), "patient": p} for p in ("p0", "p1", "p9", "p20")],
    }
    content["unlabelled"].append({"image": file("images/p2_nobody.nii.gz")})
    for name in ("p0_c", "p10_c", "t_0001", "stranger", "p9/visit", "p1_c"):
        file(f"more/{name}.nii.gz")
    file("p9/visit.nii.gz")
    (home / "datalist.json").write_text(json.dumps(content))

    def unlabelled(**options):
        found = items(home / "datalist.json", dataset_dir=home, **options)
        return [item["case"] for item in found if item["unlabelled"]]

    unlabelled.home = home
    return unlabelled


def test_no_listed_image_is_of_a_held_out_or_tested_patient(many):
    assert many(fold=0) == ["p1_b", "p20_b"]
    assert many(fold=1) == ["p0_b", "p20_b", "p2_nobody"]


def test_of_fold_all_only_the_test_list_is_kept_out(many):
    assert many(fold="all") == ["p0_b", "p1_b", "p20_b", "p2_nobody"]


def test_no_image_of_a_folder_is_of_a_held_out_or_tested_patient_as_far_as_names_tell(many, caplog):
    of_list = ["p1_b", "p20_b"]
    assert many(fold=0, folder=many.home / "more") == [*of_list, "p10_c", "p1_c", "stranger"]
    (told,) = caplog.messages
    assert "the patients of 2 of its images, such as p10_c, cannot be told" in told
    assert many(fold=0, folder=many.home / "p9") == of_list, "the folder itself is named for the patient"
    assert many(fold="all", folder=many.home / "more")[-4:] == ["p0_c", "p10_c", "p1_c", "stranger"]


def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(DataError, match="unlabelled_dir"):
        items(**arguments)
    with pytest.raises(DataError, match="above 0"):
        items(**arguments, labelled_share=0)
    with pytest.raises(DataError, match="found abc"):
        items(**arguments, labelled_share="abc")


def test_half_of_the_draws_are_labelled():
    chosen = [{"unlabelled": flag} for flag in (False, True, True, True, True)]
    weights = draw_weights(chosen)
    assert weights == [0.5, 0.125, 0.125, 0.125, 0.125]
    assert draw_weights(chosen, labelled=0.8)[0] == 0.8


def test_hidden_labels_hold_one_number_on_the_grid_of_the_image():
    image = MetaTensor(torch.randn(2, 3, 4, 1), affine=np.diag([2.0, 2, 8, 1]))
    hidden = HideLabeld("label")({"image": image, "label": image.clone(), "unlabelled": True})["label"]
    assert hidden.shape == (1, 3, 4, 1)
    assert torch.equal(hidden.affine, image.affine)
    assert (hidden == UNLABELLED).all()
    for kept in ({"label": image, "unlabelled": False}, {"label": image}):
        assert HideLabeld("label")(kept)["label"] is image


def train(bundle, **settings):
    workflow = bundle("train", "semi", **{"epochs": 3, "val_interval": 3, "labelled_share": 0.5} | settings)
    workflow.run()
    workflow.finalize()
    return workflow


@pytest.mark.slow
def test_unlabelled_images_reach_the_network_and_teach_it(bundle):
    workflow = bundle("train", "semi", epochs=1, labelled_share=0.5, ramp_epochs=0)
    trainer, loss = (workflow.parser.get_parsed_content(key) for key in ("train#trainer", "semi_loss"))
    kinds, differences, before = [], [], []

    def look(engine):
        label = engine.state.output["label"].flatten(1)
        kinds.extend(("hidden" if (row == UNLABELLED).all() else "shown" if row.max() <= 3 else "?") for row in label)
        teacher, student = loss.losses[1].teacher.state_dict(), engine.network.state_dict()
        differences.append(max(float((teacher[key] - student[key]).abs().max()) for key in student))

    key = [name for name in loss.losses[1].teacher.state_dict() if name.endswith("bias")][-1]
    before.append(loss.losses[1].teacher.state_dict()[key].clone())
    trainer.add_event_handler(Events.ITERATION_COMPLETED, look)
    workflow.run()
    assert set(kinds) == {"hidden", "shown"}
    assert all(difference > 0 for difference in differences)
    assert not torch.equal(loss.losses[1].teacher.state_dict()[key], before[0])

    network = trainer.network
    network.zero_grad()
    image, hidden = torch.randn(2, 5, 48, 48, 1), torch.full((2, 1, 48, 48, 1), UNLABELLED)
    loss(network(image), hidden, image=image, predict=lambda x, other: (other or network)(x)).backward()
    assert max(float(p.grad.abs().max()) for p in network.parameters() if p.grad is not None) > 0


@pytest.mark.slow
def test_the_supervised_part_is_whatever_loss_was_chosen(bundle, tmp_path):
    entry = "%bundles/options/losses.json::mumford_shah"
    workflow = train(bundle, loss=entry, loss_spacing=[3.0, 3.0, 10.0])
    kinds = [type(loss).__name__ for loss in workflow.parser.get_parsed_content("semi_loss").losses]
    assert kinds == ["CompoundLoss", "ConsistencyLoss", "MumfordShahLoss"]
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert np.isfinite(losses).all()


def test_several_answers_learn_from_unlabelled_images_too(bundle):
    workflow = train(bundle, deep_supervision=2, epochs=2, val_interval=2)
    loss = workflow.parser.get_parsed_content("train#trainer").loss_function
    assert type(loss.loss) is type(workflow.parser.get_parsed_content("semi_loss"))
    student = workflow.parser.get_parsed_content("network")
    heads = [p for name, p in student.named_parameters() if "deep_supervision_heads" in name]
    assert all(float(p.grad.abs().max()) > 0 for p in heads)


@pytest.mark.slow
def test_a_killed_run_resumes_with_its_teacher(bundle, tmp_path):
    whole = train(bundle, output_dir=str(tmp_path / "whole"))

    class KilledError(Exception):
        pass

    killed = bundle("train", "semi", epochs=3, val_interval=3, labelled_share=0.5)

    def kill(engine):
        if engine.state.epoch == 2:
            raise KilledError

    killed.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_COMPLETED, kill)
    with pytest.raises(Exception):  # noqa: B017, PT011 -- MONAI wraps it
        killed.run()
    resumed = train(bundle, resume="true")
    for key in ("network", "semi_loss"):
        states = [workflow.parser.get_parsed_content(key).state_dict() for workflow in (whole, resumed)]
        tensors = [name for name, value in states[0].items() if torch.is_tensor(value)]
        assert len(tensors) > 10
        assert all(torch.equal(states[0][name], states[1][name]) for name in tensors), key
