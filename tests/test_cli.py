"""The command line as its users meet it: help, exit codes, one line for each fault."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def volseg(*arguments, code=0):
    """Run the console script's module in its own process; returns (stdout, stderr)."""
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        env=environment,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def test_help_names_every_verb_and_loads_neither_torch_nor_monai():
    told, _ = volseg("--help")
    assert all(verb in told for verb in ("datalist", "phantom", "segment", "score"))
    heavy = "import sys, pipeline.cli; print([m for m in ('torch', 'monai', 'numpy', 'pandas') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", heavy], capture_output=True, encoding="utf-8", cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", [("segment",), ("score",), ("datalist", "acdc"), ("phantom", "acdc")])
def test_each_verb_has_an_example(verb):
    assert "Example" in volseg(*verb, "--help")[0]


def test_the_console_script_is_installed():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="volseg")
    assert script.value == "pipeline.__main__:main"


def test_phantoms_their_datalist_and_no_silent_overwriting(tmp_path):
    out = tmp_path / "acdc"
    told, _ = volseg("phantom", "acdc", out, "--patients", 5, "--size", "small")
    assert "5 patients, 10 cases" in told
    told, _ = volseg("datalist", "acdc", out, "-o", tmp_path / "list.json")
    assert "5 patients, 10 cases" in told
    assert len(json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))["training"]) == 10
    _, error = volseg("datalist", "acdc", out, "-o", tmp_path / "list.json", code=2)
    assert error.strip().splitlines()[-1].startswith("volseg: ")
    assert "--overwrite" in error
    _, error = volseg("phantom", "acdc", out, "--size", "small", code=2)
    assert "--overwrite" in error


def test_a_folder_that_is_no_acdc_is_one_line(tmp_path):
    _, error = volseg("datalist", "acdc", tmp_path, code=2)
    assert error.count("\n") == 1
    assert error.startswith(f"volseg: {tmp_path}: expected")
    assert "Traceback" not in error


def test_truth_scored_against_itself(phantom_acdc, tmp_path):
    truth = tmp_path / "masks"
    truth.mkdir()
    items = json.loads((phantom_acdc / "datalist.json").read_text(encoding="utf-8"))["training"]
    for item in items:
        (truth / f"{item['case']}.nii.gz").write_bytes((phantom_acdc / item["label"]).read_bytes())
    arguments = (truth, phantom_acdc / "datalist.json", "--dataset-dir", phantom_acdc, "-o", tmp_path / "scores")
    told, _ = volseg("score", *arguments, "--acdc-csv")
    assert "report.html" in told
    assert len((tmp_path / "scores" / "acdc.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(items)
    assert (tmp_path / "scores" / "report.html").stat().st_size > 10_000
    rows = (tmp_path / "scores" / "scores.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 4 * len(items)
    _, error = volseg("score", *arguments, code=2)
    assert "--overwrite" in error


def test_segment_needs_an_output(tmp_path):
    _, error = volseg("segment", tmp_path, code=2)
    assert "output folder" in error


def bundle(*arguments, code):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "monai.bundle",
            "run",
            "training",
            "--config_file",
            "bundles/acdc/train.json",
            *arguments,
        ],
        capture_output=True,
        encoding="utf-8",
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr.strip().splitlines()


@pytest.mark.slow
def test_the_bundle_command_trains_and_a_misspelt_key_is_one_line(phantom_acdc, tmp_path):
    small = ["--dataset_dir", str(phantom_acdc), "--output_dir", str(tmp_path / "run"), "--epochs", "1"]
    small += ["--network_def#filters", "[4,4,4,4,4,4]", "--device", "cpu"]
    small[-1] = "$torch.device('cpu')"
    error = bundle(*small, "--epoch", "5", code=2)
    assert error[-1].startswith("volseg: --epoch: expected a key of the configuration")
    assert not any("Traceback" in line for line in error)
    told = bundle(*small, code=0)
    assert any("training: 100%" in line for line in told), "a progress bar"
    assert (tmp_path / "run" / "models" / "model.pt").is_file()
    error = bundle(*small, code=2)
    assert "--resume true" in error[-1]
    assert "finished" in " ".join(bundle(*small, "--resume", "true", code=0))


@pytest.mark.slow
def test_two_gloo_processes_train_together(phantom_acdc, tmp_path):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "monai.bundle",
    ]
    files = "['bundles/acdc/train.json','bundles/acdc/multi_gpu_train.json']"
    command += ["run", "training", "--config_file", files, "--dataset_dir", str(phantom_acdc), "--epochs", "1"]
    command += ["--output_dir", str(tmp_path / "run"), "--network_def#filters", "[4,4,4,4,4,4]", "--batch_size", "2"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=REPOSITORY, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert 0 <= json.loads(line)["val_dice"] <= 1
    assert (tmp_path / "run" / "models" / "model_final.pt").is_file()
