"""Datalists that are none, or that cannot be meant: `volseg check` and `volseg score` say why in one line each."""

from __future__ import annotations

import json
import os

import pytest
from dirty_set import Case
from faults import Row, row, volseg
from preflight_set import LABELS

CHECK, REFUSED = "volseg check LIST", "refused"


def with_item(**keys):
    """A list whose second item has these entries; None takes one out."""

    def change(datalist):
        item = datalist["training"][1] | keys
        datalist["training"][1] = {key: value for key, value in item.items() if value is not None}
        return datalist

    return change


def with_key(**keys):
    return lambda datalist: datalist | keys


FORMS = [
    row("syntax", "JSON with a syntax error", CHECK, REFUSED, "a datalist in JSON, found a syntax error", b"{'a': 1}"),
    row("no-text", "a list that is no text", CHECK, REFUSED, "expected a datalist in JSON", b"\xff\xfe\x00\x01\x80"),
    row("nothing", "an empty list file", CHECK, REFUSED, "a datalist in JSON, found a syntax error", b""),
    row("array", "a JSON array", CHECK, REFUSED, "expected an object with a list 'training', found list", b"[]"),
    row("number", "a JSON number", CHECK, REFUSED, "expected an object with a list 'training', found int", b"7"),
    row("no-training", "no list 'training'", CHECK, REFUSED, "expected an object with a list 'training'", b"{}"),
    row("bom", "JSON with a byte order mark", CHECK, REFUSED, "expected a datalist in JSON, found a syntax", "bom"),
    row(
        *("deep", "JSON nested a hundred thousand times", CHECK, REFUSED, "a datalist in JSON, found a syntax error"),
        b"[" * 100_000,
    ),
    row(
        "testing", "'testing' is no list", CHECK, REFUSED, "testing: expected a list, found str", with_key(testing="a")
    ),
    row(
        "item", "an item that is no object", CHECK, REFUSED, "training[0]: expected an object", with_key(training=["a"])
    ),
    row("no-image", "an item without image", CHECK, REFUSED, "[1]: expected 'image': a path", with_item(image=None)),
    row("image-number", "an image that is a number", CHECK, REFUSED, "[1]: expected 'image'", with_item(image=7)),
    row(
        "case-path",
        "a case that leads out of the output folder",
        CHECK,
        REFUSED,
        "[1]: expected 'case': a text that",
        with_item(case="../../x"),
    ),
    row("no-label", "training without a label", CHECK, REFUSED, "[1]: expected 'label': a path", with_item(label=None)),
    row(
        "fold-text",
        "a fold in quotes",
        CHECK,
        REFUSED,
        "expected 'fold': a whole number, found '0'",
        with_item(fold="0"),
    ),
    row("slice-negative", "slice -1", CHECK, REFUSED, "[1]: expected 'slice': the number of", with_item(slice=-1)),
    row(
        *("structures", "structures that are no lists", CHECK, REFUSED, "[1]: expected 'structures'"),
        with_item(structures={"RV": "1"}),
    ),
    row(
        *("key", "a key that MONAI would stumble over", CHECK, REFUSED, "expected no key that begins with image_"),
        with_item(image_id=3),
    ),
    row(
        "same-case", "two items of one name", CHECK, REFUSED, "a: expected one item for each case", with_item(case="a")
    ),
    row(
        *(
            "same-number",
            "two structures with one number",
            CHECK,
            REFUSED,
            "labels: expected structures with one number each",
        ),
        with_key(labels={"RV": 1, "LV": 1}),
    ),
    row(
        "label-text",
        "a structure's number in words",
        CHECK,
        REFUSED,
        "labels: expected",
        with_key(labels={"RV": "one"}),
    ),
    row(
        "outside", "a path that leads nowhere", CHECK, REFUSED, "expected a file, since", with_item(image="../../x.nii")
    ),
    row(
        "path-line",
        "a path with a line break",
        CHECK,
        REFUSED,
        "expected a file, since",
        with_item(image="a\nb.nii.gz"),
    ),
    row("nul", "a path with a NUL character", CHECK, REFUSED, "expected a file, since", with_item(image="a\0b.nii.gz")),
    row("long", "a path of 5000 characters", CHECK, REFUSED, "expected a file, since", with_item(image="a" * 5000)),
]


