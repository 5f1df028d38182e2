"""One broken file for each fault: named with file, expected, found and remedy, and nothing else is said."""

from __future__ import annotations

import gzip
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_files import itk_image
from PIL import Image
from preflight_set import affine, checked, edit_header, good_set, image_of, label_of, save

from pipeline.preflight import check

BOTH, FULL = ("fast", "full"), ("full",)
Spoil = Callable[[Path, dict[str, Any]], None]


@dataclass
class Row:
    """A fault and what is said of it: the file's name, then a part of each text."""

    spoil: Spoil
    check: str
    file: str
    expected: str
    found: str
    remedy: str
    cases: tuple[str, ...] = ("c",)
    levels: tuple[str, ...] = BOTH


def image(root: Path) -> Path:
    return root / "images" / "c.nii.gz"


def label(root: Path) -> Path:
    return root / "labels" / "c.nii.gz"


def write(place: Callable[[Path], Path], content: Callable[[bytes], bytes]) -> Spoil:
    def spoil(root: Path, datalist: dict[str, Any]) -> None:
        path = place(root)
        path.write_bytes(content(path.read_bytes()))

    return spoil


def voxels(place: Callable[[Path], Path], change: Callable[[np.ndarray], np.ndarray], **options: Any) -> Spoil:
    def spoil(root: Path, datalist: dict[str, Any]) -> None:
        whole = image_of("c") if place is image else label_of("c")
        save(place(root), change(whole), **options)

    return spoil


def header(place: Callable[[Path], Path], offset: int, form: str, *values: float) -> Spoil:
    def spoil(root: Path, datalist: dict[str, Any]) -> None:
        edit_header(place(root), lambda content: struct.pack_into(form, content, offset, *values))

    return spoil


def listed(**keys: Any) -> Spoil:
    def spoil(root: Path, datalist: dict[str, Any]) -> None:
        datalist["training"][2].update(keys)

    return spoil


def one_voxel(value: float, dtype: type = np.float32) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(dtype)
        array[6, 5, 2] = value
        return array

    return change


def flipped(content: bytes) -> bytes:
    """One byte of the stored checksum."""
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


def sheared() -> np.ndarray:
    matrix = affine()
    matrix[:3, 1] += 0.2 * matrix[:3, 0]
    return matrix


def moved(distance: float) -> np.ndarray:
    matrix = affine()
    matrix[1, 3] += distance
    return matrix


def copied_to_another_fold(root: Path, datalist: dict[str, Any]) -> None:
    save(image(root), image_of("a"))


def both_sides(root: Path, datalist: dict[str, Any]) -> None:
    datalist["training"][2]["patient"] = "pa"
    datalist["training"][3]["patient"] = "pa"


def into_testing(root: Path, datalist: dict[str, Any]) -> None:
    item = datalist["training"].pop(5)
    datalist["testing"] = [{key: item[key] for key in ("image", "label", "case")} | {"patient": "pc"}]


def one_name(root: Path, datalist: dict[str, Any]) -> None:
    """Two images of one name in two folders, and a list that names no cases."""
    for item in datalist["training"]:
        del item["case"]
    folder = root / "more"
    folder.mkdir()
    os.rename(root / "images" / "d.nii.gz", folder / "c.nii.gz")
    datalist["training"][3]["image"] = "more/c.nii.gz"


def gone(root: Path, datalist: dict[str, Any]) -> None:
    label(root).unlink()


def big_metaimage(root: Path, datalist: dict[str, Any]) -> None:
    path = root / "images" / "c.mha"
    SimpleITK.WriteImage(itk_image(image_of("c"), affine()), str(path))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 12 11 5", b"DimSize = 50000 50000 50000"))
    image(root).unlink()
    datalist["training"][2]["image"] = "images/c.mha"


