"""Folders that no datalist can be made of, and requests that MONAI's own command must refuse."""

from __future__ import annotations

import pytest
from bundle_faults import REFUSED
from dirty_set import Case
from faults import Row, monai_bundle, row, volseg

LISTS = [
    row(
        "list-none",
        "a folder that is not there",
        "volseg datalist acdc none",
        REFUSED,
        "none: expected",
        ["acdc", "none"],
    ),
    row("list-empty", "an empty folder", "volseg datalist acdc FOLDER", REFUSED, "empty: expected", ["acdc", "empty"]),
    row(
        "list-covid",
        "a folder of none of the public sets",
        "volseg datalist covid19 FOLDER",
        REFUSED,
        "empty: expected",
        ["covid19", "empty"],
    ),
    row(
        "list-decathlon",
        "a folder without dataset.json",
        "volseg datalist decathlon FOLDER",
        REFUSED,
        "dataset.json",
        ["decathlon", "empty"],
    ),
    row(
        "list-chaos",
        "a folder that is not CHAOS",
        "volseg datalist chaos FOLDER",
        REFUSED,
        "empty: expected",
        ["chaos", "empty"],
    ),
    row(
        "list-unpaired",
        "an image without a mask",
        "volseg datalist pairs IMAGES MASKS",
        REFUSED,
        "expected",
        ["pairs", "images", "labels"],
    ),
    row(
        "list-pattern",
        "a pattern that is none",
        "volseg datalist pairs A B --match '('",
        REFUSED,
        "expected",
        ["pairs", "images", "images", "--match", "("],
    ),
    row(
        "list-layout",
        "a layout that is none",
        "volseg datalist brats FOLDER",
        REFUSED,
        "No such command 'brats'",
        ["brats", "empty"],
    ),
]


@pytest.mark.parametrize(("row", "arguments"), LISTS)
def test_datalist(row: Row, arguments, tmp_path):
    (tmp_path / "empty").mkdir()
    Case(tmp_path, "a").label.rename(tmp_path / "labels" / "b.nii.gz")
    row.check(*volseg("datalist", *arguments, "-o", "new.json", cwd=tmp_path))
    assert not (tmp_path / "new.json").exists()


RUN = "python -m monai.bundle run --config_file inference.json"
RUNS = [
    row(
        "run-key",
        "a misspelt key",
        f"{RUN} --mirror_axis 0",
        REFUSED,
        "--mirror_axis: expected a key of the configuration, found none of that name. Perhaps --mirror_axes is meant.",
        ["--mirror_axis", "0"],
    ),
    row(
        "run-folder",
        "a folder that is not there",
        f"{RUN} --dataset_dir none",
        REFUSED,
        "none: expected",
        ["--dataset_dir", "none"],
    ),
    row(
        "run-weights",
        "weights that are not there",
        f"{RUN} --checkpoint none.pt",
        REFUSED,
        "none.pt: expected a file of weights, found none.",
        ["--checkpoint", "none.pt"],
    ),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "arguments"), RUNS)
def test_monai_bundle(row: Row, arguments, small_bundle, tmp_path):
    Case(tmp_path, "a").label.unlink()
    folders = {
        "--dataset_dir": str(tmp_path / "images"),
        "--output_dir": str(tmp_path / "out"),
        "--bundle_root": str(small_bundle),
    }
    given = folders | {arguments[0]: arguments[1]}
    words = [word for pair in given.items() for word in pair]
    row.check(*monai_bundle("run", "--config_file", str(small_bundle / "inference.json"), *words))
    assert not list(tmp_path.rglob("out/*.nii.gz"))
