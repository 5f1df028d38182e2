"""The paper's protocol: the overlays on small phantoms, the grid, and what counts as a full run."""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from pipeline.errors import DataError
from pipeline.experiment import load_grid, paper_grid
from pipeline.experiment.paper import PUBLISHED, deviations, is_phantom
from pipeline.metrics import score_case

REPOSITORY = Path(__file__).resolve().parents[2]
BUNDLES = ("acdc", "covid19", "covid19_slices")
TINY = {"width": 2, "patch_size": [32, 32, 1], "batch_size": 8, "epochs": 1, "device": "$torch.device('cpu')"}
OWN = {
    "acdc": {"cascade", "dice_background", "largest_component", "neighbours", "single_piece"},
    "covid19": {"min_component", "target"},
}
OWN["covid19_slices"] = {"min_component"}


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch):
    monkeypatch.chdir(REPOSITORY)


def parser(name, **settings):
    found = ConfigParser(ConfigParser.load_config_files([f"bundles/{name}/{file}.json" for file in ("train", "paper")]))
    found.update(settings)
    return found


def workflow(name, *files, run_id="training", **settings):
    started = ConfigWorkflow(
        config_file=[f"bundles/{name}/{file}.json" for file in files],
        meta_file=f"bundles/{name}/metadata.json",
        logging_file=False,
        workflow_type="train" if run_id == "training" else "infer",
        run_id=run_id,
        **TINY | settings,
    )
    started.initialize()
    return started


def test_the_overlays_of_all_bundles_have_the_same_keys():
    keys = {
        name: set(json.loads(Path(f"bundles/{name}/paper.json").read_text(encoding="utf-8"))) - OWN[name]
        for name in BUNDLES
    }
    assert keys["acdc"] == keys["covid19"] == keys["covid19_slices"]


def convolution(taken, given, taps=9):
    return taken * given * taps + given


def test_the_network_is_the_one_of_2015_but_for_its_last_up_convolution():
    """Counted from the figure of Ronneberger et al.; MONAI's BasicUNet does not halve the channels at the top."""
    levels, count, taken = [64, 128, 256, 512, 1024], 0, 1
    for given in levels:
        count += convolution(taken, given) + convolution(given, given)
        taken = given
    for given in levels[-2::-1]:
        up = given if given > 64 else 128
        count += convolution(2 * given, up, taps=4) + convolution(given + up, given) + convolution(given, given)
    count += convolution(64, 4, taps=1)
    plain = parser("acdc", norm=None).get_parsed_content("network_def")
    assert sum(parameter.numel() for parameter in plain.parameters()) == count
    with_norm = parser("acdc").get_parsed_content("network_def")
    kinds = [type(module) for module in with_norm.modules()]
    assert kinds.count(torch.nn.BatchNorm2d) == 18, "one for each 3 x 3 convolution"
    assert kinds.count(torch.nn.MaxPool2d) == 4
    assert torch.nn.BatchNorm2d not in {type(module) for module in plain.modules()}


def test_the_paper_s_settings():
    found = parser("acdc", alpha=0, width=4)
    optimizer, loss = (found.get_parsed_content(key) for key in ("optimizer", "loss"))
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 0.01
    scheduler = found.get_parsed_content("lr_scheduler")
    for _ in range(100):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01), "no decay"
    assert (loss.lambda_dice, loss.lambda_ce, loss.dice.squared_pred) == (0, 1.0, True)


@pytest.mark.parametrize("fit", ["stretch", "pad_crop"])
def test_the_way_to_256_and_back_keeps_every_structure_in_its_place(phantom_acdc, fit):
    found = parser("acdc", dataset_dir=str(phantom_acdc), fit=fit, **TINY | {"patch_size": [128, 128, 1]})
    item = dict(found.get_parsed_content("train#volumes").data[0])
    steps = [found.get_parsed_content(key) for key in ("preprocessing", "label_preprocessing")]
    there = steps[1](steps[0](item))
    assert there["image"].shape[1:3] == (128, 128)
    truth = there["label"][0].numpy()
    resampled = found.get_parsed_content("train#label_resampling").transforms[0](dict(there))["label"]
    logits = torch.nn.functional.one_hot(resampled[0].long(), 4).permute(3, 0, 1, 2).float()
    restored = found.get_parsed_content("postprocessing")({**there, "pred": logits})["pred"][0].numpy()
    rows = score_case(restored, truth, (1, 1, 1), {"RV": 1, "MYO": 2, "LV": 3}).structures
    assert min(row["dice"] for row in rows) > 0.93, "half a voxel's shift costs the thin myocardium more than that"


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "root", "case"), [("acdc", "acdc_root", 4), ("covid19_slices", "covid_root", 7)])
def test_real_slices_find_back_to_their_own_grid(name, root, case, request, tmp_path):
    home = request.getfixturevalue(root)
    found = parser(name, dataset_dir=str(home), output_dir=str(tmp_path), width=2)
    item = dict(found.get_parsed_content("train#volumes").data[case])
    there = found.get_parsed_content("label_preprocessing")(found.get_parsed_content("preprocessing")(item))
    assert there["image"].shape[1:3] == (256, 256)
    truth = there["label"][0].numpy()
    resampled = found.get_parsed_content("train#label_resampling").transforms[0](dict(there))["label"]
    labels = found.get_parsed_content("labels")
    masks = [resampled[0] == number for number in ([0] if name == "acdc" else []) + list(labels.values())]
    restored = found.get_parsed_content("postprocessing")({**there, "pred": torch.stack(masks).float() - 0.5})["pred"]
    rows = score_case(restored[0].numpy(), truth, (1, 1, 1), labels).structures
    assert min(row["dice"] for row in rows) > 0.95


