"""Packed bundles that several tests look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny_bundles


@pytest.fixture(scope="session")
def packed_once(tmp_path_factory) -> dict[str, Path]:
    """Every bundle of the repository, tiny, packed; read only."""
    from pipeline.packaging import package

    root = tmp_path_factory.mktemp("packed")
    return {
        name: package(tiny_bundles.make(name, root), root / "dist", make_zip=True).folder for name in tiny_bundles.SMALL
    }


@pytest.fixture
def packed(packed_once, tmp_path) -> Path:
    """A packed acdc bundle to spoil."""
    return shutil.copytree(packed_once["acdc"], tmp_path / packed_once["acdc"].name)
