"""Files of unknown origin: weights that are programs, bundles and archives made to do harm, names made to be run."""

from __future__ import annotations

import ast
import json
import pickle
import re
import shutil
import stat
import zipfile
from html.parser import HTMLParser

import numpy as np
import pytest
from dirty_set import Case
from faults import REPOSITORY, Row, edit_json, monai_bundle, row, volseg

# a name of a file; elsewhere there may be a slash, too
IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(1)</script>"
SEGMENT, VERIFY = "volseg segment IMAGE OUT --bundle FOLDER", "volseg verify FOLDER"
REFUSED = "refused before anything of it runs"
NOT_RUN = "refused; the program in it does not run"


class Program:
    """What unpickling runs: it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


def plain_pickle(path, mark):
    path.write_bytes(pickle.dumps({"weight": Program(mark)}))


def torch_file(path, mark):
    import torch

    torch.save({"model": {"weight": Program(mark)}}, path)


def whole_network(path, mark):
    """A network as an object, as older code saved it: to load it means to run its class."""
    import torch

    torch.save(torch.nn.Conv2d(1, 1, 1), path)


def torchscript(path, mark):
    import torch

    torch.jit.script(torch.nn.Conv2d(1, 1, 1)).save(str(path))


def joblib_like(path, mark):
    np.save(path.with_suffix(".npy"), np.array([Program(mark)], object), allow_pickle=True)
    path.with_suffix(".npy").rename(path)


MORE = "found a file that holds more than weights (it could run code)"
WEIGHTS = {
    "pickle": ("a pickle that runs a program, as weights", plain_pickle, MORE),
    "torch-pickle": ("a PyTorch file with a program in it, as weights", torch_file, MORE),
    "whole-network": ("a whole network saved as an object, as weights", whole_network, MORE),
    "torchscript": ("a TorchScript archive, as weights", torchscript, MORE),
    "numpy-pickle": ("a NumPy file with a program in it, as weights", joblib_like, "found a file of another kind"),
}


def programs(prefix, command, **options):
    return [
        row(f"{prefix}-{name}", what, command, NOT_RUN, message, write, kind="untrusted", **options)
        for name, (what, write, message) in WEIGHTS.items()
    ]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "write"), programs("segment", "volseg segment IMAGE OUT --weights FILE"))
def test_weights_of_segment(row: Row, write, small_bundle, tmp_path):
    image = Case(tmp_path / "in", "a").image
    write(tmp_path / "evil.pt", tmp_path / "mark")
    row.check(*volseg("segment", image, "out", "--bundle", small_bundle, "--weights", "evil.pt", cwd=tmp_path))
    assert not (tmp_path / "mark").exists()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "write"), programs("package", "volseg package BUNDLE --weights FILE"))
def test_weights_of_package(row: Row, write, small_bundle, tmp_path):
    write(tmp_path / "evil.pt", tmp_path / "mark")
    row.check(*volseg("package", small_bundle, "--weights", "evil.pt", "-o", "dist", cwd=tmp_path))
    assert not (tmp_path / "mark").exists()


RUN = "python -m monai.bundle run --config_file inference.json --checkpoint FILE"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("row", "write"),
    [
        row(
            *("run-pickle", WEIGHTS["pickle"][0], RUN, NOT_RUN, MORE, plain_pickle),
            kind="untrusted",
        )
    ],
)
def test_weights_of_monai_bundle(row: Row, write, small_bundle, tmp_path):
    Case(tmp_path, "a").label.unlink()
    write(tmp_path / "evil.pt", tmp_path / "mark")
    config = ["--config_file", str(small_bundle / "inference.json"), "--bundle_root", str(small_bundle)]
    given = ["--dataset_dir", str(tmp_path / "images"), "--output_dir", str(tmp_path / "out")]
    code, output = monai_bundle("run", *config, *given, "--checkpoint", str(tmp_path / "evil.pt"))
    assert not (tmp_path / "mark").exists()
    row.check(code, output)


def in_config(**entries):
    return lambda folder, mark: edit_json(folder / "configs" / "inference.json", **entries)


def expression(folder, mark):
    code = f"$__import__('pathlib').Path({str(mark)!r}).touch()"
    edit_json(folder / "configs" / "inference.json", device=code)


def target(folder, mark):
    part = {"_target_": "os.system", "command": f"touch {mark}"}
    edit_json(folder / "configs" / "inference.json", inferer=part)


def carried_code(folder, mark):
    module = next(folder.glob("volseg_*")) / "__init__.py"
    module.write_text(f"open({str(mark)!r}, 'w').close()\n")


def python_beside(folder, mark):
    """In the place of a module that the program itself may import."""
    (folder / "monai.py").write_text(f"open({str(mark)!r}, 'w').close()\n")


def link_out(folder, mark):
    (folder / "docs" / "more").symlink_to("/etc")


def logging_code(folder, mark):
    path = folder / "configs" / "logging.conf"
    path.write_text(path.read_text().replace("args=(sys.stderr,)", "args=(print('run'),)"))


HARM = {
    "expression": ("a bundle with an expression that runs a program", "found the function __import__", expression),
    "target": ("a bundle with os.system as a target", "found the target os.system", target),
    "code": ("a bundle whose Python was changed", "expected code of this version of volseg alone", carried_code),
    "shadow": ("a bundle with a monai.py of its own", "monai.py: expected code of this version", python_beside),
    "link": ("a bundle with a link out of its folder", "expected plain files, found a link to /etc", link_out),
    "logging": ("a bundle whose logging.conf runs a program", "expected a plain args", logging_code),
    "outside": (
        "a bundle that names a file outside its folder",
        "expected paths within the bundle, found '../../secret.pt'",
        in_config(checkpoint="../../secret.pt"),
    ),
    "network": (
        "a bundle that names an address on the network",
        "expected nothing from the network, found 'https://example.org/x'",
        in_config(note="https://example.org/x"),
    ),
}


def harmful(prefix, command, **options):
    return [
        row(f"{prefix}-{name}", what, command, REFUSED, message, spoil, kind="untrusted", **options)
        for name, (what, message, spoil) in HARM.items()
    ]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "spoil"), harmful("segment", SEGMENT))
def test_bundles_of_segment(row: Row, spoil, packed, tmp_path):
    image = Case(tmp_path / "in", "a").image
    spoil(packed, tmp_path / "mark")
    code, output = volseg("segment", image, tmp_path / "out", "--bundle", packed)
    row.check(code, output)
    assert not (tmp_path / "mark").exists()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "spoil"), harmful("verify", VERIFY, exit_code=1))
def test_bundles_of_verify(row: Row, spoil, packed, tmp_path):
    spoil(packed, tmp_path / "mark")
    row.check(*volseg("verify", packed))
    assert not (tmp_path / "mark").exists()


TRUSTED = row(
    *("segment-trusted", "the same with --trust", f"{SEGMENT} --trust", "segmented", "1 done"),
    exit_code=0,
    kind="untrusted",
)
GOOD = row(
    *("segment-packed", "a bundle as volseg package writes it", SEGMENT, "segmented without a question", "1 done"),
    exit_code=0,
    kind="untrusted",
)
ZIPPED = row(
    *("segment-zip", "the zip of such a bundle", "volseg segment IMAGE OUT --bundle ZIP", "segmented", "1 done"),
    exit_code=0,
    kind="untrusted",
)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("row", [TRUSTED])
def test_trusted(row: Row, packed, tmp_path):
    image = Case(tmp_path / "in", "a").image
    in_config(note="https://example.org/x")(packed, None)
    row.check(*volseg("segment", image, tmp_path / "out", "--bundle", packed, "--trust"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("row", [GOOD, ZIPPED])
def test_packed(row: Row, packed_once, tmp_path):
    image = Case(tmp_path / "in", "a").image
    (archive,) = packed_once.parent.glob("*.zip")
    bundle = archive if row.id == "segment-zip" else packed_once
    row.check(*volseg("segment", image, tmp_path / "out", "--bundle", bundle))


def entry(name, content=b"", kind=0):
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info, content


LEADS, ZIP = "expected a name within the archive's folder, found one that leads out of it.", "volseg verify ZIP"
ARCHIVES = [
    ("zip-up", "a zip with ../../x in it", LEADS, [entry("../../x", b"x")]),
    ("zip-absolute", "a zip with /tmp/x in it", LEADS, [entry("/tmp/volseg-x", b"x")]),
    ("zip-drive", "a zip with C:\\x in it", LEADS, [entry("C:\\x", b"x")]),
    ("zip-link", "a zip with a link in it", "found a link.", [entry("b/x", b"/etc/passwd", stat.S_IFLNK)]),
    ("zip-pipe", "a zip with a special file in it", "found a special file.", [entry("b/x", b"", stat.S_IFIFO)]),
    ("zip-twice", "a zip with one name twice", "expected each name once", [entry("b/x", b"1"), entry("b/X", b"2")]),
    (
        "zip-bomb",
        "a zip of 300 MB packed into 300 kB",
        "expected the size of a bundle, found 300,000,000 bytes",
        "bomb",
    ),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("row", "entries"),
    [
        row(
            *(id, what, ZIP, "refused, nothing is unpacked", message, entries),
            kind="untrusted",
        )
        for id, what, message, entries in ARCHIVES
    ],
)
def test_archives(row: Row, entries, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        if entries == "bomb":
            with archive.open(entry("b/zeros")[0], "w") as stream:
                for _ in range(30):
                    stream.write(bytes(10**7))
        else:
            for info, content in entries:
                archive.writestr(info, content)
    row.check(*volseg("verify", tmp_path / "a.zip"))


class Tags(HTMLParser):
    """Elements that a browser would make of a page."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def harmless(page):
    """Whether no element of a page comes from one of the names, which stand in it as text."""
    tags = Tags(page).found
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", page, re.S)
    pictures = [attributes for tag, attributes in tags if tag == "img" and attributes.get("src") == "x"]
    handlers = [key for _, attributes in tags for key in attributes if key.startswith("on")]
    return not pictures and not handlers and not any("alert(1)" in script for script in scripts)