def second_channel(change: Callable[[Path], None]) -> Spoil:
    def spoil(root: Path, datalist: dict[str, Any]) -> None:
        for item in datalist["training"]:
            name = f"images/{item['case']}_2.nii.gz"
            save(root / name, image_of(item["case"])[::-1])
            item["image"] = [item["image"], name]
        change(root / "images" / "c_2.nii.gz")

    return spoil


def one_channel_less(root: Path, datalist: dict[str, Any]) -> None:
    second_channel(lambda path: None)(root, datalist)
    datalist["training"][2]["image"] = datalist["training"][2]["image"][0]
    (root / "images" / "c_2.nii.gz").unlink()


def jpeg_mask(root: Path, datalist: dict[str, Any]) -> None:
    for item in datalist["training"]:
        case = item["case"]
        item |= {"image": f"images/{case}.png", "label": f"labels/{case}.png"}
        Image.fromarray(image_of(case)[..., 0].astype(np.uint8)).save(root / item["image"])
        Image.fromarray(label_of(case)[..., 2]).save(root / item["label"])
        for folder in ("images", "labels"):
            (root / folder / f"{case}.nii.gz").unlink()
    (root / "labels" / "c.png").unlink()
    Image.fromarray(label_of("c")[..., 2] * 80).save(root / "labels" / "c.jpg")
    datalist["training"][2]["label"] = "labels/c.jpg"


