"""Packed bundles where nothing is installed but the packages of their metadata: MONAI's own commands."""

import json
import os
import subprocess
import zipfile

import clean_environment
import nibabel as nib
import numpy as np
import pytest

pytestmark = pytest.mark.slow

LOAD_BOTH = """
import json, sys, torch
from monai.bundle import ConfigParser, load
root = sys.argv[1]
found = {}
for name in ("acdc", "covid19_slices"):
    folder = f"{root}/{name}_segmentation"
    sys.path.insert(0, folder)  # the network of acdc is put together by the bundle's own Python
    network = load(f"{name}_segmentation", bundle_dir=root, source="github", device="cpu", workflow_type="inference")
    weights = torch.load(f"{folder}/models/model.pt", weights_only=True)
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in weights.items()), name
    parser = ConfigParser(json.load(open(f"{folder}/configs/inference.json")) | {"bundle_root": folder})
    parts = [parser.get_parsed_content(key).transforms for key in ("preprocessing", "postprocessing")]
    sys.path.remove(folder)
    found[name] = sorted({type(step).__module__.split(".")[0] for part in parts for step in part} - {"monai"})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def elsewhere(packed_once, tmp_path_factory):
    """Runs Python in an environment of what the metadata of the packed acdc bundle asks for."""
    python = clean_environment.make(
        tmp_path_factory.mktemp("environment"), clean_environment.requirements_of(packed_once["acdc"])
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}

    def run(*command, cwd, ok=True):
        done = subprocess.run(
            [str(python), *command], cwd=cwd, env=environment, capture_output=True, text=True, encoding="utf-8"
        )
        assert not ok or done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    return run


def test_the_environment_has_what_the_metadata_names_and_nothing_of_ours(elsewhere, tmp_path):
    program = (
        "from importlib.util import find_spec as f; import sys\n"
        "print(*(name for name in ('pipeline', 'typer', 'pytest', 'sklearn', 'jsonschema', 'pip') if f(name)))\n"
        "print(*(name for name in ('torch', 'monai', 'nibabel', 'fire', 'skimage', 'ignite') if not f(name)))"
    )
    assert elsewhere("-c", program, cwd=tmp_path).stdout.split() == []


def test_the_unpacked_zip_trains_and_segments(packed_once, elsewhere, phantom_acdc, tmp_path):
    home = tmp_path / "empty"
    home.mkdir()
    with zipfile.ZipFile(packed_once["acdc"].with_name("acdc_segmentation_v0.3.3.zip")) as archive:
        archive.extractall(home)
    folder = home / "acdc_segmentation"
    monai = ("-m", "monai.bundle", "run")
    run = ("--config_file", "configs/train.json", "--dataset_dir", str(phantom_acdc), "--epochs", "1")
    elsewhere(*monai, "training", *run, cwd=folder)
    log = (folder / "runs" / "train" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(log) == 1
    assert np.isfinite(json.loads(log[0])["loss"])
    weights = folder / "runs" / "train" / "models" / "model.pt"
    shipped = (packed_once["acdc"] / "models" / "model.pt").read_bytes()
    assert (folder / "models" / "model.pt").read_bytes() == shipped
    again = elsewhere(*monai, "training", *run, cwd=folder, ok=False)
    assert again.returncode == 2
    assert "resume" in again.stderr
    scan = next((phantom_acdc / "training" / "patient001").glob("*_frame01.nii.gz"))
    out = home / "out"
    where = ("--config_file", str(folder / "configs" / "inference.json"), "--bundle_root", str(folder))
    elsewhere(
        *monai, *where, "--dataset_dir", str(scan), "--output_dir", str(out), "--checkpoint", str(weights), cwd=home
    )
    from pipeline.segmentation import segment

    bundle = packed_once["acdc"].parents[1] / "bundles" / "acdc"
    segment(scan, home / "ours", bundle=bundle, weights=weights, progress=False, echo=lambda line: None)
    packed, ours = (np.asanyarray(nib.load(place / scan.name).dataobj) for place in (out, home / "ours"))
    assert packed.dtype == np.uint8
    assert np.array_equal(packed, ours)


def test_two_packed_bundles_live_in_one_process_and_monai_loads_them(packed_once, elsewhere, tmp_path):
    done = elsewhere("-c", LOAD_BOTH, str(packed_once["acdc"].parent), cwd=tmp_path)
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "acdc": ["volseg_acdc_0_3_3"],
        "covid19_slices": ["volseg_covid19_slices_0_1_2"],
    }
