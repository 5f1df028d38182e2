"""DICOM series, pictures and file names of every kind in one folder: `volseg segment` does what can be done."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from dirty_set import Case, content, cut, picture, save
from faults import Row, row, volseg
from image_files import dicom_series
from PIL import Image
from preflight_set import affine

from pipeline.volumes import read_mask

SEGMENT = "volseg segment FOLDER OUT"
FAILED = "named with its reason; the others are segmented"
VOXELS = np.random.default_rng(5).integers(0, 900, (16, 16, 6)).astype(np.int16)


def two_series(place):
    dicom_series(place, VOXELS, affine())
    dicom_series(place, VOXELS, affine(), uid="1.2.3.2")


def missing_slice(place):
    dicom_series(place, VOXELS, affine())
    (place / "1.2.3.1_003.dcm").unlink()


def two_orientations(place):
    """Half of the slices of one series turned by a right angle, as a localiser's."""
    turned = affine()[:, [1, 2, 0, 3]]
    dicom_series(place, VOXELS[..., :3], affine())
    dicom_series(place / "more", VOXELS[..., :3], turned)
    for file in (place / "more").iterdir():
        shutil.move(file, place / f"turned_{file.name}")
    (place / "more").rmdir()


def tilted_gantry(place):
    """Even steps along the table, 20 degrees off the slices' normal."""
    matrix = affine()
    normal, column = matrix[:3, 2].copy(), matrix[:3, 1] / np.linalg.norm(matrix[:3, 1])
    matrix[:3, 2] = np.cos(np.radians(20)) * normal + np.sin(np.radians(20)) * np.linalg.norm(normal) * column
    dicom_series(place, VOXELS, matrix)


def cut_slice(place):
    dicom_series(place, VOXELS, affine())
    file = place / "1.2.3.1_003.dcm"
    file.write_bytes(file.read_bytes()[:-200])


def doubled_slice(place):
    dicom_series(place, VOXELS, affine())
    again = VOXELS.copy()
    dicom_series(place / "more", again, affine())
    shutil.move(place / "more" / "1.2.3.1_003.dcm", place / "again.dcm")
    shutil.rmtree(place / "more")


def drawn(mode, *, cut_off=False, **options):
    write = cut(picture(mode, **options)) if cut_off else picture(mode, **options)
    return lambda place: write(place, Case(place.parent / ".scratch", place.stem))


def broken(spoil):
    """A NIfTI file, spoilt."""

    def write(place):
        case = Case(place.parent / ".scratch", place.name.split(".")[0])
        spoil(case)
        shutil.move(case.image, place)

    return write


def web_page(place):
    place.write_text("<html>404</html>")


def fault(id, what, message, write, outcome=FAILED):
    """A row about the image or folder of this name."""
    return row(id, what, SEGMENT, outcome, f"{id.split('.')[0]}: FAILED, {message}", write, exit_code=1)


PAGES = [Image.new("L", (12, 11), 3)]
FORMATS = [
    fault("two-series", "a folder with two DICOM series", "expected one DICOM series, found 2", two_series),
    fault(
        "gap", "a DICOM series without one slice", "expected evenly spaced slices, found slice distances", missing_slice
    ),
    fault("turned", "a DICOM series of two orientations", "expected evenly spaced slices, found", two_orientations),
    fault("tilted", "a DICOM series of a tilted gantry", "expected slices stacked along their normal", tilted_gantry),
    fault("cut-slice", "a truncated DICOM file in a series", "expected a readable DICOM series, found", cut_slice),
    fault("double", "a DICOM slice twice", "expected evenly spaced slices, found several slices", doubled_slice),
    fault("jpeg.jpg", "a truncated JPEG", "expected a complete picture, found a truncated", drawn("L", cut_off=True)),
    fault("html.png", "a web page called .png", "expected an image, found a web page or XML", web_page),
    fault(
        *("pages.tif", "a TIFF of several pages", "expected one picture, found 2 pages"),
        drawn("L", save_all=True, append_images=PAGES),
    ),
    fault(
        *("colour.png", "a picture in colours for a network of one channel"),
        *("expected 1 channel (in_channels), found 3 (red, green and blue)", drawn("RGB")),
    ),
    fault(
        *("empty.nii.gz", "an empty file", "expected an image, found an empty file"),
        broken(content(lambda old: b"")),
    ),
]


