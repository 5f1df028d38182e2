"""The container files, as far as they can be looked at without an engine."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = [DOCKER / "Dockerfile", DOCKER / "Dockerfile.label"]


KNOWN = {"ARG", "CMD", "COPY", "ADD", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "RUN", "USER", "VOLUME", "WORKDIR"}
TEXTS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
SERVICE = {  # the parts of compose-spec.json that are used here
    "type": "object",
    "required": ["build"],
    "additionalProperties": False,
    "properties": {
        "build": {
            "type": "object",
            "required": ["context", "dockerfile"],
            "additionalProperties": False,
            "properties": {"context": {"type": "string"}, "dockerfile": {"type": "string"}, "args": {"type": "object"}},
        },
        "environment": {"type": "object"},
        "ports": TEXTS | {"items": {"type": "string", "pattern": r"^(\d+\.\d+\.\d+\.\d+:)?\d+:\d+$"}},
        "profiles": TEXTS,
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "shm_size": {"type": "string", "pattern": r"^\d+[kmg]b$"},
        "volumes": TEXTS | {"items": {"type": "string", "pattern": r"^.+:/[^:]+(:ro)?$"}},
    },
}
COMPOSE = {
    "type": "object",
    "required": ["services"],
    "additionalProperties": False,
    "properties": {
        "services": {"type": "object", "minProperties": 1, "additionalProperties": SERVICE},
        "volumes": {"type": "object", "additionalProperties": {"type": ["object", "null"]}},
    },
}


def compose():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def instructions(text):
    """(instruction, rest) of a Dockerfile, continued lines joined."""
    lines = [line.strip() for line in re.sub(r"\\\n", " ", text).splitlines()]
    return [tuple(line.split(None, 1)) for line in lines if line and not line.startswith("#")]


def pins(name):
    rows = (line.split("==") for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if "==" in line)
    return {row[0].lower(): row[1] for row in rows}


def faults(text, ignored=""):
    """What hadolint and good manners object to in a Dockerfile, and what its build would stumble over."""
    steps = instructions(text)
    kinds = [kind for kind, _ in steps]
    found = [f"unknown instruction {kind}" for kind in kinds if kind not in KNOWN]
    for kind, rest in steps:
        if kind == "FROM" and not re.fullmatch(r"[\w./-]+:(?!latest\b)[\w.-]*\d[\w.-]*(@sha256:\w+)?", rest):
            found.append(f"base image without a version: {rest}")
        if kind == "ADD":
            found.append("ADD: COPY takes files, and nothing is fetched unseen")
        if kind == "RUN":
            found += _faults_of_a_run(rest)
        if kind == "COPY":
            sources = rest.split()[:-1]
            found += [f"COPY of what is not there: {source}" for source in sources if not (ROOT / source).exists()]
            allowed = [line[1:] for line in ignored.split() if line[0] == "!"]
            missing = [source for source in sources if not any(Path(source).match(pattern) for pattern in allowed)]
            found += [f"COPY of what .dockerignore leaves out: {source}" for source in missing]
    if not kinds or kinds[0] not in ("FROM", "ARG"):
        found.append("FROM is not first")
    users = [rest for kind, rest in steps if kind == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        found.append("runs as root")
    for kind in ("CMD", "ENTRYPOINT"):
        given = [rest for other, rest in steps if other == kind]
        if len(given) > 1 or any(not rest.startswith("[") for rest in given):
            found.append(f"{kind}: one, in the exec form, so that signals arrive")
    return found


def _faults_of_a_run(command):
    found = []
    if "sudo" in command:
        found.append("sudo")
    if "apt-get install" in command:
        if "rm -rf /var/lib/apt/lists" not in command:
            found.append("apt's lists stay in the layer")
        if "--no-install-recommends" not in command or not re.search(r"install\b.* -y|-y .*install", command):
            found.append("apt-get install -y --no-install-recommends")
    if re.search(r"(curl|wget)\b", command):
        found.append("a download without a checksum")
    if re.search(r"pip3? install", command) and "--no-cache-dir" not in command:
        found.append("pip's cache stays in the layer")
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_a_dockerfile_has_no_faults(path):
    ignored = path.with_name(f"{path.name}.dockerignore").read_text(encoding="utf-8")
    assert faults(path.read_text(encoding="utf-8"), ignored) == []


GOOD = 'FROM python:3.11-slim\nCOPY setup.cfg ./\nUSER volseg\nENTRYPOINT ["volseg"]\n'


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("python:3.11-slim", "python", "without a version"),
        ("python:3.11-slim", "python:latest", "without a version"),
        ("USER volseg", "USER root", "runs as root"),
        ("USER volseg\n", "", "runs as root"),
        ('["volseg"]', "volseg", "exec form"),
        ("COPY setup.cfg", "COPY setup.xyz", "not there: setup.xyz"),
        ("COPY setup.cfg", "COPY README.md", "leaves out: README.md"),
        ("COPY setup.cfg ./", "ADD https://example.org/x.tar.gz /x", "ADD"),
        ("COPY", "RUN sudo ls\nCOPY", "sudo"),
        ("COPY", "RUN apt-get update && apt-get install -y --no-install-recommends git\nCOPY", "lists stay"),
        ("COPY", "RUN apt-get install git && rm -rf /var/lib/apt/lists/*\nCOPY", "no-install-recommends"),
        ("COPY", "RUN wget https://example.org/x\nCOPY", "download"),
        ("COPY", "RUN pip install \\\n  torch\nCOPY", "pip's cache"),
        ("USER", "USR", "unknown instruction USR"),
    ],
)
def test_the_faults_of_a_dockerfile_are_found(old, new, told):
    assert faults(GOOD, "*\n!setup.cfg") == []
    assert told in " ".join(faults(GOOD.replace(old, new), "*\n!setup.cfg"))


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


def test_compose_has_the_form_of_the_specification():
    jsonschema.validate(compose(), COMPOSE)
    for spoil in ({"images": {}}, {"services": {"a": {"build": ".", "port": ["1:1"]}}}, {"services": {"a": {}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(compose() | spoil, COMPOSE)


def test_compose_serves_on_this_machine_only_and_builds_what_exists():
    content = compose()
    for name, service in content["services"].items():
        context = (DOCKER / service["build"]["context"]).resolve()
        assert context == ROOT, name
        assert (context / service["build"]["dockerfile"]).is_file(), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        inside = dict(instructions((context / service["build"]["dockerfile"]).read_text(encoding="utf-8")))
        for volume in service["volumes"]:
            source, target = re.fullmatch(r"(\$\{[^}]*\}|[^:]+):([^:]+)(?::ro)?", volume).groups()
            assert source.startswith((".", "$")) or source in content["volumes"], volume
            assert target in json.loads(inside["VOLUME"]), volume
        for port in service.get("ports", []):
            assert port.rsplit(":", 1)[1] == inside["EXPOSE"]


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

    def start(**changes):
        command = ["sh", str(DOCKER / "start_label.sh")]
        return subprocess.run(command, env=environment | changes, capture_output=True, text=True)

    run = start()
    assert run.returncode == 0
    assert "--conf models acdc_segmentation,covid19_segmentation --conf zoo_source local" in run.stdout
    assert (tmp_path / "app" / "main.py").is_file()
    assert not (tmp_path / "app" / "model" / "acdc_segmentation" / "configs").exists()  # is not replaced
    assert (tmp_path / "app" / "model" / "covid19_segmentation" / "configs").is_dir()
    assert "--conf models covid19_segmentation --conf" in start(MODELS="covid19_segmentation").stdout
    for changes, told in (
        ({"MODELS": "covid"}, "no packed bundle covid in"),
        ({"BUNDLES": "/"}, "no packed bundle in"),
    ):
        refused = start(**changes)
        assert refused.returncode == 2
        assert told in refused.stdout
