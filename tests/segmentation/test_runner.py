"""Bundles whose configuration cannot be built are told as bad input, entry by entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from threshold_bundle import CONFIG, write_bundle

from pipeline.errors import DataError
from pipeline.segmentation.runner import BundleRunner


@pytest.mark.parametrize(
    ("key", "value", "expected", "found"),
    [
        ("inferer", {"_target_": "NoSuch"}, "an entry 'inferer' that can be built", "ModuleNotFoundError: Cannot loc"),
        ("inferer", "@nothing", "an entry 'inferer' that can be built", "`@nothing` is not defined in the config"),
        ("labels", "$1 / 0", "an entry 'labels' that can be built", "ZeroDivisionError: division by zero"),
        ("network", {"_target_": "torch.nn.Conv3d"}, "an entry 'network' that can be built", "TypeError: Conv3d"),
        ("in_channels", "two", "'in_channels': a whole number", "'two'"),
        ("in_channels", 0, "'in_channels': a whole number", "0"),
        ("labels", ["RV"], "'labels': each structure with its number", "['RV']"),
        ("lesions", ["LV"], "'lesions': each structure with the organ that holds it, or null", "['LV']"),
        ("lesions", True, "'lesions': each structure with the organ that holds it, or null", "True"),
        ("lesions", {"LV": 3}, "'lesions': each structure with the organ that holds it, or null", "{'LV': 3}"),
        ("device", "@nothing", "a device of this machine", "`@nothing` is not defined in the config"),
        ("load_weights", "$open(@checkpoint + '.none')", "weights of this bundle's network", "No such file"),
    ],
)
def test_an_entry_that_cannot_be_built(tmp_path: Path, key: str, value: Any, expected: str, found: str) -> None:
    folder = write_bundle(tmp_path / "b", {**CONFIG, key: value})
    with pytest.raises(DataError) as caught:
        BundleRunner(folder, output_dir=tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.expected == expected
    assert found in problem.found
    assert "\n" not in str(problem)
    assert ".." not in str(problem).removeprefix(problem.file)


def test_a_problem_that_tells_itself_is_not_put_into_another(tmp_path: Path) -> None:
    loading = {
        "imports": ["$import pipeline.checkpoints as checkpoints"],
        "load_weights": "$checkpoints.load_weights(@network, @checkpoint)",
    }
    folder = write_bundle(tmp_path / "b", CONFIG | loading, state={"weight": torch.zeros(5, 1, 1, 1, 1)})
    with pytest.raises(DataError) as caught:
        BundleRunner(folder, output_dir=tmp_path / "out")
    assert str(caught.value).count("expected") == 1
    assert "network_def" in caught.value.problems[0].remedy


def test_a_configuration_that_is_no_json(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    (config := folder / "inference.json").write_text('{"network": ')
    with pytest.raises(DataError, match=r"found a syntax error \(Expecting value: line 1") as caught:
        BundleRunner(folder, output_dir=tmp_path / "out")
    assert caught.value.problems[0].file == str(config)


def test_metadata_that_are_no_json(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "b")
    (folder / "metadata.json").write_text("{")
    with pytest.raises(DataError, match=r"metadata\.json: expected a JSON file"):
        BundleRunner(folder, output_dir=tmp_path / "out")
