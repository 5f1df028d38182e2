"""Broken images among good ones: one call of `volseg segment` names each and does the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from broken_images import BROKEN, Broken, good
from faults import Row, row, volseg

GOOD = ("good_1.nii.gz", "good_2.mha", "good_3.nrrd", "good_4")
OUTCOME = "named with its reason, not segmented; the other images are"


def case_of(file: str) -> str:
    return file.split(".")[0]


@pytest.fixture(scope="module")
def segmented(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, Path]:
    """Exit code and lines of one call over a folder with every broken image and four good ones, and the output."""
    folder = tmp_path_factory.mktemp("mixed")
    for broken in BROKEN:
        broken.write(folder / broken.file)
    for seed, name in enumerate(GOOD):
        good(folder / name, seed)
    out = folder.parent / f"{folder.name}_masks"
    return *volseg("segment", folder, out, "--bundle", small_bundle, "--timeout", "5"), out


@pytest.mark.parametrize(
    ("row", "broken"),
    [
        row(
            f"segment-{case_of(broken.file)}".replace("_", "-"),
            broken.what,
            "volseg segment FOLDER OUT --timeout 5" if broken.file == "hangs.mhd" else "volseg segment FOLDER OUT",
            OUTCOME,
            broken.message,
            broken,
            exit_code=1,
        )
        for broken in BROKEN
    ],
)
def test_a_broken_image(row: Row, broken: Broken, segmented: tuple[int, str, Path]) -> None:
    code, output, out = segmented
    case = case_of(broken.file)
    (line,) = [line for line in output.splitlines() if line.startswith(f"{case}: ")]
    row.check(code, line)
    (entry,) = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["runs"]
    (found,) = [found for found in entry["cases"] if found["case"] == case]
    assert found["outcome"] == ("timed out" if case == "hangs" else "failed")
    assert row.message in found["reason"]
    assert not list(out.glob(f"{case}.*"))


def test_the_good_ones_are_done(segmented: tuple[int, str, Path]) -> None:
    _, output, out = segmented
    assert "Traceback" not in output
    assert f"4 done, {len(BROKEN) - 1} FAILED, 1 TIMED OUT" in output
    names = {path.name for path in out.iterdir()}
    assert names == {"good_1.nii.gz", "good_2.mha", "good_3.nrrd", "good_4.nii.gz", "manifest.json"}


REQUESTS = [
    row("segment-no-input", "a path that does not exist", "volseg segment nowhere OUT", "refused",
        "nowhere: expected a folder or an image, found no such path", ["nowhere", "OUT"]),
    row("segment-empty-folder", "a folder without images", "volseg segment EMPTY OUT", "refused",
        "found none below it", ["EMPTY", "OUT"]),
    row("segment-one-argument", "no output folder", "volseg segment IMAGE", "refused",
        "name at least one input and the output folder", ["IMAGE"]),
    row("segment-out-is-file", "a file where the output folder should be", "volseg segment IMAGE FILE", "refused",
        "expected a folder for the masks, found a file", ["IMAGE", "FILE"]),
    row("segment-out-below-file", "an output folder below a file", "volseg segment IMAGE FILE/OUT", "refused",
        "expected a folder that can be written to, found one that is not (Not a directory)", ["IMAGE", "BELOW"]),
    row("segment-onto-input", "the folder of the image as output", "volseg segment IMAGE FOLDER", "refused",
        "expected an output beside the image, found the image itself", ["IMAGE", "FOLDER"]),
    row("segment-no-bundle", "a bundle folder without inference.json", "volseg segment IMAGE OUT --bundle EMPTY",
        "refused", "a bundle with inference.json, found a folder without one", ["IMAGE", "OUT", "--bundle", "EMPTY"]),
    row("segment-train-json", "the configuration of a training",
        "volseg segment IMAGE OUT --bundle bundles/acdc/train.json", "refused",
        "train.json: expected a configuration for inference, found one for training",
        ["IMAGE", "OUT", "--bundle", "bundles/acdc/train.json"]),
    row("segment-no-weights", "weights that do not exist", "volseg segment IMAGE OUT --weights no.pt", "refused",
        "no.pt: expected trained weights, found no such file", ["IMAGE", "OUT", "--weights", "no.pt"]),
    row("segment-text-weights", "weights that are text", "volseg segment IMAGE OUT --weights FILE", "refused",
        "expected a PyTorch file of weights", ["IMAGE", "OUT", "--weights", "FILE"]),
    row("segment-unknown-key", "a misspelt key", "volseg segment IMAGE OUT --set overlapp=0.2", "refused",
        "Did you mean 'overlap'", ["IMAGE", "OUT", "--set", "overlapp=0.2"]),
    row("segment-no-value", "a key without a value", "volseg segment IMAGE OUT --set overlap", "refused",
        "write key=value", ["IMAGE", "OUT", "--set", "overlap"]),
    row("segment-no-device", "a device that is not there", "volseg segment IMAGE OUT --device cuda:77", "refused",
        "expected a device of this machine", ["IMAGE", "OUT", "--device", "cuda:77"]),
    row("segment-bad-timeout", "a negative time limit", "volseg segment IMAGE OUT --timeout -1", "refused",
        "Invalid value for '--timeout'", ["IMAGE", "OUT", "--timeout", "-1"]),
    row("segment-broken-manifest", "a manifest that is no JSON", "volseg segment IMAGE BEFORE", "refused",
        "manifest.json: expected a JSON file", ["IMAGE", "BEFORE"]),
    row("segment-memory", "an image larger than --max-memory allows", "volseg segment IMAGE OUT --max-memory 0.000001",
        "named, not segmented", "which need at least 0.01 MB (0.00 MB allowed)",
        ["IMAGE", "OUT", "--max-memory", "0.000001"], exit_code=1),
    row("segment-other-mask", "a mask of another shape under the case's name", "volseg segment IMAGE OTHER",
        "named; the mask stays as it is", "expected a mask of the image's shape 20 x 18 x 3, found one of 20 x 18 x 2",
        ["IMAGE", "OTHER"], exit_code=1),
]  # fmt: skip


@pytest.mark.parametrize(("row", "arguments"), REQUESTS)
def test_a_bad_request(row: Row, arguments: list[str], small_bundle: Path, tmp_path: Path) -> None:
    places = {"IMAGE": tmp_path / "in" / "image.nii.gz", "FOLDER": tmp_path / "in", "OUT": tmp_path / "out"}
    places |= {"FILE": tmp_path / "in" / "notes.txt"}
    places |= {name: tmp_path / name.lower() for name in ("EMPTY", "BEFORE", "OTHER")}
    places |= {"BELOW": places["FILE"] / "out"}
    for name in ("FOLDER", "EMPTY", "BEFORE", "OTHER"):
        places[name].mkdir()
    good(places["IMAGE"])
    places["FILE"].write_text("no image")
    (places["BEFORE"] / "manifest.json").write_text("{")
    other_mask(places["OTHER"] / "image.nii.gz")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    chosen = [] if "--bundle" in arguments else ["--bundle", small_bundle]
    row.check(*volseg("segment", *(places.get(word, word) for word in arguments), *chosen, cwd=tmp_path))
    assert {path: path.read_bytes() for path in before if path.name != "manifest.json"} == {
        path: content for path, content in before.items() if path.name != "manifest.json"
    }
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def other_mask(path: Path) -> None:
    import nibabel as nib
    import numpy as np

    nib.Nifti1Image(np.ones((20, 18, 2), np.uint8), np.eye(4)).to_filename(path)
