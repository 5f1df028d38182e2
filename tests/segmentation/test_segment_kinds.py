"""Segmenting pictures, stacks of slices, several channels and overlapping structures, and what is written beside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from image_files import acdc_like
from PIL import Image
from threshold_bundle import CONFIG, EXPECTED, SHAPE, VALUES, write_bundle

from pipeline.segmentation.segment import Summary, segment
from pipeline.volumes import read_image, read_mask

PIXELS = VALUES[..., 0].T.astype(np.uint8)  # 5 rows, 6 columns, and EXPECTED[..., :1] is its mask


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "threshold_bundle")


@pytest.fixture
def two_channels(tmp_path: Path) -> Path:
    """Thresholds the difference of two channels at 10 and 20."""
    config = json.loads(json.dumps(CONFIG))
    config["in_channels"] = config["network_def"]["in_channels"] = 2
    weight = torch.tensor([[0.0, 0], [1, -1], [2, -2]]).view(3, 2, 1, 1, 1)
    return write_bundle(tmp_path / "pair_bundle", config, {"weight": weight, "bias": torch.tensor([0.0, -10, -30])})


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """Takes an item's slice and writes its mask where the slice lies."""
    config = json.loads(json.dumps(CONFIG))
    config["imports"] = ["$import pipeline.volumes as volumes", "$import numpy as np"]
    config["preprocessing"]["transforms"].append({"_target_": "pipeline.transforms.TakeSliced", "keys": "image"})
    config["postprocessing"]["transforms"][1] = (
        "$lambda d: d | {'mask': str(volumes.write_mask(np.asarray(d['pred'])[0], d['image'].meta['filename_or_obj'],"
        " @output_dir + '/' + d['case'] + '.nii.gz', index=d['slice']))}"
    )
    return write_bundle(tmp_path / "slices_bundle", config)


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    """Lungs above 10 and in them infection above 20, one channel each; lesions; instances beside the mask."""
    labels = {"lungs": [1, 2], "infection": [2]}
    config = {**json.loads(json.dumps(CONFIG)), "labels": labels, "lesions": {"infection": "lungs", "nodule": None}}
    config["network_def"]["out_channels"] = 2
    transforms = config["postprocessing"]["transforms"]
    transforms[0]["labels"] = "@labels"
    transforms.append({
        "_target_": "pipeline.segmentation.instances.SaveInstancesd",
        "keys": "pred",
        "output_dir": "@output_dir",
        "labels": {"infection": [2]},
    })  # fmt: skip
    state = {"weight": torch.ones(2, 1, 1, 1, 1), "bias": torch.tensor([-10.0, -20.0])}
    return write_bundle(tmp_path / "nested_bundle", config, state)


def run(inputs: Any, output: Path, bundle: Path, **options: Any) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    return segment(inputs, output, bundle=bundle, progress=False, echo=lines.append, **options), lines


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def manifest(output: Path) -> list[dict[str, Any]]:
    return json.loads((output / "manifest.json").read_text(encoding="utf-8"))["runs"][-1]["cases"]


def datalist(path: Path, **sections: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"name": "some", "labels": {"RV": 1, "LV": 2}, "training": [], **sections}))
    return path


