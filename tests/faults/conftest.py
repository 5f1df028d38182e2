"""This folder runs only when it is named (`make faults`); what its tests start from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark that carries a row."""
    config.addinivalue_line("markers", "fault(row): a row of docs/reliability.md")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """`pytest` and `pytest tests` leave this folder out."""
    named = [Path(str(name).split("::")[0]).resolve() for name in config.args]
    return None if any(place == HERE or HERE in place.parents for place in named) else True


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bundles/acdc with a tiny network and random weights: a mask takes a fraction of a second. Read only."""
    import tiny_bundles

    return tiny_bundles.make("acdc", tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def packed_once(small_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small bundle, packed, with its zip beside it. Read only."""
    from pipeline.packaging import package

    return package(small_bundle, tmp_path_factory.mktemp("packed"), make_zip=True).folder


@pytest.fixture
def packed(packed_once: Path, tmp_path: Path) -> Path:
    """The small packed bundle, to be spoilt."""
    return shutil.copytree(packed_once, tmp_path / packed_once.name)


@pytest.fixture(scope="session")
def small_list(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with two good cases, and their list. Read only."""
    from dirty_set import Case
    from preflight_set import LABELS

    root = tmp_path_factory.mktemp("lists")
    return root, {"name": "small", "labels": LABELS, "training": [Case(root, name).item for name in "ab"]}
