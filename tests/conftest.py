"""What many tests start from: the real ACDC folder where there is one, and a small set of phantoms."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXCEPTHOOK = sys.excepthook
HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}


@pytest.fixture(autouse=True)
def signals_of_pytest() -> Iterator[None]:
    """What a command of a bundle, run within pytest's process, does with signals does not outlive it.

    Its watching thread would end pytest ten seconds after a later test's SIGTERM to itself.
    """
    _restore()
    yield
    _restore()


def _restore() -> None:
    sys.excepthook = EXCEPTHOOK
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)
    signal.set_wakeup_fd(-1)


@pytest.fixture(scope="session")
def acdc_root() -> Path:
    """The real ACDC folder (the one that holds training/), named by the environment variable VOLSEG_ACDC."""
    root = os.environ.get("VOLSEG_ACDC", "")
    if not (Path(root) / "training").is_dir() or not root:
        pytest.skip(
            f"no ACDC data set in {root or 'VOLSEG_ACDC'}; name its folder by the environment variable VOLSEG_ACDC"
        )
    return Path(root)


@pytest.fixture(scope="session")
def covid_root() -> Path:
    """The real COVID-SemiSeg folder (the one that holds Dataset/), named by the environment variable VOLSEG_COVID."""
    root = os.environ.get("VOLSEG_COVID", "")
    if not (Path(root) / "Dataset").is_dir() or not root:
        pytest.skip(f"no COVID-SemiSeg data set in {root or 'VOLSEG_COVID'}; name its folder by VOLSEG_COVID")
    return Path(root)


@pytest.fixture(scope="session")
def phantom_acdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six small phantom patients in ACDC's layout and their list, datalist.json. Read only."""
    from pipeline.phantoms.acdc import write

    root = tmp_path_factory.mktemp("phantoms") / "acdc"
    write(root, patients=6, seed=0, size="small")
    return root


@pytest.fixture(scope="session")
def phantom_covid19(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with six small chest phantoms in COVID-19-CT-Seg's layout: HU and 8-bit ones. Read only."""
    from pipeline.phantoms.covid19 import write

    root = tmp_path_factory.mktemp("phantoms") / "covid19"
    write(root, layout="covid-19-ct-seg", patients=6, seed=0, size="small")
    return root


@pytest.fixture(scope="session")
def phantom_covid19_slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ten small phantom slices in COVID-SemiSeg's layout: JPG images, PNG masks. Read only."""
    from pipeline.phantoms.covid19 import write

    root = tmp_path_factory.mktemp("phantoms") / "covid19_slices"
    write(root, layout="covid-semiseg", patients=10, seed=0, size="small")
    return root
