"""What a bundle refuses before it computes anything: misspelt overrides, missing data, a folder that holds a run."""

import json
import sys
from functools import partial

import pytest
from preflight_set import good_set, label_of, save

from pipeline import launch
from pipeline.errors import DataError
from pipeline.overrides import unusable

CONFIG = {"epochs": 3, "device": "cpu", "network_def": {"_target_": "UNet", "out": 2}, "steps": [{"rate": 1}]}


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(CONFIG))
    overlay = tmp_path / "overlay.json"
    overlay.write_text(json.dumps({"extra": 1}))
    return path


@pytest.fixture
def command_line(monkeypatch):
    def start(*arguments):
        monkeypatch.setattr(sys, "argv", ["/env/lib/monai/bundle/__main__.py", *map(str, arguments)])

    return start


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "training", "--config_file", "{c}", "--epochs", "5"],
        ["run", "--run_id", "training", "--config_file={c}", "--epochs=5"],
        ["run", "--config_file", "{c}", "--network_def#dropout", "0.2"],
        ["run", "--config_file", "{c}", "--steps::0::rate", "2"],
        ["run", "--config_file", "['{c}','{o}']", "--extra", "2"],
        ["run", "--config_file", "{c}", "--tracking", "mlflow", "--logging_file", "x"],
    ],
)
def test_known_overrides_pass(config, arguments):
    overlay = config.with_name("overlay.json")
    launch.check_overrides([a.format(c=config, o=overlay) for a in arguments])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--epoch", "5"], "Perhaps --epochs is meant"),
        (["--epoch=5"], "--epoch:"),
        (["--zzz", "5"], "Known keys: device, epochs, steps"),
        (["--network#dropout", "1"], "Perhaps --network_def is meant"),
        (["--network_def#a#b", "1"], "--network_def#a#b"),
        (["--steps::7::rate", "1"], "--steps::7::rate"),
    ],
)
def test_misspelt_overrides_are_named_with_the_closest_key(config, arguments, named):
    with pytest.raises(DataError) as error:
        launch.check_overrides(["run", "--config_file", str(config), *arguments])
    assert named in str(error.value)


@pytest.mark.parametrize("value", ["0.25", "[0.5, 0.5, 0]", "$@patch / 2", "@other", 0, [0.5, 0]])
def test_values_that_can_be_meant_pass(value):
    assert unusable({"overlap": value}, {"overlap": 0.5}) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("overlap", value) for value in (1, "1.5", [0.5, -0.1], "half", None)],
        *[("sw_batch_size", value) for value in (0, "-1", 1.5, "[]x")],
        *[("mirror_axes", value) for value in ([0, 3], "[-1]", "xy")],
        *[("single_piece", value) for value in ("LV", "['LV'", None)],
        *[("cascade", value) for value in ("maybe", 2, [True])],
        *[("patch_size", value) for value in (64, "[64, 64]", [64, 64, 0], [1.5, 2, 3], "64,64")],
        *[("spacing", value) for value in (3, "[1, 1]", [1, 1, 0], [1, 1, -2], "fine")],
        *[("labels", value) for value in ("RV=1,MYO=2", {}, "{'RV': 1.5}", ["RV"], {"RV": "1"})],
        ("labels", {"background": 0, "a": 1}),
        *[("softmax", value) for value in ("false", True)],
        *[
            (key, value)
            for key in ("epochs", "batch_size", "val_interval", "in_channels")
            for value in (0, -1, 1.5, "x")
        ],
        *[("learning_rate", value) for value in (-0.1, "fast", None)],
    ],
)
def test_values_that_cannot_be_meant_are_named_with_what_is_expected(name, value):
    config = {"overlap": 0.5, "sw_batch_size": 4, "mirror_axes": [], "cascade": True, "softmax": True}
    (problem,) = unusable({f"--{name}": value}, config)
    assert problem.file == f"--{name}"
    assert problem.expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("patch_size", value) for value in ("[64, 64, 1]", (96, 96, 8), "$[64] * 3", "@other")],
        *[("spacing", value) for value in ("[1.5, 1.5, -1]", [1, 1, 5])],
        *[("labels", value) for value in ("{'RV': 1}", {"lungs": [1, 2], "infection": 2})],
        *[("epochs", value) for value in (1, "300", "$2 * 3")],
        *[("learning_rate", value) for value in ("1e-3", 1)],
    ],
)
def test_values_of_the_keys_of_a_training_pass(name, value):
    assert unusable({name: value}, {}) == []