ROWS = {
    "empty file": Row(
        write(image, lambda content: b""), "readable", "c.nii.gz", "an image", "an empty file", "Copy or download"
    ),
    "web page": Row(
        write(image, lambda content: b"<!DOCTYPE html>404"), "readable", "c.nii.gz", "gzip", "a web page", "download"
    ),
    "no gzip": Row(
        write(image, gzip.decompress), "readable", "c.nii.gz", "compressed by gzip", "another kind", "Copy"
    ),
    "text in gzip": Row(
        write(image, lambda content: gzip.compress(b"text" * 200)), "readable", "c.nii.gz", "image", "is not", "Copy"
    ),
    "truncated image": Row(
        write(image, lambda content: content[:-300]), "readable", "c.nii.gz", "complete", "truncated", "Copy"
    ),
    "truncated label": Row(
        write(label, lambda content: content[:-20]), "readable", "c.nii.gz", "complete", "truncated", "Copy"
    ),
    "fewer voxels than told": Row(
        write(image, lambda content: gzip.compress(gzip.decompress(content)[:-50])),
        *("readable", "c.nii.gz", "complete", "truncated", "Copy"),
    ),
    "checksum of an image": Row(
        write(image, flipped), "readable", "c.nii.gz", "undamaged gzip", "CRC", "Copy", levels=FULL
    ),
    "checksum of a label": Row(
        write(label, flipped), "readable", "c.nii.gz", "undamaged gzip", "CRC", "Copy", levels=FULL
    ),
    "header of 30000 x 30000 x 30000": Row(
        header(image, 42, "<3h", 30000, 30000, 30000),
        *("readable", "c.nii.gz", "can hold 30000 x 30000 x 30000 voxels", "a truncated one of", "Copy"),
    ),
    "MetaImage of 50000 x 50000 x 50000": Row(
        big_metaimage, "readable", "c.mha", "can hold 50000 x 50000 x 50000 voxels", "a truncated one of", "Copy"
    ),
    "zero spacing": Row(
        header(image, 80, "<f", 0), "readable", "c.nii.gz", "spacings above 0 mm", "0 x 1.25 x 8", "pixdim"
    ),
    "infinite spacing": Row(
        header(image, 80, "<f", float("inf")), "readable", "c.nii.gz", "spacings above 0", "inf x 1.25 x 8", "pixdim"
    ),
    "five axes": Row(
        voxels(image, lambda array: np.stack([np.stack([array] * 2, -1)] * 2, -1)),
        *("readable", "c.nii.gz", "three axes, or four with time", "shape 12 x 11 x 5 x 2 x 2", "Split"),
    ),
    "one line": Row(
        voxels(image, lambda array: array[:, :1, :1]),
        *("readable", "c.nii.gz", "two voxels along both", "shape 12 x 1 x 1", "export"),
    ),
    "label with time": Row(
        voxels(label, lambda array: np.stack([array] * 2, -1)),
        *("readable", "c.nii.gz", "a label map with three axes", "shape 12 x 11 x 5 x 2", "Split"),
    ),
    "complex voxels": Row(
        voxels(image, lambda array: array.astype(np.complex64)),
        *("readable", "c.nii.gz", "one real number", "complex64 voxels", "grey-scale"),
        levels=FULL,
    ),
    "colour voxels": Row(
        voxels(image, lambda array: np.zeros(array.shape, [(channel, "u1") for channel in "RGB"])),
        *("readable", "c.nii.gz", "one real number", "colour voxels", "grey-scale"),
        levels=FULL,
    ),
    "jpeg mask": Row(jpeg_mask, "readable", "c.jpg", "exact label numbers", "JPEG", "without loss", levels=FULL),
    "one NaN": Row(
        voxels(image, one_voxel(np.nan)),
        *("values", "c.nii.gz", "finite intensities", "1 voxels that are NaN or infinite", "Repair"),
        levels=FULL,
    ),
    "one infinity": Row(
        voxels(image, one_voxel(np.inf)),
        *("values", "c.nii.gz", "finite", "1 voxels that are NaN or infinite", "Repair"),
        levels=FULL,
    ),
    "constant image": Row(
        voxels(image, np.zeros_like),
        *("values", "c.nii.gz", "contrast", "the value 0 everywhere", "export"),
        levels=FULL,
    ),
    "sheared axes": Row(
        voxels(image, lambda array: array, matrix=sheared()),
        *("axes", "c.nii.gz", "three axes at right angles", "two axes at 7", "upright axes"),
    ),
    "affine without a third axis": Row(
        header(image, 280, "<12f", 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0),
        *("axes", "c.nii.gz", "right angles", "axes that span no volume", "affine"),
    ),
    "NaN in the affine": Row(
        header(image, 280, "<f", float("nan")),
        *("axes", "c.nii.gz", "right angles", "an affine with NaN", "affine"),
    ),
    "label of another shape": Row(
        voxels(label, lambda array: array[..., :4]),
        *("grid", "labels/c.nii.gz", "the shape 12 x 11 x 5 of", "12 x 11 x 4", "nearest neighbour"),
    ),
    "label transposed": Row(
        voxels(label, lambda array: array.swapaxes(0, 1)),
        *("grid", "labels/c.nii.gz", "the shape 12 x 11 x 5 of", "11 x 12 x 5", "nearest neighbour"),
    ),
    "label moved by 1.5 mm": Row(
        voxels(label, lambda array: array, matrix=moved(1.5)),
        *("grid", "labels/c.nii.gz", "the grid of", "corners up to 1.5 mm away", "image's header"),
    ),
    "label that lost pixdim": Row(
        header(label, 80, "<3f", 1, 1, 1),
        *("grid", "labels/c.nii.gz", "the grid of", "its affine, but pixdim 1 x 1 x 1 mm", "pixdim"),
    ),
    "channel of another grid": Row(
        second_channel(lambda path: save(path, image_of("c"), moved(3)) and None),
        *("grid", "c_2.nii.gz", "the grid of", "corners up to 3.0 mm away", "resample"),
    ),
    "channel that is missing": Row(
        one_channel_less, "channels", "c.nii.gz", "2 channels, as most cases have", "1", "all of its channels"
    ),
    "a cine among volumes": Row(
        voxels(image, lambda array: np.stack([array] * 3, -1)),
        *("channels", "c.nii.gz", "1 channel, as most cases have", "3", "split a series in time"),
    ),
    "label 7": Row(
        voxels(label, one_voxel(7, np.uint8)),
        *("labels", "labels/c.nii.gz", "only the labels 0, 1, 2, 3", "also 7", "Correct the mask"),
        levels=FULL,
    ),
    "negative label": Row(
        voxels(label, one_voxel(-1, np.int16)),
        *("labels", "labels/c.nii.gz", "label numbers from 0 to 255", "-1", "Correct the mask"),
        levels=FULL,
    ),
    "label 1000": Row(
        voxels(label, one_voxel(1000, np.int16)),
        *("labels", "labels/c.nii.gz", "label numbers from 0 to 255", "1000", "Correct the mask"),
        levels=FULL,
    ),
    "interpolated label": Row(
        voxels(label, one_voxel(1.5)),
        *("labels", "labels/c.nii.gz", "whole label numbers", "voxels 1 with fractions", "nearest neighbour"),
        levels=FULL,
    ),
    "NaN in a label": Row(
        voxels(label, one_voxel(np.nan)),
        *("labels", "labels/c.nii.gz", "whole label numbers", "voxels 1 NaN or infinite", "whole numbers"),
        levels=FULL,
    ),
    "image in the place of a label": Row(
        voxels(label, lambda array: image_of("c")),
        *("labels", "labels/c.nii.gz", "label numbers", "more than 256 different values", "names an image"),
        levels=FULL,
    ),
    "structures without MYO": Row(
        listed(structures={"RV": [1], "LV": [3]}),
        *("labels", "labels/c.nii.gz", "a mask of MYO", "tell only RV, LV", "structures"),
        levels=FULL,
    ),
    "image as its own label": Row(
        listed(label="images/c.nii.gz"), "list", "images/c.nii.gz", "an image and its mask", "one file", "Correct"
    ),
    "slice beyond the end": Row(
        listed(slice=5), "slice", "c.nii.gz", "a slice 5, counted from 0", "shape 12 x 11 x 5", "datalist again"
    ),
    "missing label": Row(gone, "missing", "labels/c.nii.gz", "datalist.json lists it", "no such file", "take the case"),
    "one name twice": Row(one_name, "list", "c", "one item for each case", "2 items", "'case'"),
    "same image on two sides": Row(
        copied_to_another_fold,
        *("duplicate", "images/c.nii.gz", "no other side", "that of a (", "Put both on one side"),
    ),
    "patient in two folds": Row(
        both_sides, "leak", "pa", "one fold", "folds 0, 2", "all cases of a patient", cases=("c",)
    ),
    "patient in training and testing": Row(
        into_testing, "leak", "pc", "training or testing", "both", "all cases of a patient"
    ),
}  # fmt: skip


