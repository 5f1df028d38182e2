"""Findings as tables for the terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from preflight_set import image_of, save
from rich.console import Console

from pipeline.preflight import check
from pipeline.preflight.table import print_result


@pytest.mark.parametrize("relative", [True, False])
def test_paths_are_relative_to_the_folder_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    folder = tmp_path / "scans" / "monday"
    for name in ("a", "b"):
        save(folder / f"{name}.nii.gz", image_of("a"))
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()
    result = check("scans/monday" if relative else folder, progress=False)
    print_result(result, Console(file=stream, width=400))
    row = next(line for line in stream.getvalue().splitlines() if "an image of its own" in line)
    assert [cell.strip() for cell in row.split("│")][1] == "b.nii.gz"
    assert "that of a (a.nii.gz)" in row