@pytest.mark.parametrize(("row", "change"), FORMS)
def test_forms(row: Row, change, small_list, tmp_path):
    root, datalist = small_list
    if isinstance(change, bytes):
        content = change
    elif change == "bom":
        content = b"\xef\xbb\xbf" + json.dumps(datalist).encode()
    else:
        content = json.dumps(change(json.loads(json.dumps(datalist)))).encode()
    (tmp_path / "list.json").write_bytes(content)
    code, output = volseg("check", tmp_path / "list.json", "--dataset-dir", root, "--processes", 1)
    row.check(code, output)


PLACES = [
    row("no-list", "a list that is not there", "volseg check none.json", REFUSED, "No such file", ["none.json"]),
    row(
        "no-folder",
        "a folder that is not there",
        "volseg check none",
        REFUSED,
        "none: expected a folder or an image, found no such path.",
        ["none"],
    ),
    row(
        "empty-folder",
        "an empty folder",
        "volseg check FOLDER",
        REFUSED,
        "empty: expected an image (.nii.gz",
        ["empty"],
    ),
    row("folder-json", "a folder called x.json", "volseg check x.json", REFUSED, "Is a directory", ["folder.json"]),
    row(
        *("no-dataset", "a data folder that is not there", "volseg check LIST --dataset-dir none", REFUSED),
        "none: expected the folder of the data set, found no such folder.",
        ["list.json", "--dataset-dir", "none"],
    ),
    row(
        *("other-dataset", "another folder than the list's", "volseg check LIST --dataset-dir OTHER", REFUSED),
        "found for none of its 2 cases",
        ["list.json", "--dataset-dir", "empty"],
    ),
    row(
        *(
            "json-there",
            "findings over an existing file",
            "volseg check LIST --json EXISTING",
            "refused, kept as it is",
        ),
        "expected no file of that name, found one that exists.",
        ["list.json", "--json", "list.json"],
    ),
    row(
        *(
            "labels-syntax",
            "labels that are none",
            "volseg check LIST --labels RV",
            REFUSED,
            "RV: expected labels such as 1=RV",
        ),
        ["list.json", "--labels", "RV"],
    ),
    row(
        *("section", "a section that is none", "volseg check LIST --section both", REFUSED),
        "section: expected training or testing, found 'both'.",
        ["list.json", "--section", "both"],
    ),
    row(
        *("quarantine-all", "a clean list of no clean case", "volseg check LIST --quarantine FILE", REFUSED),
        "expected cases without problems, found none of 2.",
        ["gone.json", "--quarantine", "clean.json"],
    ),
]


@pytest.mark.parametrize(("row", "arguments"), PLACES)
def test_places(row: Row, arguments, small_list, tmp_path):
    root, datalist = small_list
    for name in "ab":
        for folder in ("images", "labels"):
            (tmp_path / folder).mkdir(exist_ok=True)
            os.link(root / folder / f"{name}.nii.gz", tmp_path / folder / f"{name}.nii.gz")
    (tmp_path / "list.json").write_text(json.dumps(datalist))
    gone = [item | {"image": f"{item['image']}.none"} for item in datalist["training"][:1]]
    wrong = [item | {"label": datalist["training"][0]["image"]} for item in datalist["training"][1:]]
    (tmp_path / "gone.json").write_text(json.dumps(datalist | {"training": gone + wrong}))
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.json").mkdir()
    before = (tmp_path / "list.json").read_bytes()
    code, output = volseg("check", *arguments, "--processes", 1, cwd=tmp_path)
    row.check(code, output)
    assert (tmp_path / "list.json").read_bytes() == before
    assert not (tmp_path / "clean.json").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read every file")
@pytest.mark.parametrize(
    "row",
    [
        row(
            *("no-permission", "a file that may not be read", CHECK, "named; the other cases are checked"),
            "images/a.nii.gz: expected a readable image",
        )
    ],
)
def test_permission(row: Row, small_list, tmp_path):
    root = tmp_path
    items = [Case(root, name).item for name in "ab"]
    (root / "list.json").write_text(json.dumps({"name": "small", "labels": LABELS, "training": items}))
    (root / "images" / "a.nii.gz").chmod(0)
    row.check(*volseg("check", root / "list.json", "--processes", 1))