@pytest.mark.parametrize("level", ["fast", "full"])
@pytest.mark.parametrize("name", ROWS)
def test_each_fault_is_named_with_its_remedy(tmp_path: Path, name: str, level: str) -> None:
    row = ROWS[name]
    datalist = good_set(tmp_path)
    row.spoil(tmp_path, datalist)
    problems = checked(tmp_path, datalist, level=level).problems
    if level not in row.levels:
        assert problems == [] or row.found == "CRC"  # of a small file the header's reader meets the checksum, too
        return
    (finding,) = problems
    problem = finding.problem
    assert finding.check == row.check
    assert problem.file.endswith(row.file)
    for part, text in ((row.expected, problem.expected), (row.found, problem.found), (row.remedy, problem.remedy)):
        assert part in text
    assert finding.cases == row.cases
    assert "\n" not in str(problem)
    assert not problem.remedy.endswith(".")


def test_all_faults_at_once_each_with_its_file(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    save(tmp_path / "images" / "a.nii.gz", np.zeros_like(image_of("a")))
    (tmp_path / "images" / "b.nii.gz").write_bytes(b"")
    save(tmp_path / "labels" / "d.nii.gz", one_voxel(9, np.uint8)(label_of("d")), moved(2))
    (tmp_path / "labels" / "e.nii.gz").unlink()
    result = checked(tmp_path, datalist)
    told = {(Path(one.problem.file).name, one.check, one.cases) for one in result.problems}
    assert told == {
        ("a.nii.gz", "values", ("a",)),
        ("b.nii.gz", "readable", ("b",)),
        ("d.nii.gz", "grid", ("d",)),
        ("d.nii.gz", "labels", ("d",)),
        ("e.nii.gz", "missing", ("e",)),
    }
    assert sorted(result.broken) == ["a", "b", "d", "e"]
    assert (result.cases, result.files) == (6, 10)


def test_a_lost_folder_is_one_problem(tmp_path: Path) -> None:
    datalist = good_set(tmp_path / "data")
    (tmp_path / "list.json").write_text(json.dumps(datalist))
    for other in (tmp_path / "nowhere", tmp_path):
        (finding,) = checked(tmp_path, datalist, dataset_dir=other).problems
        assert finding.problem.file == str(other)
        assert "--dataset-dir" in finding.problem.remedy
    assert checked(tmp_path, datalist, dataset_dir=tmp_path / "data").problems == []


@pytest.mark.parametrize("content", ["{", "[]", '{"training": [{"image": 3}]}'])
def test_a_list_that_is_none_is_a_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / "datalist.json").write_text(content)
    result = check(tmp_path, progress=False)
    assert result.problems
    assert all(finding.check == "list" for finding in result.problems)
    assert (result.cases, result.datalist) == (0, None)


