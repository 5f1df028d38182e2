"""Which cases an input holds, and one line for each way in which a file can be broken."""

from __future__ import annotations

import gzip
import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_files import acdc_like, dicom_series, itk_image, oblique_affine
from PIL import Image

from pipeline.errors import DataError
from pipeline.segmentation.intake import find_cases, inspect, pending
from pipeline.segmentation.manifest import add_run
from pipeline.volumes import nifti
from pipeline.volumes.dicom import read_series
from pipeline.volumes.sizes import claimed_size

VOXELS = np.random.default_rng(0).integers(0, 900, (16, 15, 4)).astype(np.int16)


def good(path: Path) -> bytes:
    return acdc_like(path, VOXELS).read_bytes()


def truncated(path: Path) -> None:
    path.write_bytes(good(path)[:-400])


def without_trailer(path: Path) -> None:
    path.write_bytes(good(path)[:-8])


def wrong_checksum(path: Path) -> None:
    path.write_bytes(good(path)[:-8] + bytes(4) + good(path)[-4:])


def web_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><title>404</title>")


def packed_text(path: Path) -> None:
    path.write_bytes(gzip.compress(b"no image at all" * 50))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def packed_but_short(path: Path) -> None:
    path.write_bytes(gzip.compress(gzip.decompress(good(path))[:2000]))


def not_a_number(path: Path) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 3] = np.nan
    voxels[0, 0, 0] = np.inf
    acdc_like(path, voxels)


def constant(path: Path) -> None:
    acdc_like(path, np.full((16, 15, 4), 7, np.int16))


def beyond_float32(path: Path) -> None:
    voxels = VOXELS.astype(np.float64)
    voxels[0, 0, 0] = 1e300
    acdc_like(path, voxels)


def metres(path: Path) -> None:
    acdc_like(path, VOXELS, spacing=(0.0015, 0.00125, 0.01))


def micrometres(path: Path) -> None:
    acdc_like(path, VOXELS, spacing=(1500, 1250, 10000))


def zero_spacing(path: Path) -> None:
    content = bytearray(gzip.decompress(good(path)))
    content[88:92] = struct.pack("<f", 0)
    path.write_bytes(gzip.compress(bytes(content)))


def five_axes(path: Path) -> None:
    nib.Nifti1Image(np.zeros((4, 4, 3, 2, 2), np.int16), np.eye(4)).to_filename(path)


def one_line(path: Path) -> None:
    nib.Nifti1Image(np.arange(9, dtype=np.int16).reshape(9, 1, 1), np.eye(4)).to_filename(path)


def colour(path: Path) -> None:
    rgb = np.zeros((4, 4, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.Nifti1Image(rgb, np.eye(4)).to_filename(path)


@pytest.mark.parametrize(("spoil", "found"), [
    (truncated, "found a truncated one"),
    (without_trailer, "found a truncated one"),
    (packed_but_short, "found a truncated one"),
    (wrong_checksum, "CRC check failed"),
    (web_page, "found a web page or XML"),
    (packed_text, "found one that is not"),
    (empty, "found an empty file"),
    (not_a_number, "found 2 voxels that are NaN or infinite"),
    (constant, "found the value 7 everywhere"),
    (zero_spacing, "found 1.5 x 1.25 x 0"),
    (beyond_float32, "values that float32 can hold, found 0 to 1e+300"),
    (metres, "voxels of 0.01 to 50 mm, found 0.0015 x 0.00125 x 0.01 mm. Look whether the header counts in metres"),
    (micrometres, "voxels of 0.01 to 50 mm, found 1500 x 1250 x 10000 mm"),
    (five_axes, "shape 4 x 4 x 3 x 2 x 2"),
    (one_line, "at least two voxels"),
    (colour, "found colour voxels"),
])  # fmt: skip
def test_broken_nifti(tmp_path: Path, spoil: Callable[[Path], None], found: str) -> None:
    path = tmp_path / "image.nii.gz"
    spoil(path)
    with pytest.raises(DataError) as caught:
        inspect(path)
    assert found in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_broken_metaimage_and_folder(tmp_path: Path) -> None:
    path = tmp_path / "image.mha"
    SimpleITK.WriteImage(itk_image(VOXELS, oblique_affine()), str(path))
    assert inspect(path).shape == (16, 15, 4)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError) as caught:
        inspect(path)
    assert "\n" not in str(caught.value)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.ones((4, 5, 6, 3), np.uint8), isVector=True), str(path))
    with pytest.raises(DataError, match="colour voxels"):
        inspect(path)
    with pytest.raises(DataError, match="nothing of that name"):
        inspect(tmp_path / "absent.nii.gz")