def test_a_value_from_another_file_must_be_there(tmp_path):
    catalogue = tmp_path / "losses.json"
    catalogue.write_text(json.dumps({"combo": {"alpha": 1}, "dice": {}}))
    for good in ("", "::combo", "::combo::alpha", "#dice"):
        assert unusable({"--loss": f"%{catalogue}{good}"}, {}) == []
    (problem,) = unusable({"--loss": f"%{catalogue}::combi"}, {})
    assert (problem.found, problem.remedy) == ("combi", "Perhaps combo is meant")
    (problem,) = unusable({"--loss": "%nowhere.json::combo"}, {})
    assert (problem.expected, problem.found) == ("a file that is there", "nowhere.json")


LABELLED = {"labels": {"background": 0, "LV": 1, "RV": 2}}


@pytest.fixture
def start(tmp_path):
    """start(labels, ...) checks a training on six cases whose list has LABELLED."""
    (tmp_path / "datalist.json").write_text(json.dumps({**good_set(tmp_path), **LABELLED}))
    return partial(launch.check, datalist=str(tmp_path / "datalist.json"), dataset_dir=str(tmp_path), fold=0)


def test_labels_of_a_network_with_one_structure_for_each_voxel_count_from_1(start):
    start(labels={"RV": 1}, softmax=True)
    start(labels={"RV": 2, "LV": 1}, softmax=True)
    start(labels={"RV": 2}, softmax=False)
    for labels in ({"RV": 2}, {"LV": [1, 2], "RV": 2}, {"LV": 1, "RV": 3}, {"LV": 1, "RV": 1}):
        with pytest.raises(DataError, match="from 1 on without a gap"):
            start(labels=labels, softmax=True)


def test_structures_that_the_list_does_not_tell_are_refused_before_anything_is_read(start):
    with pytest.raises(DataError, match="expected structures called MYO, found only LV, RV in b"):
        start(labels={"LV": 1, "MYO": 2})


def test_what_is_scored_must_have_labels(tmp_path):
    listed = good_set(tmp_path)
    listed["testing"] = [{key: value for key, value in item.items() if key != "label"} for item in listed["training"]]
    (tmp_path / "datalist.json").write_text(json.dumps({**listed, "training": []}))
    where = {"datalist": str(tmp_path / "datalist.json"), "dataset_dir": str(tmp_path), "section": "testing"}
    launch.check(**where)
    with pytest.raises(DataError, match=r"labels in .testing., found none of 6 cases such as a\. Segment them without"):
        launch.check(**where, scores_dir=str(tmp_path / "scores"))


def test_every_misspelt_override_is_reported_at_once(config):
    with pytest.raises(DataError) as error:
        launch.check_overrides(["run", "--config_file", str(config), "--epoch", "1", "--devise", "cpu"])
    assert len(error.value.problems) == 2


def test_an_args_file_is_checked_like_the_command_line(config, tmp_path):
    args = tmp_path / "args.json"
    args.write_text(json.dumps({"config_file": str(config), "epoch": 5}))
    with pytest.raises(DataError, match="Perhaps --epochs"):
        launch.check_overrides(["run", "--args_file", str(args)])


