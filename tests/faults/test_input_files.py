"""Images that are none, one to a folder of good ones: `volseg check` names each and why."""

from __future__ import annotations

import pytest
from faults import Row, row, volseg
from preflight_set import good_set


@pytest.mark.parametrize(
    "row",
    [
        row(
            "empty-file",
            "an empty file",
            "volseg check FOLDER",
            "refused, the others are checked",
            "images/c.nii.gz: expected an image, found an empty file. Copy or download the file again.",
        )
    ],
)
def test_file(row: Row, tmp_path):
    good_set(tmp_path)
    (tmp_path / "images" / "c.nii.gz").write_bytes(b"")
    row.check(*volseg("check", tmp_path, "--processes", 1))
