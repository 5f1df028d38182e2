"""Bytes of a small NIfTI file changed at random: the outcome is a problem in one line, or what the bytes really say."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from preflight_set import affine, save

from pipeline.errors import DataError
from pipeline.preflight.scan import Job, scan
from pipeline.segmentation.inspection import inspect
from pipeline.volumes import grid
from pipeline.volumes.nifti import read_nifti

SHAPE = (5, 4, 3)
HEADER = 348
# the standard's datatype codes of one real number per voxel
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
_FIELDS = """sizeof_hdr 0 i, axes 40 h, x 42 h, y 44 h, z 46 h, t 48 h, datatype 70 h, bitpix 72 h, pixdim0 76 f,
dx 80 f, dy 84 f, offset 108 f, slope 112 f, inter 116 f, qform 252 h,
sform 254 h, quatern 256 f, srow 280 f, magic 344 i"""
# offset and form of what decides how voxels are read
FIELDS = {name: (int(at), f"<{form}") for name, at, form in (entry.split() for entry in _FIELDS.split(","))}
ODD = [0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 64, 128, 255, 256, 348, 352, 512, 540, 1792, 2304, 32767, -32768]
FLOATS = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 1e-38, -1.0, 1e30, 352.0, 356.0, 100.0, 1e9]
COUNT = settings(
    max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
edits = st.one_of(
    st.tuples(st.just("byte"), st.integers(0, HEADER + 4 + 120 - 1), st.integers(0, 255)),
    st.tuples(st.just("field"), st.sampled_from(sorted(FIELDS)), st.sampled_from(ODD + FLOATS)),
    st.tuples(st.just("field"), st.sampled_from(sorted(FIELDS)), st.integers(-(2**15), 2**15 - 1)),
    st.tuples(st.just("end"), st.integers(0, 500), st.just(0)),
)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> bytes:
    """A good file: 5 x 4 x 3, int16, with a slope."""
    path = tmp_path_factory.mktemp("fuzz") / "base.nii"
    voxels = np.random.default_rng(3).integers(-500, 900, SHAPE).astype(np.int16)
    save(path, voxels, affine())
    content = bytearray(path.read_bytes())
    struct.pack_into("<2f", content, 112, 2.0, -3.0)
    return bytes(content)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


def edited(content: bytes, changes: list[tuple]) -> bytes:
    whole = bytearray(content)
    for kind, place, value in changes:
        if kind == "byte" and place < len(whole):
            whole[place] = value
        elif kind == "end":
            del whole[len(whole) - min(place, len(whole)) :]
        elif kind == "field" and len(whole) >= HEADER:
            offset, form = FIELDS[place]
            if form == "<f":
                struct.pack_into(form, whole, offset, value)
            elif value == value and abs(value) < 2**15:
                struct.pack_into(form, whole, offset, int(value))
    return bytes(whole)


def order_of(content: bytes) -> str:
    """The byte order: that in which the number of axes is one."""
    return "<" if 1 <= struct.unpack_from("<h", content, 40)[0] <= 7 else ">"


def by_hand(content: bytes) -> np.ndarray | None:
    """The voxels as the standard says, read with struct and numpy alone; None for what it does not cover.

    A slope of zero or one that is no number means no scale, as nibabel has it; voxels are compared in float32. Voxels
    that would begin within the header begin after it.
    """
    order = order_of(content)
    sizes = struct.unpack_from(f"{order}8h", content, 40)
    code = struct.unpack_from(f"{order}h", content, 70)[0]
    offset, slope, inter = struct.unpack_from(f"{order}3f", content, 108)
    if code not in TYPES or not 1 <= sizes[0] <= 7:
        return None
    shape = sizes[1 : sizes[0] + 1]
    dtype = np.dtype(order + TYPES[code])
    count = int(np.prod(shape, dtype=object))
    start = max(int(offset), 0)
    start = 352 if 0 <= start < 352 else start
    stored = np.frombuffer(content[start : start + count * dtype.itemsize], dtype)
    if stored.size < count:
        return None
    with np.errstate(all="ignore"):
        if not (np.isfinite(slope) and slope != 0):
            slope, inter = 1.0, 0.0
        if (slope, inter) != (1, 0):
            stored = stored.astype(np.float64) * slope + inter
        return stored.reshape(shape, order="F").astype(np.float32)


def outcome(path: Path) -> np.ndarray | None:
    """The voxels where the file is taken, None where it is refused; anything else fails."""
    found = scan(Job(str(path)))
    assert all("\n" not in str(problem) for problem in found.problems)
    try:
        info = inspect(path)
        voxels = read_nifti(path)
        spacing = grid.spacing(path)
    except DataError as refused:
        told = str(refused).splitlines()
    else:
        told = []
    if told:
        assert len(told) == 1
        return None
    assert all(np.isfinite(spacing))
    assert min(spacing) > 0
    assert np.isfinite(voxels).all()
    assert voxels.min() < voxels.max()
    assert not found.problems, "what segment takes, check must not refuse for its voxels"
    assert (*info.shape, 1)[:3] == (*voxels.shape, 1)[:3]
    return voxels


def test_offset_zero(base, folder):
    """The standard takes it for voxels that follow the header, nibabel for the header, ITK for four bytes too early."""
    (folder / "zero.nii").write_bytes(edited(base, [("field", "offset", 0)]))
    assert outcome(folder / "zero.nii") is None


@pytest.mark.timeout(300)
@COUNT
@given(st.lists(edits, min_size=1, max_size=4))
@example([("field", "offset", 356.0)])
@example([("field", "offset", 0.0)])
@example([("field", "datatype", 2), ("field", "bitpix", 8)])
@example([("field", "z", 2)])
@example([("field", "axes", 2)])
@example([("field", "slope", float("nan"))])
def test_unpacked(base, folder, changes):
    """Header, voxels and length of a .nii."""
    content = edited(base, changes)
    path = folder / "x.nii"
    path.write_bytes(content)
    voxels = outcome(path)
    if voxels is not None:
        expected = by_hand(content)
        assert expected is not None, "taken, although the standard does not say what it holds"
        np.testing.assert_array_equal(voxels.astype(np.float32).reshape(expected.shape), expected)


@pytest.mark.timeout(300)
@COUNT
@given(st.lists(edits, min_size=1, max_size=3))
def test_packed_afterwards(base, folder, changes):
    """The same in a .nii.gz that is whole."""
    content = edited(base, changes)
    path = folder / "y.nii.gz"
    path.write_bytes(gzip.compress(content, 1))
    voxels = outcome(path)
    if voxels is not None:
        expected = by_hand(content)
        assert expected is not None
        np.testing.assert_array_equal(voxels.astype(np.float32).reshape(expected.shape), expected)


@pytest.mark.timeout(300)
@COUNT
@given(place=st.integers(0, 10_000), value=st.integers(1, 255), cut=st.sampled_from([0, 0, 0, 1, 4, 8, 50]))
def test_damaged_stream(base, folder, place, value, cut):
    """One byte of the packed stream changed, or its end missing: refused, or nothing was changed that counts."""
    packed = bytearray(gzip.compress(base, 6, mtime=0))
    packed[place % len(packed)] ^= value
    path = folder / "z.nii.gz"
    path.write_bytes(bytes(packed[: len(packed) - cut]))
    voxels = outcome(path)
    if voxels is not None:
        np.testing.assert_array_equal(voxels, by_hand(base))


def test_the_good_file_is_taken(base, folder):
    """Otherwise the tests above would hold of a program that refuses everything."""
    (folder / "good.nii").write_bytes(base)
    voxels = outcome(folder / "good.nii")
    assert voxels is not None
    np.testing.assert_array_equal(voxels, by_hand(base))