def test_a_folder_of_pictures_and_volumes(tmp_path: Path, bundle: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    Image.fromarray(PIXELS).save(scans / "grey.png")
    Image.fromarray(np.stack([PIXELS] * 3, axis=-1)).save(scans / "equal.bmp")
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(scans / "grey_mask.png")
    acdc_like(scans / "volume.nii.gz", VALUES)
    out = tmp_path / "out"
    summary, _ = run(scans, out, bundle, preview=True, statistics=True)
    assert [case.reason for case in summary.cases] == [""] * 3
    for name in ("grey", "equal"):
        with Image.open(out / f"{name}.png") as mask:
            assert (mask.mode, mask.size) == ("P", (6, 5))
        assert np.array_equal(read_mask(out / f"{name}.png"), EXPECTED[..., :1])
    assert np.array_equal(read_mask(out / "volume.nii.gz"), EXPECTED)
    assert visible(out) == [
        *("equal.png", "equal_preview.png", "grey.png", "grey_preview.png", "manifest.json", "statistics.json"),
        *("volume.nii.gz", "volume_preview.png"),
    ]
    spacings = {case["case"]: case["spacing_mm"] for case in manifest(out)}
    assert spacings == {"equal": None, "grey": None, "volume": [1.5, 1.25, 10.0]}
    found = json.loads((out / "statistics.json").read_text(encoding="utf-8"))["cases"]
    assert found["grey"]["structures"]["RV"]["voxels"] == int((EXPECTED[..., 0] == 1).sum())
    again, _ = run(scans, out, bundle)
    assert {case.outcome for case in again.cases} == {"exists"}


def test_a_jpeg_by_itself(tmp_path: Path, bundle: Path) -> None:
    blocks = np.kron(np.array([[2, 25], [25, 2]], np.uint8), np.ones((16, 24), np.uint8))
    Image.fromarray(blocks).save(tmp_path / "slice.jpg", quality=95)
    summary, lines = run(tmp_path / "slice.jpg", tmp_path / "out", bundle)
    assert summary.exit_code == 0, lines
    mask = read_mask(tmp_path / "out" / "slice.png")
    assert mask.shape == (48, 32, 1)
    assert np.array_equal(mask[..., 0].T, np.where(blocks == 25, 2, 0))


def test_broken_pictures_are_told(tmp_path: Path, bundle: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    for name in ("cut.jpg", "cut.png"):
        Image.fromarray(noise).save(tmp_path / name)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:900])
    Image.fromarray(np.full((5, 6), 9, np.uint8)).save(tmp_path / "flat.png")
    (tmp_path / "page.png").write_text("<html>404</html>")
    Image.fromarray(PIXELS).save(tmp_path / "good.png")
    summary, _ = run(
        [tmp_path / name for name in ("cut.jpg", "flat.png", "page.png", "good.png")], tmp_path / "o", bundle
    )
    assert [case.reason for case in summary.cases] == [
        "expected a complete picture, found a truncated or damaged one",
        "expected an image with contrast, found the value 9 everywhere",
        "expected an image, found a web page or XML",
        "",
    ]
    summary, _ = run(tmp_path / "cut.png", tmp_path / "o", bundle)
    assert summary.cases[0].reason == "expected a complete picture, found a truncated or damaged one"


def test_several_modalities_from_a_list(tmp_path: Path, two_channels: Path) -> None:
    acdc_like(tmp_path / "a_t1.nii.gz", VALUES + 100)
    acdc_like(tmp_path / "a_t2.nii.gz", np.full(SHAPE, 100, np.int16) + noise())
    acdc_like(tmp_path / "far.nii.gz", VALUES, spacing=(1.5, 1.25, 9.0))
    items = [
        {"image": ["a_t1.nii.gz", "a_t2.nii.gz"], "case": "a", "fold": 0, "structures": {"RV": [3]}},
        {"image": ["a_t1.nii.gz", "far.nii.gz"], "case": "b"},
        {"image": ["a_t1.nii.gz"], "case": "c"},
    ]
    path = datalist(tmp_path / "list.json", testing=items)
    summary, lines = run(path, tmp_path / "out", two_channels, preview=True, statistics=True)
    assert [case.outcome for case in summary.cases] == ["done", "failed", "failed"], lines
    assert np.array_equal(read_mask(tmp_path / "out" / "a.nii.gz"), EXPECTED)
    assert summary.cases[1].reason.startswith("far.nii.gz: expected the grid of a_t1.nii.gz, found one up to")
    assert manifest(tmp_path / "out")[0]["image"] == [str(tmp_path / "a_t1.nii.gz"), str(tmp_path / "a_t2.nii.gz")]
    assert "a_preview.png" in visible(tmp_path / "out")