@pytest.mark.parametrize(("size", "shape", "frames"), [
    ((16, 15, 4), (16, 15, 4), 1),
    ((16, 15, 4, 1), (16, 15, 4), 1),
    ((16, 15), (16, 15), 1),
    ((16, 15, 4, 3), (16, 15, 4, 3), 3),
    ((16, 15, 1, 3), (16, 15, 1, 3), 3),
])  # fmt: skip
def test_good_volumes(tmp_path: Path, size: tuple[int, ...], shape: tuple[int, ...], frames: int) -> None:
    voxels = np.random.default_rng(0).normal(size=size).astype(np.float32)
    path = acdc_like(tmp_path / "image.nii.gz", voxels, spacing=(1.5, 1.25, 10.0))
    info = inspect(path)
    assert (info.shape, info.frames, info.is_cine) == (shape, frames, frames > 1)
    assert info.spacing == pytest.approx((1.5, 1.25, 10.0 if len(size) > 2 else 1.0))


def names(cases: list[dict[str, str]]) -> list[str]:
    return [case["case"] for case in cases]


def test_cases_of_files_folders_and_series(tmp_path: Path) -> None:
    good(tmp_path / "a.nii.gz")
    good(tmp_path / ".hidden.nii.gz")
    SimpleITK.WriteImage(itk_image(VOXELS, np.eye(4)), str(tmp_path / "b.mha"))
    series = dicom_series(tmp_path / "scans" / "heart", VOXELS, np.eye(4))
    assert names(find_cases(tmp_path / "a.nii.gz")) == ["a"]
    assert find_cases(series) == [{"image": str(series), "case": "heart"}]
    assert sorted(names(find_cases(tmp_path))) == ["a", "b", "scans_heart"]
    assert names(find_cases([tmp_path / "a.nii.gz", series, tmp_path / "a.nii.gz"])) == ["a", "heart"]


