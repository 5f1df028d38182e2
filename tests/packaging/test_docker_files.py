"""The container files, as far as they can be looked at without an engine."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.label"]


def instructions(path):
    """(instruction, rest) of a Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


def pins(name):
    rows = (line.split("==") for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if "==" in line)
    return {row[0].lower(): row[1] for row in rows}


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_is_pinned_unprivileged_and_complete(path):
    steps = instructions(path)
    kinds = [kind for kind, _ in steps]
    image = dict(steps)["FROM"]
    assert ":" in image
    assert not image.endswith(":latest")
    users = [index for index, kind in enumerate(kinds) if kind == "USER"]
    assert users
    assert steps[users[-1]][1] not in ("root", "0")
    assert users[-1] < kinds.index("ENTRYPOINT")
    assert dict(steps)["ENTRYPOINT"].startswith("["), "the exec form, so that signals arrive"
    assert not any(kind == "ADD" or "sudo" in rest for kind, rest in steps)
    for kind, rest in steps:
        if kind == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_what_a_dockerfile_copies_is_not_ignored(path):
    allowed = [
        line[1:]
        for line in path.with_name(f"{path.name}.dockerignore").read_text(encoding="utf-8").split()
        if line[0] == "!"
    ]
    for kind, rest in instructions(path):
        if kind == "COPY":
            for source in rest.split()[:-1]:
                assert any(Path(source).match(pattern) for pattern in allowed), source


@pytest.mark.parametrize("path", sorted(DOCKER.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_plain_shell(path):
    assert subprocess.run(["sh", "-n", str(path)], check=False).returncode == 0
    assert "set -eu" in path.read_text(encoding="utf-8")


def test_every_package_that_is_installed_is_pinned():
    text = (DOCKER / "install_label.sh").read_text(encoding="utf-8")
    steps = re.findall(r"^\s*(?:\$INSTALL)(.*)$", re.sub(r"\\\n", " ", text), re.M)
    words = [word.strip('"') for step in steps for word in step.split()]
    names = {re.split(r"[<>=]", word)[0].lower().replace("_", "-") for word in words if word[0] not in "-$"}
    pinned = {name.replace("_", "-") for name in pins("constraints-label.txt")}
    assert names - pinned - {"torchvision", '"$torch-index"'} == set()


def test_both_environments_agree_on_what_computes():
    ours, label = pins("constraints.txt"), pins("constraints-label.txt")
    for name in ("torch", "monai", "numpy", "scipy", "nibabel", "simpleitk", "pytorch-ignite", "scikit-image"):
        assert ours[name] == label[name], name


def test_compose_serves_on_this_machine_only_and_builds_what_exists():
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    for name, service in compose["services"].items():
        build = service["build"]
        context = (DOCKER / build["context"]).resolve()
        assert context == ROOT, name
        assert (context / build["dockerfile"]).is_file(), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert "privileged" not in service
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source.startswith((".", "$", "/")) or source in compose["volumes"], volume


def test_the_label_server_starts_with_every_packed_bundle(tmp_path):
    """start_label.sh, with a python that only says how it was called."""
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    (tmp_path / "monailabel" / "sample-apps" / "monaibundle").mkdir(parents=True)
    (tmp_path / "monailabel" / "sample-apps" / "monaibundle" / "main.py").write_text("app")
    fake.write_text(f'#!/bin/sh\n[ "$1" = -c ] && echo {tmp_path} || echo "CALLED $@"\n')
    fake.chmod(0o755)
    for name in ("acdc_segmentation", "covid19_segmentation", "notes"):
        (tmp_path / "bundles" / name / "configs").mkdir(parents=True)
        (tmp_path / "bundles" / name / "configs" / "inference.json").write_text("{}")
    (tmp_path / "app" / "model" / "acdc_segmentation").mkdir(parents=True)  # trained there before
    places = {"APP": "app", "BUNDLES": "bundles", "STUDIES": "studies"}
    environment = {name: str(tmp_path / place) for name, place in places.items()}
    environment["PATH"] = f"{fake.parent}:/usr/bin:/bin"
    script = ["sh", str(DOCKER / "start_label.sh")]
    run = subprocess.run(script, env=environment, capture_output=True, text=True, check=True)
    assert "--conf models acdc_segmentation,covid19_segmentation --conf zoo_source local" in run.stdout
    assert (tmp_path / "app" / "main.py").is_file()
    assert not (tmp_path / "app" / "model" / "acdc_segmentation" / "configs").exists()  # is not replaced
    assert (tmp_path / "app" / "model" / "covid19_segmentation" / "configs").is_dir()
    empty = subprocess.run(script, env=environment | {"BUNDLES": str(tmp_path)}, capture_output=True, text=True)
    assert empty.returncode == 2
    assert "no packed bundle" in empty.stdout