def test_several_modalities_of_a_folder(tmp_path: Path, two_channels: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    acdc_like(scans / "a_0000.nii.gz", VALUES + 100)
    acdc_like(scans / "a_0001.nii.gz", np.full(SHAPE, 100, np.int16) + noise())
    acdc_like(scans / "b_0000.nii.gz", VALUES + 100)
    summary, lines = run(scans, tmp_path / "out", two_channels)
    assert [(case.case, case.outcome) for case in summary.cases] == [("a", "done"), ("b_0000", "failed")], lines
    assert np.array_equal(read_mask(tmp_path / "out" / "a.nii.gz"), EXPECTED)
    assert "expected 2 channels (in_channels), found 1" in summary.cases[1].reason


def noise() -> np.ndarray:
    """Zero but for one voxel where it changes no threshold: a channel needs contrast."""
    extra = np.zeros(SHAPE, np.int16)
    extra[0, 0, 0] = 1
    return extra


def test_a_fourth_axis_of_channels_is_no_time(tmp_path: Path, two_channels: Path, bundle: Path) -> None:
    both = np.stack([VALUES + 100, np.full(SHAPE, 100, np.int16)], axis=-1)
    acdc_like(tmp_path / "a.nii.gz", both)
    summary, lines = run(tmp_path / "a.nii.gz", tmp_path / "out", two_channels, preview=True, statistics=True)
    assert summary.exit_code == 0, lines
    assert summary.cases[0].frames == 1
    assert nib.load(tmp_path / "out" / "a.nii.gz").shape == SHAPE
    assert np.array_equal(read_mask(tmp_path / "out" / "a.nii.gz"), EXPECTED)
    again, lines = run(tmp_path / "a.nii.gz", tmp_path / "out", two_channels, preview=True, statistics=True)
    assert again.cases[0].outcome == "exists", lines
    summary, _ = run(tmp_path / "a.nii.gz", tmp_path / "cine", bundle)
    assert summary.cases[0].frames == 2


def test_slices_of_a_stack_from_a_list(tmp_path: Path, slices: Path) -> None:
    stack = VALUES.copy()
    stack[..., 3] = 7
    image = acdc_like(tmp_path / "stack.nii.gz", stack)
    items = [{"image": "stack.nii.gz", "case": f"s{index}", "slice": index} for index in (0, 2, 3, 4)]
    path = datalist(tmp_path / "list.json", training=[item | {"label": "stack.nii.gz"} for item in items])
    summary, lines = run(path, tmp_path / "out", slices, preview=True, statistics=True)
    assert [case.outcome for case in summary.cases] == ["done", "done", "failed", "failed"], lines
    assert summary.cases[2].reason == "expected an image with contrast, found the value 7 everywhere"
    assert summary.cases[3].reason == "expected a volume with a slice 4, counted from 0, found shape 6 x 5 x 4"
    mask = tmp_path / "out" / "s2.nii.gz"
    assert np.array_equal(read_mask(mask), EXPECTED[:, :, 2:3])
    assert np.allclose(nib.load(mask).affine @ (0, 0, 0, 1), nib.load(image).affine @ (0, 0, 2, 1))
    assert {"s0_preview.png", "s2_preview.png"} <= set(visible(tmp_path / "out"))
    told = manifest(tmp_path / "out")[1]
    assert (told["slice"], told["shape"]) == (2, [6, 5, 1])
    datalist(path, training=[{"image": "stack.nii.gz", "case": "s2", "slice": 0, "label": "stack.nii.gz"}])
    (tmp_path / "out" / "s2_preview.png").unlink()
    _, lines = run(path, tmp_path / "out", slices, preview=True)
    assert lines[1] == "s2: exists, skipped (made of another slice, 2; --overwrite does it again)"
    assert "s2_preview.png" not in visible(tmp_path / "out"), "the mask does not belong to this slice"


def test_testing_before_training_and_files_that_are_missing(tmp_path: Path, bundle: Path) -> None:
    for name in ("a", "b"):
        acdc_like(tmp_path / f"{name}.nii.gz", VALUES)
    training = [{"image": "a.nii.gz", "label": "a.nii.gz", "case": "a"}]
    path = datalist(tmp_path / "list.json", training=training, testing=[{"image": "b.nii.gz", "case": "b"}])
    summary, _ = run(path, tmp_path / "out", bundle)
    assert [case.case for case in summary.cases] == ["b"]
    moved = datalist(tmp_path / "out" / "list.json", training=training)
    with pytest.raises(Exception, match=r"2 missing.*Put list\.json into the folder that its paths start from"):
        run(moved, tmp_path / "out2", bundle)


def test_overlapping_structures_lesions_and_instances(tmp_path: Path, nested: Path) -> None:
    values = np.full((8, 8, 4), 2, np.int16)
    values[1:7, 1:7, 1:3] = 15
    values[2, 2, 1] = 25
    values[4:6, 4:6, 2] = 25
    acdc_like(tmp_path / "a.nii.gz", values, spacing=(2.0, 2.0, 5.0))
    out = tmp_path / "out"
    summary, lines = run(tmp_path / "a.nii.gz", out, nested, statistics=True, preview=True)
    assert summary.exit_code == 0, lines
    assert np.array_equal(read_mask(out / "a.nii.gz"), np.select([values == 15, values == 25], [1, 2]))
    instances = read_image(out / "a_instances.nii.gz")
    assert instances.dtype == np.uint16
    assert (instances[4, 4, 2], instances[2, 2, 1], np.count_nonzero(instances)) == (1, 2, 5)
    assert summary.cases[0].others == [str(out / "a_instances.nii.gz")]
    found = json.loads((out / "statistics.json").read_text(encoding="utf-8"))["cases"]["a"]
    assert found["structures"]["lungs"]["ml"] == pytest.approx(72 * 0.02)
    assert found["lesions"]["infection"]["count"] == 2
    assert visible(out) == [
        *("a.nii.gz", "a_instances.nii.gz", "a_preview.png", "manifest.json", "statistics.json"),
    ]
    assert [case["case"] for case in map(vars, run(out, tmp_path / "next", nested)[0].cases)] == ["a"]


def test_nothing_outlives_the_mask_that_it_was_made_of(tmp_path: Path, nested: Path, bundle: Path) -> None:
    for case in "ab":
        acdc_like(tmp_path / f"{case}.nii.gz", VALUES)
    out = tmp_path / "out"
    run([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"], out, nested, statistics=True, preview=True)
    assert {"a_instances.nii.gz", "a_preview.png"} < set(visible(out))
    run(tmp_path / "a.nii.gz", out, bundle, overwrite=True)
    assert visible(out) == [
        *("a.nii.gz", "b.nii.gz", "b_instances.nii.gz", "b_preview.png", "manifest.json", "statistics.json"),
    ]
    assert set(json.loads((out / "statistics.json").read_text(encoding="utf-8"))["cases"]) == {"b"}


def test_statistics_do_not_outlive_a_mask_whose_preview_failed(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for case in "ab":
        acdc_like(tmp_path / f"{case}.nii.gz", VALUES)
    out = tmp_path / "out"
    run([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"], out, bundle, statistics=True)
    monkeypatch.setattr("pipeline.segmentation.preview.draw_preview", lambda *_, **__: 1 / 0)
    other = {"labels": {"RV": 1}}
    summary, lines = run(tmp_path / "a.nii.gz", out, bundle, overwrite=True, preview=True, overrides=other)
    assert summary.cases[0].outcome == "failed", lines
    assert set(json.loads((out / "statistics.json").read_text(encoding="utf-8"))["cases"]) == {"b"}
    _, lines = run(tmp_path / "a.nii.gz", out, bundle)
    assert "made with another --set of labels" in lines[1], "the mask is the failed run's"


def test_a_preview_older_than_its_mask_is_drawn_again(tmp_path: Path, bundle: Path) -> None:
    acdc_like(tmp_path / "a.nii.gz", VALUES)
    preview = tmp_path / "out" / "a_preview.png"
    run(tmp_path / "a.nii.gz", tmp_path / "out", bundle, preview=True)
    first = preview.stat().st_mtime_ns
    run(tmp_path / "a.nii.gz", tmp_path / "out", bundle, preview=True)
    assert preview.stat().st_mtime_ns == first
    os.utime(preview, (1, 1))
    run(tmp_path / "a.nii.gz", tmp_path / "out", bundle, preview=True)
    assert preview.stat().st_mtime_ns >= first


def test_instances_of_pictures_and_frames(tmp_path: Path, nested: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    acdc_like(tmp_path / "c_4d.nii.gz", np.stack([VALUES, VALUES[::-1]], axis=-1))
    run([tmp_path / "p.png", tmp_path / "c_4d.nii.gz"], tmp_path / "out", nested)
    assert visible(tmp_path / "out") == [
        *("c_4d.nii.gz", "c_4d_frame01_instances.nii.gz", "c_4d_frame02_instances.nii.gz"),
        *("manifest.json", "p.png", "p_instances.png"),
    ]


def test_a_bundle_without_weights(tmp_path: Path) -> None:
    config = {key: value for key, value in CONFIG.items() if key not in ("checkpoint", "load_weights")}
    config["network"] = "$lambda x: torch.cat([0 * x, x - 10, 2 * x - 30], dim=1)"
    folder = write_bundle(tmp_path / "rule_bundle", config)
    acdc_like(tmp_path / "a.nii.gz", VALUES)
    summary, lines = run(tmp_path / "a.nii.gz", tmp_path / "out", folder)
    assert summary.exit_code == 0, lines
    assert "(no weights)" in lines[0]
    assert np.array_equal(read_mask(tmp_path / "out" / "a.nii.gz"), EXPECTED)
    again, lines = run(tmp_path / "a.nii.gz", tmp_path / "out", folder)
    assert (again.cases[0].outcome, again.cases[0].reason) == ("exists", "")
    with pytest.raises(Exception, match="nothing to load"):
        run(tmp_path / "a.nii.gz", tmp_path / "out", folder, weights=tmp_path / "w.pt")
