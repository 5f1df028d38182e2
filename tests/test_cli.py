"""The command line as its users meet it: help, exit codes, one line for each fault."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from pipeline.__main__ import main
from pipeline.cli import app

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAM = re.compile(r"(?:volseg|torchrun .* -m pipeline) ")


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


def leaves(command=None, words=()):
    """(words, command) of every command below this one, the whole command line's by default."""
    command = command or typer.main.get_command(app)
    if not isinstance(command, TyperGroup):
        return [(words, command)]
    return [leaf for name, child in command.commands.items() for leaf in leaves(child, (*words, name))]


def examples():
    """The commands that --help shows and those of the pages, as words after the program."""
    for words, command in leaves():
        _, found, shown = command.help.partition("Example")
        assert found, f"{' '.join(words)} has no example"
        lines = [PROGRAM.split(part, maxsplit=1)[-1] for part in " ".join(shown.split()).split(";")]
        assert all(line.startswith(" ".join(words[:1])) for line in lines), "an example of another verb"
        yield from map(shlex.split, lines)
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^(?:(?:\.venv/bin/)?volseg|torchrun .* -m pipeline) (.*)$", text, flags=re.MULTILINE):
            if not line.startswith("volseg: "):
                yield [word.partition("|")[0] for word in shlex.split(line, comments=True)]


def test_help_names_every_verb_and_loads_neither_torch_nor_monai():
    told, _ = volseg("--help")
    verbs = {words[0] for words, _ in leaves()}
    assert verbs == {"check", "datalist", "experiment", "losses", "package", "phantom", "score", "segment", "verify"}
    assert all(re.search(rf"^\W*{verb}\b", told, flags=re.MULTILINE) for verb in verbs)
    heavy = "import sys, pipeline.cli; print([m for m in ('torch', 'monai', 'numpy', 'pandas') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", heavy], capture_output=True, encoding="utf-8", cwd=REPOSITORY, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("words", "command"), leaves(), ids=[" ".join(words) for words, _ in leaves()])
def test_each_verb_tells_its_options_and_an_example(words, command):
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "160", "NO_COLOR": "1"})
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "Example" in told
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert all(option in told for option in options)


def test_the_examples_of_help_and_pages_parse():
    """Read as the command line reads them, without doing anything: options exist, values have their types."""
    found = list(examples())
    parsers = dict(leaves())
    for words in found:
        verb = next(path for path in parsers if tuple(words[: len(path)]) == path)
        try:
            parsers[verb].make_context(" ".join(verb), words[len(verb) :])
        except Exception as error:
            pytest.fail(f"volseg {shlex.join(words)}: {error!r}")
    assert {words[0] for words in found} == {path[0] for path in parsers}


def test_an_experiment_is_listed_without_being_run(tmp_path):
    out = tmp_path / "out"
    told, _ = volseg("experiment", "paper", "--quick", "--data", f"acdc={tmp_path}", "-o", out, "--dry-run")
    assert [line.split(":")[0] for line in told.splitlines() if line.startswith("acdc")] == [
        f"acdc_alpha{alpha}_seed0_fold0" for alpha in (0, 1)
    ]
    assert told.splitlines()[-1] == f"4 runs, to be written to {out}"
    assert not out.exists()


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
    _, error = volseg("phantom", "acdc", tmp_path / "one", "--patients", 1, code=2)
    assert "Invalid value for '--patients'" in error  # the option's own bounds, which --help tells


def test_a_folder_that_is_no_acdc_is_one_line(tmp_path):
    _, error = volseg("datalist", "acdc", tmp_path, code=2)
    assert error.count("\n") == 1
    assert error.startswith(f"volseg: {tmp_path}: expected")
    assert "Traceback" not in error


def test_a_file_where_a_folder_should_be_is_one_line(phantom_acdc, tmp_path):
    (tmp_path / "file").touch()
    for words in (
        ("check", phantom_acdc, "--level", "fast", "--json", tmp_path / "file" / "found.json"),
        ("datalist", "acdc", phantom_acdc, "-o", tmp_path / "file" / "list.json"),
        ("phantom", "acdc", tmp_path / "file", "--patients", 2, "--size", "small"),
    ):
        _, error = volseg(*words, code=2)
        assert f"volseg: {tmp_path / 'file'}: expected a file or folder that can be" in error
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
    small += ["--network_def#network#network#filters", "[4,4,4,4,4]", "--device", "cpu"]
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
    command += ["--output_dir", str(tmp_path / "run"), "--batch_size", "2"]
    command += ["--network_def#network#network#filters", "[4,4,4,4,4]"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=REPOSITORY, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (tmp_path / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert 0 <= json.loads(line)["val_dice"] <= 1
    assert (tmp_path / "run" / "models" / "model_final.pt").is_file()


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EACCES, 2)])
def test_a_full_disk_is_failed_work_and_a_closed_folder_bad_input(monkeypatch, capsys, number, code):
    def refused():
        raise OSError(number, os.strerror(number), "out/scores.csv")

    monkeypatch.setattr("pipeline.cli.app", refused)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == code
    assert capsys.readouterr().err.startswith("volseg: out/scores.csv: expected a file or folder that can be")