@pytest.fixture(scope="module")
def formats(small_bundle, tmp_path_factory):
    root = tmp_path_factory.mktemp("formats")
    (root / "in").mkdir()
    save(root / "in" / "good.nii.gz", VOXELS, affine())
    for each in FORMATS:
        each.values[1](root / "in" / each.id)
    shutil.rmtree(root / "in" / ".scratch")
    return *volseg("segment", root / "in", root / "out", "--bundle", small_bundle), root / "out"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "write"), FORMATS)
def test_formats(row: Row, write, formats):
    code, output, out = formats
    row.check(code, output)
    case = row.id.split(".")[0]
    assert not list(out.glob(f"{case}.*"))
    cases = json.loads((out / "manifest.json").read_text())["runs"][0]["cases"]
    assert [found["outcome"] for found in cases if found["case"] == case] == ["failed"]


def test_the_good_one_is_segmented(formats):
    assert read_mask(formats[2] / "good.nii.gz").shape == VOXELS.shape
    assert sorted(path.name for path in formats[2].iterdir()) == ["good.nii.gz", "manifest.json"]


SEGMENTED = "segmented, the mask has the image's name"
NAMES = {
    "html": ("HTML in a name", "<script>alert(1)<∕script>.nii.gz"),
    "shell": ("what a shell would run in a name", "$(touch hacked); `touch hacked` & 'a' \"b\" | *.nii.gz"),
    "unicode": ("letters of several scripts and an emoji in a name", "Herz Ä é 心臓 🫀.nii.gz"),
    "line": ("a line break in a name", "one\ntwo.nii.gz"),
    "escape": ("a terminal's control characters in a name", "a\x1b[31mred\x1b[0m.nii.gz"),
    "dash": ("a name that begins like an option", "--help.nii.gz"),
    "spaces": ("blanks at both ends of a name", " a .nii.gz"),
    "braces": ("a format's braces in a name", "{0.__class__} %s %(a)s.nii.gz"),
    "dots": ("dots in a name", "a.b..c.nii.gz"),
    "upper": ("an ending in capitals", "UPPER.NII.GZ"),
}
GOOD = [
    row(id, what, SEGMENT, SEGMENTED, f"{len(NAMES)} done", name, exit_code=0) for id, (what, name) in NAMES.items()
]


@pytest.fixture(scope="module")
def named(small_bundle, tmp_path_factory):
    root = tmp_path_factory.mktemp("names")
    for number, (_, name) in enumerate(NAMES.values()):
        save(root / "x.nii.gz", VOXELS + np.int16(number), affine())
        (root / "in").mkdir(exist_ok=True)
        (root / "x.nii.gz").rename(root / "in" / name)
    (root / "in" / "._shell.nii.gz").write_bytes(b"what macOS leaves beside a file")
    options = ("--preview", "--statistics", "--bundle", small_bundle)
    return *volseg("segment", root / "in", root / "out", *options, cwd=root), root


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "name"), GOOD)
def test_names(row: Row, name, named):
    code, output, root = named
    row.check(code, output)
    case = name[: -len(".nii.gz")]
    assert read_mask(root / "out" / f"{case}.nii.gz").shape == VOXELS.shape
    assert (root / "out" / f"{case}_preview.png").is_file()
    assert not list(root.rglob("hacked"))


LONG = row(
    *("long-name", "a name of 255 bytes, with no room for a temporary one", SEGMENT, FAILED),
    "File name too long",
    exit_code=1,
)


@pytest.mark.parametrize("row", [LONG])
def test_the_longest_name(row: Row, small_bundle, tmp_path):
    name = "x" * (255 - len(".nii.gz")) + ".nii.gz"
    save(tmp_path / "x.nii.gz", VOXELS, affine())
    (tmp_path / "x.nii.gz").rename(tmp_path / name)
    row.check(*volseg("segment", tmp_path / name, tmp_path / "out", "--bundle", small_bundle))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.json"]


CONTROL = row(
    *("control-characters", "a terminal's control characters in a name", "volseg segment FILE OUT"),
    *("they are printed as text", r"a\x1b[31mred: done"),
    exit_code=0,
    kind="untrusted",
)


@pytest.mark.parametrize("row", [CONTROL])
def test_control_characters(row: Row, small_bundle, tmp_path):
    save(tmp_path / "x.nii.gz", VOXELS, affine())
    (tmp_path / "x.nii.gz").rename(tmp_path / "a\x1b[31mred.nii.gz")
    code, output = volseg("segment", tmp_path / "a\x1b[31mred.nii.gz", tmp_path / "out", "--bundle", small_bundle)
    row.check(code, output)
    assert "\x1b" not in output