def test_on_the_command_line_a_fault_is_one_line_and_exit_code_2(config, command_line, capsys):
    command_line("run", "--config_file", config, "--epoch", "5")
    with pytest.raises(SystemExit) as stop:
        launch.check()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What a command prints on stderr that is given a list with two broken cases and one that is not there."""
    datalist = good_set(tmp_path)
    (tmp_path / "images" / "b.nii.gz").write_bytes(b"")
    save(tmp_path / "labels" / "e.nii.gz", label_of("e")[..., :4])
    (tmp_path / "images" / "f.nii.gz").unlink()
    (tmp_path / "datalist.json").write_text(json.dumps(datalist))

    def check(**options):
        launch.check(datalist=str(tmp_path / "datalist.json"), dataset_dir=str(tmp_path), fold=0, **options)

    return check


def test_the_preflight_tells_everything_at_once(told):
    with pytest.raises(DataError) as error:
        told(preflight="fast")
    files = [problem.file.rsplit("/", 1)[-1] for problem in error.value.problems]
    assert sorted(files) == ["b.nii.gz", "e.nii.gz", "f.nii.gz"]


def test_on_the_command_line_it_is_a_table_on_stderr_and_code_2(told, config, command_line, capsys, monkeypatch):
    monkeypatch.setattr(launch.endings, "install", lambda **_: None)
    monkeypatch.setenv("COLUMNS", "200")
    command_line("run", "--config_file", config)
    with pytest.raises(SystemExit) as stop:
        told(preflight="fast")
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    for text in ("images/b.nii.gz", "an empty file", "labels/e.nii.gz", "12 x 11 x 4", "images/f.nii.gz", "no such"):
        assert text in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("volseg: 3 problems, the first: ")
    assert "f.nii.gz: expected" in last, "a grid tells this line alone as the reason why a run failed"
    assert "--preflight off" in last


def test_without_preflight_only_missing_files_are_told(told):
    with pytest.raises(DataError) as error:
        told(preflight="off")
    assert "1 missing" in str(error.value)
    assert len(error.value.problems) == 1


def test_full_reads_values_and_labels_and_fast_does_not(tmp_path):
    datalist = good_set(tmp_path)
    save(tmp_path / "labels" / "c.nii.gz", 7 * label_of("c"))
    (tmp_path / "datalist.json").write_text(json.dumps(datalist))
    arguments = {"datalist": str(tmp_path / "datalist.json"), "dataset_dir": str(tmp_path), "fold": 0}
    labels = {"RV": 1, "MYO": 2, "LV": 3}
    launch.check(**arguments, preflight="fast", labels=labels)
    with pytest.raises(DataError, match=r"c\.nii\.gz.*7, 14, 21"):
        launch.check(**arguments, preflight="full", labels=labels)
    with pytest.raises(DataError, match="fast, full or off"):
        launch.check(**arguments, preflight="quick", labels=labels)


def test_of_several_processes_the_first_one_looks(told, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(DataError, match="1 missing"):
        told(preflight="fast")


def test_fold_all_says_what_its_scores_are_worth(tmp_path, caplog):
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps(good_set(tmp_path)))
    launch.check(dataset_dir=str(tmp_path), datalist=str(datalist), fold=0)
    assert not caplog.messages
    launch.check(dataset_dir=str(tmp_path), datalist=str(datalist), fold="all")
    assert "say nothing of new patients" in caplog.text


def test_all_that_is_wrong_with_a_start_is_told_at_once(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"x")
    with pytest.raises(DataError) as error:
        launch.check(ckpt_dir=str(tmp_path), weights="nowhere.pt", datalist="x.json", dataset_dir="nowhere")
    assert [problem.file for problem in error.value.problems] == [str(tmp_path), "nowhere.pt"]


def test_a_run_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"expected a folder for the run, found a file.*--output_dir"):
        launch.check(ckpt_dir=str(tmp_path / "file" / "run" / "models"))


def test_elsewhere_a_fault_is_an_error_that_does_not_end_the_process(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        launch.check(datalist="data_lists/acdc.json", dataset_dir=str(tmp_path / "none"), fold=0)


@pytest.mark.parametrize("name", ["last.pt", "last_prev.pt"])
def test_a_folder_with_a_run_is_refused_unless_resumed(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="--resume true"):
        launch.check(ckpt_dir=str(tmp_path), resume="false")
    launch.check(ckpt_dir=str(tmp_path), resume="true")
    launch.check(ckpt_dir=str(tmp_path / "new"), resume=False)


@pytest.mark.parametrize(
    ("value", "meant"), [("true", True), ("False", False), ("0", False), (1, True), (None, False), (True, True)]
)
def test_booleans_from_the_command_line(value, meant):
    assert launch.boolean(value) is meant


def test_a_word_that_is_no_boolean_is_refused():
    with pytest.raises(DataError, match="true or false"):
        launch.boolean("perhaps")


def test_pytest_is_not_the_bundle_command_line():
    assert not launch.on_command_line()