def test_channels_of_a_case_are_joined_where_the_network_takes_as_many(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("p1_0001", "p1_0000", "sub/p2_0000", "sub/p2_0001", "p3_0000", "p4_0000", "p4_0001", "p4_0002", "p5"):
        good(tmp_path / f"{name}.nii.gz")
    found = {case["case"]: case["image"] for case in find_cases(tmp_path, channels=2)}
    assert found["p1"] == [str(tmp_path / f"p1_000{n}.nii.gz") for n in (0, 1)]
    assert found["p2"] == [str(tmp_path / f"sub/p2_000{n}.nii.gz") for n in (0, 1)]
    assert set(found) == {"p1", "p2", "p3_0000", "p4_0000", "p4_0001", "p4_0002", "p5"}
    assert "p4" in names(find_cases(tmp_path, channels=3))
    assert len(find_cases(tmp_path)) == 9, "numbered scans of one channel are scans of their own"


def without_pixels(path: Path, kind: str) -> None:
    """A DICOM file of explicit little-endian elements, whose class of object is `kind`, without an image."""

    def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HH", group, number) + vr + struct.pack("<H", len(value)) + value

    uid = kind.encode()
    meta = element(2, 2, b"UI", uid) + element(2, 3, b"UI", b"1.2.9") + element(2, 16, b"UI", b"1.2.840.10008.1.2.1")
    body = element(8, 22, b"UI", uid) + element(8, 24, b"UI", b"1.2.9") + element(32, 14, b"UI", b"1.2.3.99")
    path.write_bytes(b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + body)


def test_a_disc_with_a_directory_file_holds_its_series(tmp_path: Path) -> None:
    dicom_series(tmp_path / "DICOM" / "S1", VOXELS, np.eye(4))
    without_pixels(tmp_path / "DICOMDIR", "1.2.840.10008.1.3.10")
    assert names(find_cases(tmp_path)) == ["DICOM_S1"]


@pytest.mark.parametrize("kind", ["88.11", "11.1", "104.1", "66", "481.3"])
def test_what_has_no_pixels_does_not_spoil_a_series(tmp_path: Path, kind: str) -> None:
    series = dicom_series(tmp_path / "S1", VOXELS, np.eye(4))
    expected = SimpleITK.GetArrayFromImage(read_series(series))
    without_pixels(series / "0.dcm", f"1.2.840.10008.5.1.4.1.1.{kind}")
    assert np.array_equal(SimpleITK.GetArrayFromImage(read_series(series)), expected)
    assert claimed_size(series).shape == VOXELS.shape
    assert inspect(series).shape == VOXELS.shape


def test_a_series_hides_nothing_that_lies_beside_or_below_it(tmp_path: Path) -> None:
    dicom_series(tmp_path / "mixed", VOXELS, np.eye(4))
    dicom_series(tmp_path / "mixed" / "sub", VOXELS, np.eye(4), uid="1.2.3.2")
    good(tmp_path / "mixed" / "heart.nii.gz")
    Image.fromarray(VOXELS[:, :, 0].astype(np.uint8)).save(tmp_path / "mixed" / "thumbnail.jpg")
    assert names(find_cases(tmp_path / "mixed")) == ["mixed", "sub", "heart"]


def test_series_below_a_linked_folder_are_found(tmp_path: Path) -> None:
    dicom_series(tmp_path / "study" / "S1", VOXELS, np.eye(4))
    good(tmp_path / "study" / "heart.nii.gz")
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "patient").symlink_to(tmp_path / "study")
    assert names(find_cases(tmp_path / "all")) == ["patient_S1", "heart"]


def test_results_of_earlier_calls_below_a_folder_are_no_input(tmp_path: Path) -> None:
    good(tmp_path / "heart.nii.gz")
    for name in ("first", "foreign"):
        (tmp_path / name).mkdir()
        good(tmp_path / name / "heart.nii.gz")
    add_run(tmp_path / "first", {"cases": []})
    (tmp_path / "foreign" / "manifest.json").write_text('{"name": "a web app"}')
    assert names(find_cases(tmp_path)) == ["foreign_heart", "heart"]
    assert names(find_cases(tmp_path / "first")) == ["heart"]


def test_a_datalist_that_is_not_used_is_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good(tmp_path / "a.nii.gz")
    (tmp_path / "datalist.json").write_text("{}")
    assert names(find_cases(tmp_path)) == ["a"]
    assert "datalist.json is not used: name it" in caplog.text


def test_masks_of_an_earlier_call_are_no_input(tmp_path: Path) -> None:
    good(tmp_path / "a.nii.gz")
    (tmp_path / "out").mkdir()
    good(tmp_path / "out" / "a.nii.gz")
    assert [case["image"] for case in find_cases(tmp_path, exclude=tmp_path / "out")] == [str(tmp_path / "a.nii.gz")]
    assert names(find_cases(tmp_path / "out", exclude=tmp_path)) == ["a"]  # the output may be the input's parent
    with pytest.raises(DataError, match="outside the output folder"):
        find_cases(tmp_path, exclude=tmp_path)


def test_masks_of_an_earlier_call_do_not_change_the_names_of_cases(tmp_path: Path) -> None:
    for folder in ("monday", "tuesday", "out"):
        (tmp_path / folder).mkdir()
    good(tmp_path / "monday" / "heart.nii.gz")
    good(tmp_path / "tuesday" / "heart.nii.gz")
    first = find_cases(tmp_path, exclude=tmp_path / "out")
    for case in first:
        good(tmp_path / "out" / f"{case['case']}.nii.gz")
    assert find_cases(tmp_path, exclude=tmp_path / "out") == first
    assert names(first) == ["monday_heart", "tuesday_heart"]


