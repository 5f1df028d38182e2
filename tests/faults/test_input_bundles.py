"""Bundles, weights, settings and places that do not fit: `volseg segment` says why in one line."""

from __future__ import annotations

import shutil

import pytest
from bundle_faults import OTHER, REFUSED, broken_json, copy_of, cut_weights, file_of, nothing, weights_of
from dirty_set import Case
from faults import Row, row, volseg

SEGMENT = "volseg segment IMAGE OUT"
COPY = ["--bundle", "copy"]
SEGMENTS = [
    row(
        "no-weights",
        "weights that are not there",
        f"{SEGMENT} --weights none.pt",
        REFUSED,
        "none.pt: expected trained weights, found no such file",
        nothing,
        ["--weights", "none.pt"],
    ),
    row(
        "other-weights",
        "weights of another network",
        f"{SEGMENT} --weights OTHER",
        REFUSED,
        "parameters that are missing or differ, the first",
        weights_of(lambda state: dict(list(state.items())[1:])),
        OTHER,
    ),
    row(
        "more-weights",
        "weights with a layer too many",
        f"{SEGMENT} --weights OTHER",
        REFUSED,
        "the first unknown extra",
        weights_of(lambda state: state | {"extra": next(iter(state.values()))}),
        OTHER,
    ),
    row(
        "list-weights",
        "a file of weights that holds a list",
        f"{SEGMENT} --weights OTHER",
        REFUSED,
        "other.pt: expected",
        weights_of(lambda state: list(state.values())),
        OTHER,
    ),
    row(
        "text-weights",
        "a text file as weights",
        f"{SEGMENT} --weights OTHER",
        REFUSED,
        "other.pt: expected",
        file_of("other.pt", b"no weights"),
        OTHER,
    ),
    row(
        "empty-weights",
        "an empty file as weights",
        f"{SEGMENT} --weights OTHER",
        REFUSED,
        "other.pt: expected",
        file_of("other.pt", b""),
        OTHER,
    ),
    row(
        "cut-weights",
        "truncated weights",
        f"{SEGMENT} --weights OTHER",
        REFUSED,
        "other.pt: expected",
        cut_weights,
        OTHER,
    ),
    row(
        "no-bundle",
        "a bundle that is not there",
        f"{SEGMENT} --bundle none",
        REFUSED,
        "none: expected a bundle with inference.json, found no such folder.",
        nothing,
        ["--bundle", "none"],
    ),
    row(
        "no-inference",
        "a folder without inference.json",
        f"{SEGMENT} --bundle FOLDER",
        REFUSED,
        "in: expected a bundle with inference.json, found a folder without one.",
        nothing,
        ["--bundle", "in"],
    ),
    row(
        "json-inference",
        "inference.json with a syntax error",
        f"{SEGMENT} --bundle COPY",
        REFUSED,
        "inference.json: expected",
        broken_json,
        COPY,
    ),
    row(
        "no-network",
        "inference.json without network",
        f"{SEGMENT} --bundle COPY",
        REFUSED,
        "inference.json: expected the entry 'network', found none.",
        copy_of("network"),
        COPY,
    ),
    row(
        "no-labels",
        "a bundle whose labels are none",
        f"{SEGMENT} --bundle COPY",
        REFUSED,
        "inference.json: expected structures with one number each",
        copy_of(labels={"RV": "one"}),
        COPY,
    ),
    row(
        "no-target",
        "a transform that does not exist",
        f"{SEGMENT} --bundle COPY",
        REFUSED,
        "expected an entry 'inferer' that can be built, found ModuleNotFoundError: Cannot locate",
        copy_of(inferer={"_target_": "NoSuchInferer"}),
        COPY,
    ),
    row(
        "no-reference",
        "a reference to nothing",
        f"{SEGMENT} --bundle COPY",
        REFUSED,
        "expected an entry 'inferer' that can be built, found ValueError: the referring item `@nothing` is not defined",
        copy_of(inferer="@nothing"),
        COPY,
    ),
    row(
        "set-unknown",
        "a misspelt key",
        f"{SEGMENT} --set mirror_axis=[0]",
        REFUSED,
        "mirror_axis: expected an entry of inference.json, found none of that name. Did you mean 'mirror_axes'.",
        nothing,
        ["--set", "mirror_axis=[0]"],
    ),
    row(
        "set-syntax",
        "a setting without a value",
        f"{SEGMENT} --set overlap",
        REFUSED,
        "--set overlap: write key=value",
        nothing,
        ["--set", "overlap"],
    ),
    row(
        "set-type",
        "a setting of a wrong type",
        f"{SEGMENT} --set spacing=fine",
        REFUSED,
        "spacing: expected three distances in mm, -1 for one that stays, such as [1.5, 1.5, -1], found 'fine'.",
        nothing,
        ["--set", "spacing=fine"],
    ),
    *(
        row(
            f"set-value-{key}",
            f"a setting that cannot be meant: {key}",
            f"{SEGMENT} --set {key}={value}",
            REFUSED,
            f"{key}: expected {expected}, found {value}",
            nothing,
            ["--set", f"{key}={value}"],
        )
        for key, value, expected in (
            ("overlap", "1.5", "shares of a window, from 0 to below 1"),
            ("sw_batch_size", "0", "a number of windows, 1 or more"),
            ("mirror_axes", "[5]", "a list of the axes 0, 1 and 2"),
            ("single_piece", "3", "a list of structures"),
            ("cascade", "2", "true or false"),
        )
    ),
    row(
        "device",
        "a device that is not there",
        f"{SEGMENT} --device cuda:9",
        REFUSED,
        "expected a device of this machine",
        nothing,
        ["--device", "cuda:9"],
    ),
    row(
        "device-name",
        "a device that is none",
        f"{SEGMENT} --device gpu",
        REFUSED,
        "expected a device of this machine",
        nothing,
        ["--device", "gpu"],
    ),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "prepare", "arguments"), SEGMENTS)
