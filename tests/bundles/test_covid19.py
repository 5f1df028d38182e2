"""The COVID-19 bundles trained, evaluated and used, on phantoms in every layout."""

import csv
import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image

from pipeline.phantoms import covid19 as phantoms

ONCE = {"epochs": 1, "val_interval": 1}
VOLUMES = ("covid-19-ct-seg", "mosmed", "covid-19-20", "medicalsegmentation")


def trained(bundle, *files, **overrides):
    workflow = bundle("train", *files, **{**ONCE, **overrides})
    workflow.run()
    workflow.finalize()
    return workflow


def last_line(folder):
    return json.loads((folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])


@pytest.mark.parametrize(("target", "structures"), [("lungs", {"lungs"}), ("both", {"lungs", "infection"})])
def test_the_target_decides_what_is_learnt(bundle, tmp_path, target, structures):
    trained(bundle, name="covid19", target=target)
    names = {key.removeprefix("val_dice_") for key in last_line(tmp_path) if key.startswith("val_dice_")}
    assert names == structures


def test_a_structure_is_looked_for_whatever_its_number(bundle):
    """Half of the patches are centred on it."""
    workflow = bundle("train", name="covid19", labels={"infection": 2}, crops_per_case=4)
    loader = workflow.parser.get_parsed_content("train#dataloader")
    found = [bool(label.any()) for batch in loader for label in batch["label"]]
    assert len(found) >= 16
    assert sum(found) > len(found) / 3


def test_evaluating_takes_all_cases_whatever_the_training_validated_on(bundle, tmp_path):
    trained(bundle, name="covid19", val_limit=1)
    workflow = bundle("train", "evaluate", name="covid19", val_limit=1, preflight="off", run_id="evaluating")
    workflow.run()
    with (tmp_path / "run" / "evaluation" / "scores.csv").open(encoding="utf-8") as table:
        cases = {row["case"] for row in csv.DictReader(table)}
    masks = {path.name.removesuffix(".nii.gz") for path in (tmp_path / "run" / "evaluation" / "masks").iterdir()}
    assert len(cases) > 1
    assert cases <= masks


def test_training_learns_lungs(bundle, tmp_path):
    trained(bundle, name="covid19", target="lungs", epochs=12, val_interval=12, learning_rate=0.02)
    assert last_line(tmp_path)["val_dice"] > 0.5


@pytest.mark.parametrize("layout", VOLUMES)
def test_every_layout_trains_by_its_folder_alone(bundle, tmp_path, layout):
    root = tmp_path / "data"
    phantoms.write(root, layout=layout, patients=8, size="small")
    (root / "datalist.json").unlink()
    trained(bundle, name="covid19", dataset_dir=str(root))
    assert np.isfinite(last_line(tmp_path)["loss"])
    assert (tmp_path / "run" / "datalist_infection.json").is_file(), "the split that was used stays with the run"


@pytest.mark.parametrize("layout", ["covid-semiseg", "medicalsegmentation"])
def test_slices_train_by_their_folder_alone(bundle, tmp_path, layout):
    root = tmp_path / "data"
    phantoms.write(root, layout=layout, patients=10, size="small")
    (root / "datalist.json").unlink()
    trained(bundle, name="covid19_slices", dataset_dir=str(root))
    assert np.isfinite(last_line(tmp_path)["loss"])


def test_evaluation_scores_overlapping_structures_and_lesions(bundle, tmp_path):
    trained(bundle, name="covid19", target="both")
    bundle("train", "evaluate", name="covid19", target="both", kind="infer", run_id="evaluating").run()
    out = tmp_path / "run" / "evaluation"
    masks = sorted((out / "masks").glob("*.nii.gz"))
    assert masks
    assert all(set(np.unique(nib.load(mask).dataobj)) <= {0, 1, 2} for mask in masks)
    assert json.loads((out / "scores.json").read_text(encoding="utf-8"))["labels"] == {
        "lungs": [1, 2],
        "infection": [2],
    }
    assert {path.name for path in out.iterdir()} >= {"report.html", "lesions.csv", "clean_up.json"}


def test_evaluation_of_slices_writes_pictures_of_their_size(bundle, tmp_path, phantom_covid19_slices):
    trained(bundle, name="covid19_slices")
    bundle("train", "evaluate", name="covid19_slices", kind="infer", run_id="evaluating").run()
    masks = sorted((tmp_path / "run" / "evaluation" / "masks").glob("*.png"))
    assert masks
    sizes = {Image.open(path).size for path in phantom_covid19_slices.rglob("Imgs/*.jpg")}
    assert {Image.open(mask).size for mask in masks} <= sizes


def preprocessed(name, path, **overrides):
    parser = ConfigParser()
    parser.read_config(f"bundles/{name}/inference.json")
    parser.update(overrides)
    return parser.get_parsed_content("preprocessing")({"image": str(path), "case": "case"})["image"]


def test_hounsfield_units_and_grey_levels_meet_on_one_scale(bundle, tmp_path, phantom_covid19, monkeypatch):
    monkeypatch.chdir(bundle.__globals__["REPOSITORY"])
    source = next((phantom_covid19 / "COVID-19-CT-Seg_20cases").glob("coronacases*"))
    scan = nib.load(source)
    grey = np.round(np.clip((scan.get_fdata() + 1250) / 1500, 0, 1) * 255).astype(np.uint8)
    nib.save(nib.Nifti1Image(grey, scan.affine), tmp_path / "grey.nii.gz")
    one, other = (preprocessed("covid19", path) for path in (source, tmp_path / "grey.nii.gz"))
    assert one.shape == other.shape
    assert np.abs(one.numpy() - other.numpy()).max() < 2 / 255


def test_several_modalities_are_channels(bundle, tmp_path, phantom_covid19):
    listed = json.loads((phantom_covid19 / "datalist.json").read_text(encoding="utf-8"))
    for item in listed["training"]:
        item["image"] = [item["image"], item["image"]]
    path = tmp_path / "two.json"
    path.write_text(json.dumps(listed))
    workflow = trained(bundle, name="covid19", datalist=str(path), in_channels=2)
    sample = workflow.parser.get_parsed_content("train#dataset")[0][0]
    assert sample["image"].shape[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["covid19", "covid19_slices"])
def test_a_wrong_folder_is_one_line(bundle, tmp_path, name):
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", f"bundles/{name}/train.json"]
    command += ["--dataset_dir", str(tmp_path / "empty"), "--output_dir", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bundle.__globals__["REPOSITORY"], check=False)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("volseg:")] == [done.stderr.splitlines()[-1]]
    assert str(tmp_path / "empty") in done.stderr