def test_what_may_not_be_read_costs_no_other_case(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in ("closed", "open"):
        (tmp_path / folder).mkdir()
        good(tmp_path / folder / "a.nii.gz")
    good(tmp_path / "b.nii.gz")
    series = dicom_series(tmp_path / "heart", VOXELS, np.eye(4))
    last = max(series.iterdir())
    for path in (tmp_path / "closed", tmp_path / "b.nii.gz", last):
        path.chmod(0)
    if os.access(last, os.R_OK):
        pytest.skip("root may read every file")
    assert sorted(names(find_cases(tmp_path))) == ["a", "b", "heart"]
    assert f"{tmp_path / 'closed'} cannot be read and is left out" in caplog.text
    with pytest.raises(DataError, match=f"1 that may not be read, such as {last.name}"):
        read_series(series)
    (tmp_path / "closed").chmod(0o700)


def test_every_bad_input_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        find_cases([tmp_path / "absent", tmp_path / "empty"])
    assert len(caught.value.problems) == 2
    with pytest.raises(DataError, match="Name at least one"):
        find_cases([])


def test_one_name_twice(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        good(tmp_path / folder / "a.nii.gz")
    with pytest.raises(DataError, match="one image of this name"):
        find_cases([tmp_path / "one", tmp_path / "two"])
    assert sorted(names(find_cases(tmp_path))) == ["one_a", "two_a"]


def test_pending_leaves_out_what_is_there_broken_or_a_cine_and_says_why(tmp_path, caplog):
    good = acdc_like(tmp_path / "good.nii.gz", np.arange(60, dtype=np.int16).reshape(5, 4, 3))
    done = acdc_like(tmp_path / "done.nii.gz", np.arange(60, dtype=np.int16).reshape(5, 4, 3))
    cine = acdc_like(tmp_path / "cine.nii.gz", np.arange(120, dtype=np.int16).reshape(5, 4, 3, 2))
    page = tmp_path / "page.nii.gz"
    page.write_text("<html></html>")
    out = tmp_path / "out"
    out.mkdir()
    (out / "done.nii.gz").write_bytes(b"mask")
    cases = [{"image": str(path), "case": path.name.removesuffix(".nii.gz")} for path in (good, done, cine, page)]
    with caplog.at_level("INFO", logger="pipeline"):
        assert [item["case"] for item in pending(cases, out)] == ["good"]
    told = caplog.text
    assert "done: exists" in told
    assert "volseg segment" in told
    assert "page.nii.gz" in told
    assert [item["case"] for item in pending(cases, out, overwrite=True)] == ["good", "done"]


def test_channels_and_slices(tmp_path: Path) -> None:
    first, second = (acdc_like(tmp_path / f"{name}.nii.gz", VOXELS) for name in ("one", "two"))
    info = inspect([first, second], index=1)
    assert (info.shape, info.has_geometry) == ((16, 15, 1), True)
    Image.fromarray(VOXELS[..., 0].T.astype(np.uint8)).save(tmp_path / "a.png")
    info = inspect(tmp_path / "a.png")
    assert (info.shape, info.spacing, info.frames, info.has_geometry) == ((16, 15, 1), (1, 1, 1), 1, False)
    cine = acdc_like(tmp_path / "cine.nii.gz", np.stack([VOXELS] * 3, axis=-1))
    assert not inspect(cine, channels=3).is_cine
    with pytest.raises(DataError, match="a volume with a slice 4, counted from 0, found shape 16 x 15 x 4"):
        inspect(first, index=4)
    with pytest.raises(DataError, match=r"cine\.nii\.gz: expected channels without time, found 3 time frames"):
        inspect([cine, cine])


@pytest.mark.parametrize("part", [2**21, 50])
def test_only_the_slice_must_have_contrast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    monkeypatch.setattr(nifti, "PART", part)
    voxels = np.full((16, 15, 4), 3, np.int16)
    voxels[..., 2] = VOXELS[..., 2]
    image = acdc_like(tmp_path / "a.nii.gz", voxels)
    inspect(image)
    inspect(image, index=2)
    for index in (0, 1, 3):
        with pytest.raises(DataError, match="the value 3 everywhere"):
            inspect(image, index=index)
    colour = np.zeros((5, 6, 3), np.uint8)
    colour[2, 3, 0] = 9
    Image.fromarray(colour).save(tmp_path / "red.png")
    assert inspect(tmp_path / "red.png").shape == (6, 5, 1)


@pytest.mark.parametrize(("other", "found"), [
    ("b.mha", r"b\.mha: expected a file of the same kind as a\.nii\.gz"),
    ("b.png", r"b\.png: expected a file of the same kind as a\.nii\.gz"),
    ("short.nii.gz", r"the shape 16 x 15 x 4 of a\.nii\.gz, found 16 x 15 x 3"),
    ("far.nii.gz", r"the grid of a\.nii\.gz, found one up to 4\.00 mm away"),
    ("absent.nii.gz", "nothing of that name"),
])  # fmt: skip
def test_channels_that_do_not_fit(tmp_path: Path, other: str, found: str) -> None:
    image = acdc_like(tmp_path / "a.nii.gz", VOXELS)
    SimpleITK.WriteImage(itk_image(VOXELS, np.diag([-1.5, -1.25, 10, 1])), str(tmp_path / "b.mha"))
    Image.fromarray(VOXELS[..., 0].T.astype(np.uint8)).save(tmp_path / "b.png")
    acdc_like(tmp_path / "short.nii.gz", VOXELS[..., :3])
    acdc_like(tmp_path / "far.nii.gz", VOXELS, spacing=(1.5, 1.25, 9.0))
    with pytest.raises(DataError, match=found) as caught:
        inspect([image, tmp_path / other])
    assert len(caught.value.problems) == 1


def test_memory_of_a_big_compressed_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of a whole-body CT takes one part of it in memory, whatever its size."""
    monkeypatch.setattr(nifti, "PART", 2**20)
    voxels = np.zeros((256, 256, 400), np.int16)
    voxels[::7, ::5] = 900
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    image.to_filename(tmp_path / "big.nii.gz")
    tracemalloc.start()
    inspect(tmp_path / "big.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * nifti.PART < voxels.nbytes * 1.3


def test_datalists_are_input(tmp_path: Path) -> None:
    good(tmp_path / "a.nii.gz")
    good(tmp_path / "b.nii.gz")
    items = [
        {"image": "a.nii.gz", "label": "b.nii.gz", "case": "x", "slice": 0, "fold": 1, "patient": "p"},
        {"image": "a.nii.gz", "label": "b.nii.gz", "case": "y", "slice": 1, "structures": {"RV": [2]}},
        {"image": ["a.nii.gz", "b.nii.gz"], "label": "b.nii.gz", "case": "z"},
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": items}))
    path = str(tmp_path / "a.nii.gz")
    assert find_cases(tmp_path / "list.json") == [
        {"image": path, "case": "x", "slice": 0, "patient": "p"},
        {"image": path, "case": "y", "slice": 1},
        {"image": [path, str(tmp_path / "b.nii.gz")], "case": "z"},
    ]
    (tmp_path / "list.json").write_text(json.dumps({"training": items, "testing": [{"image": "b.nii.gz"}]}))
    assert names(find_cases(tmp_path / "list.json")) == ["b"]
    assert names(pending(find_cases(tmp_path / "list.json"), tmp_path / "out")) == ["b"]
    (tmp_path / "list.json").write_text(json.dumps({"training": [{"image": "c.nii.gz", "label": "c.nii.gz"}]}))
    with pytest.raises(DataError, match=r"Put list\.json into the folder that its paths start from"):
        find_cases(tmp_path / "list.json")