def test_segment(row: Row, prepare, arguments, small_bundle, tmp_path):
    (tmp_path / "in").mkdir()
    Case(tmp_path / "in", "a").label.unlink()
    prepare(small_bundle, tmp_path)
    bundle = [] if "--bundle" in arguments else ["--bundle", small_bundle]
    row.check(*volseg("segment", "in/images/a.nii.gz", "out", *arguments, *bundle, cwd=tmp_path))
    assert not list((tmp_path / "out").glob("*.nii.gz"))


PLACES = [
    row("input-none", "an image that is not there", SEGMENT, REFUSED, "none.nii.gz: expected", ["none.nii.gz", "out"]),
    row(
        "input-empty",
        "an empty folder",
        "volseg segment FOLDER OUT",
        REFUSED,
        "empty: expected an image",
        ["empty", "out"],
    ),
    row("input-ending", "a file of an unknown kind", SEGMENT, REFUSED, "notes.txt: expected", ["notes.txt", "out"]),
    row(
        "output-none",
        "no output",
        "volseg segment IMAGE",
        REFUSED,
        "name at least one input and the output",
        ["a.nii.gz"],
    ),
    row(
        "output-file",
        "an output that is a file",
        "volseg segment IMAGE FILE",
        REFUSED,
        "notes.txt: expected a folder for the masks, found a file.",
        ["images/a.nii.gz", "notes.txt"],
    ),
    row(
        "output-input",
        "a mask in the place of its image",
        "volseg segment FOLDER FOLDER",
        REFUSED,
        "expected an output beside the image, found the image itself.",
        ["images/a.nii.gz", "images"],
    ),
    row(
        "same-names",
        "two images of one name",
        "volseg segment A B OUT",
        REFUSED,
        "a: expected one image of this name, found several.",
        ["images/a.nii.gz", "more/a.nii.gz", "out"],
    ),
    row(
        "manifest",
        "a damaged manifest in the output",
        SEGMENT,
        REFUSED,
        "manifest.json: expected a JSON file",
        ["images/a.nii.gz", "damaged"],
    ),
]


@pytest.mark.parametrize(("row", "arguments"), PLACES)
def test_places(row: Row, arguments, small_bundle, tmp_path):
    case = Case(tmp_path, "a")
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("empty", "more", "damaged"):
        (tmp_path / name).mkdir()
    shutil.copy(case.image, tmp_path / "more")
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    before = case.image.read_bytes()
    row.check(*volseg("segment", *arguments, "--bundle", small_bundle, cwd=tmp_path))
    assert case.image.read_bytes() == before
    assert (tmp_path / "notes.txt").read_text() == "mine"
