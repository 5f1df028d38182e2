"""Files that hang or crash whoever reads them, looked at by a process that may be lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from image_files import acdc_like
from threshold_bundle import EXPECTED, VALUES

from pipeline.errors import DataError
from pipeline.segmentation.inspection import ImageInfo
from pipeline.segmentation.look import Look, look
from pipeline.segmentation.looker import Looker, TimedOutError, borrow, give_back
from pipeline.volumes import write_mask

HANGS = """ObjectType = Image
NDims = 3
DimSize = 10 10 10
ElementType = MET_SHORT
ElementSpacing = 1 1 1
ElementByteOrderMSB = False
ElementDataFile = voxels.raw
"""


def image_that_hangs(path: Path) -> Path:
    """A MetaImage whose voxels lie in a pipe that nobody writes to: opening it never returns."""
    os.mkfifo(path.with_name("voxels.raw"))
    path.write_text(HANGS)
    return path


@pytest.fixture
def looker() -> Iterator[Looker]:
    looker = Looker()
    yield looker
    looker.close()


def test_it_tells_what_looking_here_tells(tmp_path: Path, looker: Looker) -> None:
    image = str(acdc_like(tmp_path / "a.nii.gz", VALUES))
    seen = looker(image)
    assert seen.info == look(image).info == ImageInfo((6, 5, 4), (1.5, 1.25, 10.0))
    assert seen.seconds > 0
    with pytest.raises(DataError) as here:
        look(str(tmp_path / "b.nii.gz"))
    with pytest.raises(DataError) as there:
        looker(str(tmp_path / "b.nii.gz"))
    assert str(there.value) == str(here.value)


def test_a_name_of_any_kind_reaches_it(tmp_path: Path, looker: Looker) -> None:
    for name in ("zwei Wörter\n.nii.gz", "; rm -rf $HOME `id`.nii.gz"):
        assert looker(str(acdc_like(tmp_path / name, VALUES))).info is not None


def test_a_file_that_hangs_is_given_up_and_the_next_one_is_read(tmp_path: Path, looker: Looker) -> None:
    start = time.monotonic()
    with pytest.raises(TimedOutError, match=r"reading it took longer than 0.5 s"):
        looker(str(image_that_hangs(tmp_path / "a.mhd")), timeout=0.5)
    assert time.monotonic() - start < 10
    assert looker(str(acdc_like(tmp_path / "b.nii.gz", VALUES))).info is not None


def test_a_file_that_ends_its_reader_is_named(tmp_path: Path, looker: Looker) -> None:
    os.kill(looker._process.pid, signal.SIGSTOP)  # it dies at its work
    image = str(acdc_like(tmp_path / "a.nii.gz", VALUES))
    looker.start = lambda: os.kill(looker._process.pid, signal.SIGKILL)
    with pytest.raises(DataError, match="ended the process which read it") as caught:
        looker(image)
    assert caught.value.problems[0].file == image
    del looker.start
    assert looker(image).info is not None


def test_one_process_serves_many_calls() -> None:
    first = borrow()
    other = borrow()
    assert other is not first
    give_back(first)
    assert borrow() is first
    give_back(first)
    give_back(other)
    assert other._process is None


def test_one_that_is_still_at_work_is_not_kept(tmp_path: Path) -> None:
    looker = borrow()
    image_that_hangs(tmp_path / "a.mhd")
    looker._answer = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        looker(str(tmp_path / "a.mhd"))
    give_back(looker)
    again = borrow()
    assert again is not looker
    give_back(again)


def test_a_mask_that_is_there(tmp_path: Path) -> None:
    image = str(acdc_like(tmp_path / "a.nii.gz", VALUES))
    mask = write_mask(EXPECTED, image, tmp_path / "mask.nii.gz")
    assert look(image, mask=str(mask)) == Look(None)
    whole = mask.read_bytes()
    for damaged in (whole[:-20], whole[: len(whole) // 2], b"", whole[:-8] + bytes(4) + whole[-4:]):
        mask.write_bytes(damaged)
        seen = look(image, mask=str(mask))
        assert seen.info is not None
        assert seen.damage
    mask.unlink()
    write_mask(EXPECTED[:, :, :2], acdc_like(tmp_path / "b.nii.gz", VALUES[:, :, :2]), mask)
    with pytest.raises(DataError, match="a mask of the image's shape 6 x 5 x 4, found one of 6 x 5 x 2"):
        look(image, mask=str(mask))
    assert look(image, index=2, mask=str(write_one_slice(tmp_path, image))) == Look(None)


def write_one_slice(folder: Path, image: str) -> Path:
    return write_mask(np.zeros((6, 5, 1), np.uint8), image, folder / "slice.nii.gz", index=2)


def test_a_whole_mask_of_a_broken_image_is_kept(tmp_path: Path) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", VALUES)
    mask = write_mask(EXPECTED, image, tmp_path / "mask.nii.gz")
    image.write_bytes(b"")
    assert look(str(image), mask=str(mask)) == Look(None)


def test_a_relative_name_is_one_of_the_folder_where_it_is_asked_for(
    tmp_path: Path, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, depth in (("one", 4), ("two", 3)):
        (tmp_path / folder).mkdir()
        acdc_like(tmp_path / folder / "a.nii.gz", VALUES[..., :depth])
        monkeypatch.chdir(tmp_path / folder)
        assert looker("a.nii.gz").info.shape == (6, 5, depth)