@pytest.mark.parametrize(("name", "phantom"), [("acdc", "phantom_acdc"), ("covid19_slices", "phantom_covid19_slices")])
def test_an_epoch_is_every_slice_once_and_the_last_weights_are_scored(name, phantom, tmp_path, request):
    home = request.getfixturevalue(phantom)
    settings = {"dataset_dir": str(home), "output_dir": str(tmp_path), "train_limit": 6, "val_limit": 2}
    training = workflow(name, "train", "paper", **settings)
    dataset = training.parser.get_parsed_content("train#dataset")
    depths = [item["image"].shape[-1] for item in dataset.volumes]
    assert len(depths) == 6
    assert len(dataset) == sum(depths)
    training.run()
    training.finalize()
    (line,) = map(json.loads, (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines())
    assert line["iteration"] == -(-sum(depths) // 8)
    assert 0 <= line["val_slice_dice"] <= 1
    assert 0 < line["val_slice_pixel_error"] <= 1
    (tmp_path / "models" / "model.pt").unlink()
    workflow(name, "train", "evaluate", "paper", run_id="evaluating", **settings | {"val_limit": None}).run()
    assert (tmp_path / "evaluation" / "scores.csv").is_file()


def test_the_grid_of_the_paper_varies_what_was_asked_for(phantom_acdc):
    data = {"acdc": str(phantom_acdc), "covid19": "nowhere"}
    grid = paper_grid(seeds=[0, 1], data=data, settings={"width": 16})
    assert len(grid.runs) == 2 * 2 * 2
    assert grid.baseline == {"alpha": "0"}
    assert [run.levels["seed"] for run in grid.runs] == ["0"] * 4 + ["1"] * 4, "a whole comparison before the next seed"
    first = grid.runs[0]
    assert first.levels["dataset"] == "acdc (phantoms)"
    assert first.settings == {"dataset_dir": data["acdc"], "alpha": 0, "seed": 0, "fold": 0, "width": 16}
    assert first.overlays == ("bundles/acdc/paper.json",)
    assert grid.runs[2].bundle == "bundles/covid19_slices"


def test_the_least_alpha_is_the_baseline_in_whatever_order_they_are_given():
    grid = paper_grid(datasets=["acdc"], alphas=[1, 0.5, 0], seeds=[0], data={"acdc": "nowhere"})
    assert [run.levels["alpha"] for run in grid.runs] == ["0", "0.5", "1"]
    assert grid.baseline == {"alpha": "0"}


def test_what_is_no_full_run_of_the_paper(phantom_acdc):
    (run,) = paper_grid(datasets=["acdc"], alphas=[1], seeds=[0], data={"acdc": "nowhere"}).runs
    assert deviations(run, run.resolved()) == []
    (small,) = paper_grid(
        datasets=["acdc"], alphas=[1], seeds=[0], data={"acdc": str(phantom_acdc)}, settings={"width": 8, "epochs": 5}
    ).runs
    told = deviations(small, small.resolved())
    assert told == ["width 8 instead of 64", "epochs 5 instead of 100", "phantoms instead of patients"]
    (quick,) = paper_grid(datasets=["covid19"], alphas=[0], seeds=[0], data={"covid19": "x"}, quick=True).runs
    assert any(word.startswith("train_limit") for word in deviations(quick, quick.resolved()))


@pytest.mark.parametrize("key", ["alpha", "seed", "fold", "dataset_dir", "bundle", "overlays"])
def test_no_setting_for_every_run_makes_the_levels_of_an_axis_one(key):
    with pytest.raises(DataError, match=f"--set {key}: expected a key that is the same for every run"):
        paper_grid(settings={key: 7, "width": 16})


def test_another_loss_network_or_optimizer_is_not_the_paper_s():
    settings = {
        "loss": "%a.json::b",
        "network_def#network": {"_target_": "UNet"},
        "optimizer::lr": 1,
        "loss_spacing": 2,
    }
    (run,) = paper_grid(datasets=["acdc"], alphas=[1], seeds=[0], data={"acdc": "nowhere"}, settings=settings).runs
    words = ("loss", "network", "optimizer")
    assert deviations(run, run.resolved()) == [f"another {word} than the paper's" for word in words]


def test_phantoms_are_recognised(phantom_acdc, phantom_covid19_slices, tmp_path):
    assert is_phantom(phantom_acdc)
    assert is_phantom(phantom_covid19_slices)
    (tmp_path / "datalist.json").write_text('{"name": "acdc", "training": []}')
    assert not is_phantom(tmp_path)
    assert not is_phantom(tmp_path / "nothing")


def test_unknown_data_is_refused():
    with pytest.raises(DataError, match="lungs"):
        paper_grid(datasets=["heart"])


def test_the_paper_s_numbers_improve_with_dice():
    for data in ("acdc", "covid19"):
        ce, both = (PUBLISHED[data, alpha] for alpha in "01")
        assert both[0] > ce[0]
        assert both[1] > ce[1]
        assert both[2] < ce[2]


def test_the_test_list_is_scored_by_each_fold_and_by_all(tmp_path):
    from pipeline.experiment.ensemble import runs_on_test_list

    path = tmp_path / "grid.json"
    common = {"bundle": "bundles/acdc", "overlays": ["bundles/acdc/paper.json"]}
    path.write_text(json.dumps({"axes": {"fold": [0, 1]}, "common": common, "ensemble": True}))
    grid = load_grid(path)
    found = runs_on_test_list(grid, tmp_path)
    assert [run.levels["fold"] for run in found] == ["0 on the test list", "1 on the test list", "ensemble"]
    members = [str(tmp_path / f"fold{fold}/models/model_final.pt") for fold in (0, 1)]
    assert found[2].evaluate["members"] == members
    assert not any(run.trains for run in found)
