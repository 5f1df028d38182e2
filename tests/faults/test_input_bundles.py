"""Bundles, weights and settings that do not fit: segment, package, verify, datalist and MONAI's own command say why."""

from __future__ import annotations

import json
import shutil

import pytest
import tiny_bundles
from dirty_set import Case
from faults import Row, monai_bundle, row, volseg

REFUSED = "refused, nothing is written"
TRACE = pytest.mark.xfail(strict=True, reason="ends with a traceback of MONAI's configuration parser")
SEGMENT = "volseg segment IMAGE OUT"


def weights_of(change):
    """A file of weights made of the bundle's own."""

    def write(bundle, root):
        import torch

        torch.save(change(torch.load(bundle / "models" / "model.pt", weights_only=True)), root / "other.pt")

    return write


def file_of(name, content):
    return lambda bundle, root: (root / name).write_bytes(content)


def cut_weights(bundle, root):
    (root / "other.pt").write_bytes((bundle / "models" / "model.pt").read_bytes()[:-2000])


def copy_of(**entries):
    """A copy of the bundle with other entries in inference.json; None takes one out."""

    def write(bundle, root):
        shutil.copytree(bundle, root / "copy")
        tiny_bundles.edit(root / "copy" / "inference.json", **entries)

    return write


def broken_json(bundle, root):
    shutil.copytree(bundle, root / "copy")
    (root / "copy" / "inference.json").write_text("{")


def nothing(bundle, root):
    pass


OTHER = ["--weights", "other.pt"]
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
        marks=TRACE,
    ),
    row(
        "no-network",
        "inference.json without network",
        f"{SEGMENT} --bundle COPY",
        REFUSED,
        "inference.json: expected the entry 'network', found none.",
        copy_of(network=None),
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
        "expected",
        copy_of(inferer={"_target_": "NoSuchInferer"}),
        COPY,
        marks=TRACE,
    ),
    row(
        "no-reference",
        "a reference to nothing",
        f"{SEGMENT} --bundle COPY",
        REFUSED,
        "expected",
        copy_of(inferer="@nothing"),
        COPY,
        marks=TRACE,
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
        "the case fails with its reason",
        "FAILED",
        nothing,
        ["--set", "spacing=fine"],
        exit_code=1,
        marks=TRACE,
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


PACKS = [
    row(
        "pack-none",
        "a bundle that is not there",
        "volseg package none",
        REFUSED,
        "none: expected a bundle with inference.json, found none.",
        nothing,
        ["package", "none"],
    ),
    row(
        "pack-weights",
        "a bundle without weights",
        "volseg package BUNDLE",
        REFUSED,
        "expected a file of weights, found none.",
        copy_of(),
        ["package", "copy", "--weights", "none.pt"],
    ),
    row(
        "pack-other",
        "weights of another network",
        "volseg package BUNDLE --weights OTHER",
        REFUSED,
        "expected",
        weights_of(lambda state: dict(list(state.items())[1:])),
        ["package", "BUNDLE", *OTHER],
    ),
    row(
        "pack-differs",
        "training and inference that differ in the network",
        "volseg package BUNDLE",
        REFUSED,
        "expected spacing as in train.json, found another one.",
        copy_of(spacing=[9, 9, 9]),
        ["package", "copy"],
    ),
    row(
        "pack-set",
        "a misspelt key",
        "volseg package BUNDLE --set spacings=1",
        REFUSED,
        "spacings: expected a key of the configuration, found none of that name.",
        nothing,
        ["package", "BUNDLE", "--set", "spacings=1"],
    ),
    row(
        "verify-none",
        "a package that is not there",
        "volseg verify none",
        REFUSED,
        "none: expected a packed bundle, found",
        nothing,
        ["verify", "none"],
    ),
    row(
        "verify-text",
        "a package that is a text file",
        "volseg verify FILE",
        REFUSED,
        "expected a packed bundle, found neither",
        file_of("text.zip", b"no zip"),
        ["verify", "text.zip"],
    ),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "prepare", "arguments"), PACKS)
def test_package(row: Row, prepare, arguments, small_bundle, tmp_path):
    prepare(small_bundle, tmp_path)
    arguments = [small_bundle if word == "BUNDLE" else word for word in arguments]
    row.check(*volseg(*arguments, cwd=tmp_path))
    assert not (tmp_path / "dist").exists() or not list((tmp_path / "dist").iterdir())


def damaged(name, change):
    def spoil(folder):
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


VERIFY, FAIL = "volseg verify FOLDER", "told with the checks that fail"
PACKED = [
    row(
        "verify-missing",
        "a package without its licence",
        VERIFY,
        FAIL,
        "FAIL  files: LICENSE is missing",
        lambda folder: (folder / "LICENSE").unlink(),
        exit_code=1,
    ),
    row(
        "verify-changed",
        "a file changed after packing",
        VERIFY,
        FAIL,
        "FAIL  files: docs/README.md is changed",
        damaged("docs/README.md", lambda old: old + b"x"),
        exit_code=1,
    ),
    row(
        "verify-more",
        "a file added after packing",
        VERIFY,
        FAIL,
        "FAIL  files: docs/more.txt is not listed",
        lambda folder: (folder / "docs/more.txt").write_text("x"),
        exit_code=1,
    ),
    row(
        "verify-weights",
        "damaged weights",
        VERIFY,
        FAIL,
        "FAIL  weights:",
        damaged("models/model.pt", lambda old: old[:-900]),
        exit_code=1,
    ),
    row(
        "verify-json",
        "metadata with a syntax error",
        VERIFY,
        FAIL,
        "FAIL  metadata:",
        damaged("configs/metadata.json", lambda old: old[:-9]),
        exit_code=1,
    ),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "spoil"), PACKED)
def test_verify(row: Row, spoil, packed):
    spoil(packed)
    row.check(*volseg("verify", packed))


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
