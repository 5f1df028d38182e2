"""What cannot be packed, and packages that were damaged: `volseg package` and `volseg verify` say why."""

from __future__ import annotations

import pytest
from bundle_faults import OTHER, REFUSED, copy_of, file_of, nothing, weights_of
from faults import Row, row, volseg

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
        "metadata.json: expected a configuration that can be read",
        damaged("configs/metadata.json", lambda old: old[:-9]),
        exit_code=1,
    ),
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "spoil"), PACKED)
def test_verify(row: Row, spoil, packed):
    spoil(packed)
    row.check(*volseg("verify", packed))
