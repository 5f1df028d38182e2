"""Segmenting with a network that thresholds, so that every mask is known by hand: outcomes, reruns, cine, manifest."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from image_files import acdc_like, dicom_series, itk_image, oblique_affine
from threshold_bundle import CONFIG, EXPECTED, SHAPE, VALUES, weights, write_bundle

from pipeline.errors import DataError
from pipeline.segmentation.segment import Summary, segment
from pipeline.volumes import read_mask


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "threshold_bundle")


def run(inputs: Any, output: Path, bundle: Path, **options: Any) -> tuple[Summary, list[str]]:
    lines: list[str] = []
    return segment(inputs, output, bundle=bundle, progress=False, echo=lines.append, **options), lines


def manifest(output: Path) -> list[dict[str, Any]]:
    return json.loads((output / "manifest.json").read_text(encoding="utf-8"))["runs"]


def visible(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_one_file(tmp_path: Path, bundle: Path) -> None:
    image = acdc_like(tmp_path / "patient001_ED.nii.gz", VALUES)
    summary, lines = run(image, tmp_path / "out", bundle)
    assert summary.exit_code == 0
    mask = tmp_path / "out" / "patient001_ED.nii.gz"
    assert np.array_equal(read_mask(mask), EXPECTED)
    before, after = (gzip.decompress(path.read_bytes())[:348] for path in (image, mask))
    assert before[40:70] + before[76:108] + before[252:328] == after[40:70] + after[76:108] + after[252:328]
    assert visible(tmp_path / "out") == ["manifest.json", "patient001_ED.nii.gz"]
    assert lines[0].startswith("1 case by threshold_bundle 1.2.3")
    assert lines[1].startswith("patient001_ED: done in")
    assert lines[2].startswith("1 done; results in")


@pytest.mark.parametrize(
    "kind", ["mha", "nrrd", "dicom", "oblique.nii.gz", "one_slice.nii.gz", "2d.nii.gz", "4d1.nii.gz", "5d11.nii.gz"]
)
def test_every_format(tmp_path: Path, bundle: Path, kind: str) -> None:
    affine = np.diag([-1.0, -1, 1, 1]) @ np.diag([1.5, 1.25, 8, 1])
    voxels, expected = VALUES, EXPECTED
    image = tmp_path / f"heart.{kind}"
    if kind == "dicom":
        image = dicom_series(tmp_path / "heart", VALUES, affine)
    elif kind in ("mha", "nrrd"):
        SimpleITK.WriteImage(itk_image(VALUES, oblique_affine()), str(image))
    else:
        if kind == "one_slice.nii.gz":
            voxels, expected = VALUES[:, :, :1], EXPECTED[:, :, :1]
        elif kind == "2d.nii.gz":
            voxels, expected = VALUES[:, :, 0], EXPECTED[:, :, 0]
        elif kind == "4d1.nii.gz":
            voxels, expected = VALUES[..., None], EXPECTED[..., None]
        elif kind == "5d11.nii.gz":
            voxels, expected = VALUES[..., None, None], EXPECTED[..., None, None]
        nib.Nifti1Image(voxels, oblique_affine()).to_filename(image)
    summary, _ = run(image, tmp_path / "out", bundle, statistics=True)
    assert [case.reason for case in summary.cases] == [""]
    mask = Path(summary.cases[0].mask)
    assert mask.suffix == (f".{kind}" if kind in ("mha", "nrrd") else ".gz")
    assert np.array_equal(read_mask(mask), expected)
    if mask.suffix == ".gz" and kind != "dicom":
        assert np.array_equal(nib.load(mask).affine, nib.load(image).affine)


def test_broken_files_stop_no_other(tmp_path: Path, bundle: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    content = acdc_like(folder / "a.nii.gz", VALUES).read_bytes()
    (folder / "b.nii.gz").write_bytes(content[: len(content) // 2])
    (folder / "c.nii.gz").write_text("<html>404</html>")
    acdc_like(folder / "d.nii.gz", np.full(SHAPE, np.nan, np.float32))
    acdc_like(folder / "e.nii.gz", VALUES)
    summary, lines = run(folder, tmp_path / "out", bundle, preview=True, statistics=True)
    assert summary.exit_code == 1
    assert [(case.case, case.outcome) for case in summary.cases] == [
        ("a", "done"),
        ("b", "failed"),
        ("c", "failed"),
        ("d", "failed"),
        ("e", "done"),
    ]
    told = dict(line.split(": ", 1) for line in lines[1:-1])
    assert told["b"] == "FAILED, expected a complete file, found a truncated one. Copy or download the file again"
    assert told["c"].startswith("FAILED, expected a file compressed by gzip, found a web page or XML. ")
    assert told["d"].startswith("FAILED, expected finite intensities, found 120 voxels that are NaN or infinite. ")
    assert lines[-1].startswith("2 done, 3 FAILED")
    assert visible(tmp_path / "out") == [
        *("a.nii.gz", "a_preview.png", "e.nii.gz", "e_preview.png", "manifest.json", "statistics.json")
    ]
    assert [case["reason"] for case in manifest(tmp_path / "out")[0]["cases"]][0::4] == ["", ""]


def test_an_error_inside_the_network_is_one_line(tmp_path: Path, bundle: Path) -> None:
    acdc_like(tmp_path / "a.nii.gz", VALUES)
    broken = {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [4, 4], "overlap": 0.5}}
    summary, lines = run(tmp_path / "a.nii.gz", tmp_path / "out", bundle, overrides=broken)
    assert summary.exit_code == 1
    assert len(lines[1]) < 300
    assert "\n" not in lines[1]
    assert visible(tmp_path / "out") == ["manifest.json"]


def test_a_mask_of_another_image_of_the_same_name_is_told(tmp_path: Path, bundle: Path) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        acdc_like(tmp_path / day / "heart.nii.gz", VALUES)
    run(tmp_path / "monday", tmp_path / "out", bundle, statistics=True)
    before = (tmp_path / "out" / "statistics.json").read_text(encoding="utf-8")
    _, lines = run(tmp_path / "tuesday", tmp_path / "out", bundle, statistics=True, preview=True)
    assert f"made of another image, {tmp_path / 'monday' / 'heart.nii.gz'}" in lines[1]
    assert visible(tmp_path / "out") == ["heart.nii.gz", "manifest.json", "statistics.json"]
    assert (tmp_path / "out" / "statistics.json").read_text(encoding="utf-8") == before, "of monday's image"
    _, lines = run(tmp_path / "monday" / "heart.nii.gz", tmp_path / "out", bundle)
    assert "made of" not in lines[1]
    (tmp_path / "monday").rename(tmp_path / "moved")
    _, lines = run(tmp_path / "moved", tmp_path / "out", bundle)
    assert "made of" not in lines[1], "nothing is known of a file that is gone"


def test_a_mask_made_with_other_settings_is_told(tmp_path: Path, bundle: Path) -> None:
    acdc_like(tmp_path / "a.nii.gz", VALUES)
    run(tmp_path / "a.nii.gz", tmp_path / "out", bundle, overrides={"labels": {"RV": 1}})
    _, lines = run(tmp_path / "a.nii.gz", tmp_path / "out", bundle)
    assert lines[1] == "a: exists, skipped (made with another --set of labels; --overwrite does it again)"
    _, lines = run(tmp_path / "a.nii.gz", tmp_path / "out", bundle, overrides={"labels": {"RV": 1}})
    assert lines[1] == "a: exists, skipped"


def test_a_mask_of_another_bundle_is_told(tmp_path: Path, bundle: Path) -> None:
    """Also of one without weights, and of another configuration in the same folder; not of one that was moved."""
    rule = {key: value for key, value in CONFIG.items() if key not in ("checkpoint", "load_weights")}
    rule["network"] = "$lambda x: torch.cat([0 * x, x - 10, 2 * x - 30], dim=1)"
    (bundle / "rule.json").write_text(json.dumps(rule))
    image = acdc_like(tmp_path / "a.nii.gz", VALUES)
    run(image, tmp_path / "out", bundle / "rule.json")
    said = "a: exists, skipped (made by another bundle, threshold_bundle/rule.json; --overwrite does it again)"
    assert run(image, tmp_path / "out", bundle)[1][1] == said
    (tmp_path / "elsewhere").mkdir()
    moved = bundle.rename(tmp_path / "elsewhere" / bundle.name)
    assert run(image, tmp_path / "out", moved / "rule.json")[1][1] == "a: exists, skipped"
    (moved / "rule.json").rename(moved / "inference.json")
    run(image, tmp_path / "plain", moved)
    (moved / "inference.json").write_text(json.dumps(CONFIG))
    assert "(made by other weights, none; " in run(image, tmp_path / "plain", moved)[1][1]


def test_a_rerun_does_only_what_is_missing(tmp_path: Path, bundle: Path) -> None:
    for case in "ab":
        acdc_like(tmp_path / f"{case}.nii.gz", VALUES)
    out = tmp_path / "out"
    run(tmp_path / "a.nii.gz", out, bundle)
    first = (out / "a.nii.gz").stat().st_mtime_ns
    torch.save(weights(shift=8), bundle / "models" / "model.pt")
    summary, lines = run([tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"], out, bundle, preview=True, statistics=True)
    assert [case.outcome for case in summary.cases] == ["exists", "done"]
    assert "made by other weights" in lines[1]
    assert (out / "a.nii.gz").stat().st_mtime_ns == first
    assert np.array_equal(read_mask(out / "a.nii.gz"), EXPECTED)
    assert not (read_mask(out / "b.nii.gz") == 2).any()  # thresholds are now 18 and 28
    assert {"a_preview.png", "b_preview.png"} <= set(visible(out))
    assert set(json.loads((out / "statistics.json").read_text(encoding="utf-8"))["cases"]) == {"a", "b"}
    again, _ = run([tmp_path / "a.nii.gz"], out, bundle, overwrite=True)
    assert [case.outcome for case in again.cases] == ["done"]
    assert np.array_equal(read_mask(out / "a.nii.gz"), np.where(VALUES == 25, 1, 0))
    assert len(manifest(out)) == 3
    assert set(json.loads((out / "statistics.json").read_text(encoding="utf-8"))["cases"]) == {"b"}


@pytest.mark.parametrize("axes", [4, 5])
def test_cine_is_segmented_frame_by_frame(tmp_path: Path, bundle: Path, axes: int) -> None:
    """LV voxels per frame 30, 40, 20, 10: largest in frame 2, smallest in frame 4, EF 75 %; a fifth axis may follow."""
    series = np.full((*SHAPE, 4), 2, np.int16)
    for frame, count in enumerate((30, 40, 20, 10)):
        series.reshape(-1, 4)[:count, frame] = 25
        series.reshape(-1, 4)[count : count + 5, frame] = 15
    series = series.reshape((*series.shape, 1)[:axes])
    image = acdc_like(tmp_path / "p_4d.nii.gz", series, spacing=(2.0, 2.5, 10.0))  # 0.05 ml
    summary, lines = run(image, tmp_path / "out", bundle, statistics=True, preview=True)
    assert summary.exit_code == 0, lines
    assert summary.cases[0].frames == 4
    mask = tmp_path / "out" / "p_4d.nii.gz"
    assert np.array_equal(read_mask(mask), np.select([series == 15, series == 25], [1, 2]))
    before, after = (gzip.decompress(path.read_bytes())[:348] for path in (image, mask))
    assert before[40:70] + before[76:108] + before[252:328] == after[40:70] + after[76:108] + after[252:328]
    found = json.loads((tmp_path / "out" / "statistics.json").read_text(encoding="utf-8"))["cases"]["p_4d"]
    assert [frame["structures"]["LV"]["ml"] for frame in found["frames"]] == [1.5, 2.0, 1.0, 0.5]
    assert [frame["structures"]["RV"]["ml"] for frame in found["frames"]] == [0.25] * 4
    cycle = found["cycle"]
    assert (cycle["ED_frame"], cycle["ES_frame"], cycle["LV_EF_percent"]) == (2, 4, 75.0)
    assert cycle["derived"] is True
    assert visible(tmp_path / "out") == ["manifest.json", "p_4d.nii.gz", "p_4d_preview.png", "statistics.json"]


def test_a_bad_frame_fails_the_series_and_is_named(tmp_path: Path, bundle: Path) -> None:
    series = np.stack([VALUES, np.full(SHAPE, 3, np.int16)], axis=-1)
    acdc_like(tmp_path / "p_4d.nii.gz", series)
    summary, lines = run(tmp_path / "p_4d.nii.gz", tmp_path / "out", bundle)
    assert summary.exit_code == 1
    assert "p_4d_frame02: expected an image with contrast, found the value 3 everywhere" in lines[1]
    assert visible(tmp_path / "out") == ["manifest.json"]


def test_scaled_integers_reach_the_network_scaled(tmp_path: Path, bundle: Path) -> None:
    series = nib.Nifti1Image(np.stack([2 * (VALUES - 1)] * 2, axis=-1), np.eye(4))
    series.header.set_slope_inter(0.5, 1)
    series.to_filename(tmp_path / "p_4d.nii.gz")
    assert np.array_equal(nib.load(tmp_path / "p_4d.nii.gz").get_fdata()[..., 0], VALUES)
    run(tmp_path / "p_4d.nii.gz", tmp_path / "out", bundle)
    assert np.array_equal(read_mask(tmp_path / "out" / "p_4d.nii.gz"), np.stack([EXPECTED, EXPECTED], axis=-1))


def test_statistics_by_hand(tmp_path: Path, bundle: Path) -> None:
    values = np.full((6, 5, 4), 2, np.int16)
    values[2:4, 2, :] = 25  # 8 voxels, away from the edges of the slices but in the first and the last slice
    values[0, 1, 1] = 15
    image = acdc_like(tmp_path / "a.nii.gz", values, spacing=(2.0, 2.0, 5.0))
    run(image, tmp_path / "out", bundle, statistics=True)
    found = json.loads((tmp_path / "out" / "statistics.json").read_text(encoding="utf-8"))
    assert found["unit"] == "ml"
    assert found["cases"]["a"]["structures"] == {
        "RV": {"ml": 0.02, "voxels": 1, "touches_border": True},
        "LV": {"ml": 0.16, "voxels": 8, "touches_border": False},
    }


def test_manifest(tmp_path: Path, bundle: Path) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", VALUES)
    run(image, tmp_path / "out", bundle, overrides={"labels": {"RV": 1}})
    (entry,) = manifest(tmp_path / "out")
    content = (bundle / "models" / "model.pt").read_bytes()
    assert entry["weights"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["bundle"]["version"] == "1.2.3"
    assert (entry["device"], entry["precision"], entry["complete"]) == ("cpu", "float32", True)
    assert entry["options"]["overrides"] == {"labels": {"RV": 1}}
    assert entry["program"]["torch"] == torch.__version__
    (case,) = entry["cases"]
    assert (case["image"], case["outcome"], case["shape"]) == (str(image), "done", [6, 5, 4])
    assert case["spacing_mm"] == [1.5, 1.25, 10.0]
    assert set(case["seconds"]) == {"read", "network", "write"}
    assert all(seconds >= 0 for seconds in case["seconds"].values())


def test_an_interrupted_call_leaves_whole_files_and_an_entry(tmp_path: Path, bundle: Path) -> None:
    for case in "abc":
        acdc_like(tmp_path / f"{case}.nii.gz", VALUES)

    def interrupt(line: str) -> None:
        if line.startswith("b:"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        segment(tmp_path, tmp_path / "out", bundle=bundle, progress=False, echo=interrupt, statistics=True)
    assert visible(tmp_path / "out") == ["a.nii.gz", "b.nii.gz", "manifest.json", "statistics.json"]
    assert manifest(tmp_path / "out")[0]["complete"] is False
    summary, _ = run(tmp_path, tmp_path / "out", bundle)
    assert [case.outcome for case in summary.cases] == ["exists", "exists", "done"]


def test_autocast_and_overrides_are_used(tmp_path: Path, bundle: Path) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", VALUES)
    config = {**CONFIG, "autocast": "$lambda: torch.autocast('cpu', torch.bfloat16)"}
    (bundle / "inference.json").write_text(json.dumps(config))
    summary, _ = run(image, tmp_path / "out", bundle, weights=save_weights(tmp_path / "other.pt", shift=8))
    assert np.array_equal(read_mask(summary.cases[0].mask), np.where(VALUES == 25, 1, 0))
    assert manifest(tmp_path / "out")[0]["precision"] == "bfloat16"


def save_weights(path: Path, **options: float) -> Path:
    torch.save(weights(**options), path)
    return path


def test_a_packed_bundle_keeps_its_configuration_in_configs(tmp_path: Path, bundle: Path) -> None:
    (bundle / "configs").mkdir()
    for name in ("inference.json", "metadata.json"):
        (bundle / name).rename(bundle / "configs" / name)
    summary, lines = run(acdc_like(tmp_path / "a.nii.gz", VALUES), tmp_path / "out", bundle)
    assert summary.exit_code == 0
    assert lines[0].startswith("1 case by threshold_bundle 1.2.3")


@pytest.mark.parametrize(("options", "message"), [
    ({"bundle": "nowhere"}, "a bundle with inference.json, found no such folder"),
    ({"weights": "absent.pt"}, "absent.pt: expected trained weights, found no such file. Train them"),
    ({"overrides": {"labls": {}}}, "Did you mean 'labels'"),
    ({"overrides": {"inferrer#overlap": 0.5}}, "Did you mean 'inferer'"),
    ({"device": "cuda:77"}, "torch.device('cuda:77'): expected a device of this machine"),
    ({"overrides": {"checkpoint": []}}, "checkpoint: expected trained weights, found none"),
    ({"weights": "a.pt", "overrides": {"checkpoint": ["b.pt"]}}, "--weights, or --set checkpoint=..., found both"),
    ({"device": "quantum"}, "torch.device('quantum'): expected a device of this machine"),
])  # fmt: skip
def test_bad_requests_are_one_line(tmp_path: Path, bundle: Path, options: dict[str, Any], message: str) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", VALUES)
    with pytest.raises(DataError) as caught:
        run(image, tmp_path / "out", **{"bundle": bundle, **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert visible(tmp_path / "out") == [] if (tmp_path / "out").exists() else True


def test_an_output_called_like_an_image_is_no_folder(tmp_path: Path, bundle: Path) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", VALUES)
    with pytest.raises(
        DataError, match=r"a_mask\.nii\.gz: expected a folder for the masks, found the name of an image"
    ):
        run(image, tmp_path / "a_mask.nii.gz", bundle)
    assert not (tmp_path / "a_mask.nii.gz").exists()


@pytest.mark.parametrize("content", ["other network", "text"])
def test_weights_that_do_not_fit(tmp_path: Path, bundle: Path, content: str) -> None:
    if content == "text":
        (bundle / "models" / "model.pt").write_text("<html>404</html>")
    else:
        torch.save({"weight": torch.zeros(5, 1, 1, 1, 1)}, bundle / "models" / "model.pt")
    with pytest.raises(DataError, match="weights of this bundle's network") as caught:
        run(acdc_like(tmp_path / "a.nii.gz", VALUES), tmp_path / "out", bundle)
    assert "\n" not in str(caught.value)


def test_missing_entries_are_all_named(tmp_path: Path, bundle: Path) -> None:
    config = {key: value for key, value in CONFIG.items() if key not in ("inferer", "labels")}
    (bundle / "inference.json").write_text(json.dumps(config))
    with pytest.raises(DataError) as caught:
        run(acdc_like(tmp_path / "a.nii.gz", VALUES), tmp_path / "out", bundle)
    assert len(caught.value.problems) == 2


def test_inputs_are_never_replaced(tmp_path: Path, bundle: Path) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", VALUES)
    before = image.read_bytes()
    with pytest.raises(DataError, match="Choose another output folder"):
        run(image, tmp_path, bundle, overwrite=True)
    with pytest.raises(DataError, match="Choose another output folder"):
        run(tmp_path, tmp_path, bundle, overwrite=True)
    with pytest.raises(DataError, match="a folder for the masks"):
        run(image, image, bundle)
    assert image.read_bytes() == before
    assert not (tmp_path / "manifest.json").exists()


def test_output_below_the_input_is_no_input(tmp_path: Path, bundle: Path) -> None:
    acdc_like(tmp_path / "a.nii.gz", VALUES)
    for _ in range(2):
        summary, _ = run(tmp_path, tmp_path / "out", bundle)
        assert [case.case for case in summary.cases] == ["a"]


@pytest.mark.parametrize("name", ["manifest.json", "statistics.json"])
@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"runs": {}, "cases": []}'])
def test_a_file_of_another_program_is_told_before_the_first_case_and_not_written_over(
    tmp_path: Path, bundle: Path, name: str, content: str
) -> None:
    acdc_like(tmp_path / "a.nii.gz", VALUES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(content)
    with pytest.raises(DataError, match=f"{name}.*Move it away"):
        run(tmp_path / "a.nii.gz", tmp_path / "out", bundle, statistics=True)
    assert visible(tmp_path / "out") == [name]
    assert (tmp_path / "out" / name).read_text(encoding="utf-8") == content