HTML = [
    row(
        *("html-score", "HTML in the names of cases, patients and groups", "volseg score MASKS LIST"),
        *("they stand in the report as text", "Report: "),
        exit_code=0,
        kind="untrusted",
    )
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("row", HTML)
def test_names_in_the_report(row: Row, tmp_path):
    items = []
    (tmp_path / "masks").mkdir()
    for name in (IMAGE, "b"):
        case = Case(tmp_path, name)
        shutil.copy(case.label, tmp_path / "masks" / case.label.name)
        items.append(case.item | {"patient": f"{SCRIPT}{name}", "group": SCRIPT, "phase": "ED"})
    labels = {"background": 0, "<b>RV": 1, "MYO": 2, "LV": 3}
    (tmp_path / "list.json").write_text(json.dumps({"name": SCRIPT, "labels": labels, "training": items}))
    row.check(*volseg("score", "masks", "list.json", "--dataset-dir", ".", "-o", "scores", cwd=tmp_path))
    page = (tmp_path / "scores" / "report.html").read_text(encoding="utf-8")
    assert harmless(page)
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "<b>RV" not in page


def test_names_in_an_experiments_report(tmp_path, monkeypatch):
    from test_experiment_report import BASE, FULL, scored_run

    from pipeline.experiment.grid import Grid, Run
    from pipeline.experiment.runner import GRID
    from pipeline.report.experiment import write_experiment_report

    monkeypatch.chdir(REPOSITORY)
    runs = []
    for alpha in ("0", SCRIPT):
        levels = {"dataset": IMAGE, "alpha": alpha, "seed": "0", "fold": "0"}
        run = Run(f"run{len(runs)}", levels, "bundles/acdc")
        scored_run(tmp_path / run.name, levels, BASE, resolved=FULL)
        runs.append(run)
    (tmp_path / GRID).write_text(Grid("test", SCRIPT, tuple(runs), {"alpha": "0"}, kind="").to_json())
    page = write_experiment_report(tmp_path).read_text(encoding="utf-8")
    assert harmless(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;img src=x" in page


def test_that_harm_is_seen():
    assert harmless("<p>&lt;script&gt;alert(1)</p><script>sort()</script>")
    assert not harmless(f"<p>{SCRIPT}</p>")
    assert not harmless(f"<p>{IMAGE}</p>")


def calls(tree):
    return ((ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def sources():
    return sorted((REPOSITORY / "pipeline").rglob("*.py"))


def test_no_shell_is_started():
    """Programs are started with a list of words; no call hands a text to a shell."""
    for path in sources():
        for name, node in calls(ast.parse(path.read_text(encoding="utf-8"))):
            assert name not in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), path
            assert not any(keyword.arg == "shell" for keyword in node.keywords), path
            assert not (name.startswith("subprocess.") and isinstance(node.args[0], ast.Constant | ast.JoinedStr)), path


def test_weights_are_loaded_as_data():
    """Every torch.load says weights_only=True, and nothing else unpickles."""
    loads = 0
    for path in sources():
        for name, node in calls(ast.parse(path.read_text(encoding="utf-8"))):
            if name == "torch.load":
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                assert ast.unparse(given["weights_only"]) == "True", path
                loads += 1
            assert name not in ("pickle.load", "pickle.loads", "joblib.load", "eval", "exec"), path
            assert name != "torch.jit.load" or path.name == "export.py", path  # what it has just written itself
            assert "allow_pickle" not in {keyword.arg for keyword in node.keywords}, path
    assert loads
    for path in (REPOSITORY / "bundles").rglob("*.json"):
        assert "torch.load" not in path.read_text(encoding="utf-8"), path