def test_labels_without_numbers_of_their_own_are_one_problem(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    datalist["labels"] = {"RV": 1, "LV": 1}
    (finding,) = checked(tmp_path, datalist).problems
    assert "a number of its own" in finding.problem.remedy


def test_nothing_is_changed(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    write(image, flipped)(tmp_path, datalist)
    (tmp_path / "datalist.json").write_text(json.dumps(datalist))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    assert check(tmp_path, progress=False).problems
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()
    }


def test_every_bit_of_the_packed_stream_counts(tmp_path: Path) -> None:
    """Flipped one at a time: each is found, but where gzip unpacks to the same bytes all the same."""
    datalist = good_set(tmp_path)
    rng = np.random.default_rng(0)
    found = 0
    for place in (image, label):
        content = place(tmp_path).read_bytes()
        for position in rng.integers(24, len(content), 30):
            spoilt = bytearray(content)
            spoilt[position] ^= 1 << int(rng.integers(8))
            place(tmp_path).write_bytes(bytes(spoilt))
            problems = checked(tmp_path, {**datalist, "training": datalist["training"][2:3]}).problems
            assert [one.check for one in problems] == [] if _same(spoilt, content) else ["readable"]
            found += len(problems)
        place(tmp_path).write_bytes(content)
    assert found > 30


def _same(spoilt: bytes, content: bytes) -> bool:
    try:
        return gzip.decompress(spoilt) == gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return False


def test_a_stream_in_several_members_is_no_truncated_one(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    plain = gzip.decompress(image(tmp_path).read_bytes())
    image(tmp_path).write_bytes(gzip.compress(plain[:500]) + gzip.compress(plain[500:]))
    for level in BOTH:
        assert checked(tmp_path, datalist, level=level).problems == []


def test_nifti_of_other_types_and_two_axes_are_good(tmp_path: Path) -> None:
    datalist = good_set(tmp_path)
    for case, dtype in zip("abcdef", (np.uint8, np.int32, np.float32, np.float64, np.uint16, ">i2"), strict=True):
        save(tmp_path / "images" / f"{case}.nii.gz", image_of(case).astype(dtype))
        save(tmp_path / "labels" / f"{case}.nii.gz", label_of(case).astype(dtype))
    scaled = nib.Nifti1Image(image_of("a"), affine())
    scaled.header.set_slope_inter(0.5, -100)
    scaled.to_filename(tmp_path / "images" / "a.nii.gz")
    assert checked(tmp_path, datalist).problems == []
    assert checked(tmp_path, datalist).warnings == []
