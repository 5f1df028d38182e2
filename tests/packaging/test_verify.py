"""Every fault that `volseg verify` must find, each made on purpose."""

import json
import os

import pytest
import tiny_bundles

from pipeline.errors import DataError
from pipeline.packaging import checksums, package, verify


def told(folder, *checks):
    """What these checks find; the checksums are renewed, so that they do not hide behind a changed file."""
    checksums.write(folder)
    return "; ".join(fault for finding in verify(folder, only=checks) for fault in finding.faults)


def load(folder, name):
    return json.loads((folder / "configs" / f"{name}.json").read_text(encoding="utf-8"))


def change(folder, name, path, value):
    """Set `a#b#0` in a configuration; None takes it out."""
    file = folder / "configs" / f"{name}.json"
    config = node = load(folder, name)
    *steps, last = (int(step) if step.isdigit() else step for step in path.split("#"))
    for step in steps:
        node = node[step]
    last = int(last) if isinstance(node, list) else last
    if value is None:
        del node[last]
    else:
        node[last] = value
    file.write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize("name", list(tiny_bundles.SMALL))
def test_what_package_writes_passes(packed_once, name):
    findings = verify(packed_once[name])
    assert [str(finding) for finding in findings if not finding.passed] == []
    assert [finding.check for finding in findings] == [
        *("files", "trust", "paths", "metadata", "training", "weights", "network", "keys", "masks")
    ]
    assert checksums.differences(packed_once[name]) == {}


def test_a_bundle_of_several_channels_passes(tmp_path):
    bundle = tiny_bundles.make("covid19_slices", tmp_path, in_channels=2)
    findings = verify(package(bundle, tmp_path / "dist").folder)
    assert [str(finding) for finding in findings if not finding.passed] == []


def test_a_zip_is_looked_into(packed_once):
    archive = packed_once["acdc"].with_name("acdc_segmentation_v0.3.3.zip")
    assert all(finding.passed for finding in verify(archive))


def test_a_value_from_a_file_that_is_not_packed_is_told(packed):
    change(packed, "inference", "network_def", "%bundles/options/networks.json::light")
    assert "network_def names bundles/options/networks.json, outside the bundle" in told(packed, "paths")


def test_nothing_of_a_bundle_runs_that_is_not_trusted(packed, tmp_path):
    mark = tmp_path / "mark"
    change(packed, "inference", "precision", f"$__import__('pathlib').Path({str(mark)!r}).touch() or 'fp32'")
    checksums.write(packed)
    assert [finding.check for finding in verify(packed)] == ["files", "trust"]
    assert "found the function __import__" in told(packed, "trust")
    assert not mark.exists()
    trusted = [finding.check for finding in verify(packed, trust=True)]
    assert ("trust" not in trusted, trusted[-1]) == (True, "masks")
    assert mark.exists()


@pytest.mark.parametrize("key", ["evaluator", "network_def", "inferer"])
def test_a_missing_key_of_inference(packed, key):
    change(packed, "inference", key, None)
    assert key in told(packed, "keys")


def test_a_missing_key_of_training(packed):
    change(packed, "train", "train#trainer", None)
    assert "trainer" in told(packed, "keys")


def test_a_training_that_needs_more_than_a_server_gives(packed):
    step = {"_target_": "SelectItemsd", "keys": ["image", "label", "patient"]}
    change(packed, "train", "label_preprocessing#transforms#3", step)
    assert "patient" in told(packed, "keys")


def test_a_wrong_channel_count(packed):
    change(packed, "metadata", "network_data_format#outputs#pred#num_channels", 5)
    assert "channels of the output 5, but inference.json has 4" in told(packed, "metadata")
    assert "(1, 5, 48, 48, 1)" in told(packed, "network")


def test_stale_metadata(packed):
    change(packed, "metadata", "network_data_format#inputs#image#spatial_shape", [64, 64, 1])
    change(packed, "metadata", "network_data_format#outputs#pred#channel_def", {"0": "background", "1": "LV"})
    faults = told(packed, "metadata")
    assert "window [64, 64, 1]" in faults
    assert "labels" in faults


def test_packages_that_the_carried_code_imports_and_the_metadata_does_not_name(packed):
    change(packed, "metadata", "required_packages_version#pytorch-ignite", None)
    assert "lacks pytorch-ignite, which volseg_acdc_0_3_3 imports" in told(packed, "metadata")


def test_a_version_that_is_not_that_of_the_python(packed):
    change(packed, "metadata", "changelog#0.1.1", "newer")
    change(packed, "metadata", "version", "0.1.1")
    assert told(packed, "metadata") == "stale: version 0.1.1, but the Python is volseg_acdc_0_3_3"


def test_a_version_without_a_changelog_entry(packed):
    change(packed, "metadata", "version", "9.9.9")
    assert "9.9.9 in the changelog" in told(packed, "metadata")


def test_metadata_without_an_author(packed):
    change(packed, "metadata", "authors", None)
    assert "'authors' is a required property" in told(packed, "metadata")


def test_weights_of_another_network(packed, packed_once):
    (packed / "models/model.pt").write_bytes((packed_once["covid19"] / "models/model.pt").read_bytes())
    assert "weights of this network_def" in told(packed, "weights")


def test_a_file_that_is_no_weights(packed):
    (packed / "models/model.pt").write_bytes(b"nothing")
    assert "a PyTorch file of weights" in told(packed, "weights")


@pytest.mark.parametrize(
    "path",
    ["/data/set", "../other/data", "~/data", "bundles/acdc/models/model.pt", "$'/data/' + 'set'", "$open('/etc/x')"],
)
def test_a_path_outside_the_bundle(packed, path):
    change(packed, "inference", "dataset_dir", path)
    assert "dataset_dir names" in told(packed, "paths")


def test_python_that_is_not_carried(packed):
    change(packed, "inference", "handlers#0#_target_", "pipeline.handlers.Progress")
    assert "pipeline.handlers.Progress" in told(packed, "paths")


def test_a_link_out_of_the_bundle(packed, tmp_path):
    (tmp_path / "outside.txt").write_text("x")
    os.symlink(tmp_path / "outside.txt", packed / "docs" / "inside.txt")
    assert "docs/inside.txt is a link" in told(packed, "files")


def test_training_that_sees_something_else(packed):
    change(packed, "train", "spacing", [1.0, 1.0, -1])
    assert told(packed, "training") == "train.json and inference.json differ in spacing"


def test_masks_that_come_back_wrong(packed):
    change(packed, "inference", "postprocessing#transforms#2#labels", {"RV": 1, "MYO": 2, "LV": 3, "other": 4})
    assert "another label" in told(packed, "masks")


def test_files_that_changed_since_they_were_packed(packed):
    (packed / "LICENSE").write_text("other")
    (packed / "docs" / "new.md").write_text("new")
    (packed / "configs" / "logging.conf").unlink()
    files = next(finding for finding in verify(packed) if finding.check == "files")
    assert set(files.faults) == {
        "LICENSE is changed",
        "docs/new.md is not listed",
        "configs/logging.conf is missing",
    }


def test_missing_files_end_the_checks(packed):
    (packed / "configs" / "inference.json").unlink()
    (finding,) = verify(packed)
    assert "configs/inference.json is missing" in finding.faults


def test_what_is_no_bundle_at_all(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        verify(tmp_path / "x.txt")
