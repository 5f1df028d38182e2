"""One data set in which every case has another fault, looked at by one call of `volseg check`: all are told at once."""

from __future__ import annotations

import gzip
import json

import dirty_set
import numpy as np
import pytest
from dirty_set import Case, content, header, listed, moved_by, one, renamed, voxels
from faults import Row, row, volseg

CHECK = "volseg check LIST"
TOLD = "named; the other cases are checked"
AGAIN = "Copy or download the file again."


def of(id, what, message, spoil, **options):
    """A row about the case of this name; `message` goes on where the file's name ends."""
    which = options.pop("file", f"images/{id}.nii.gz")
    return row(id, what, CHECK, TOLD, f"{which}{message}", spoil, **options)


IMAGES = [
    of("empty", "an empty file", f": expected an image, found an empty file. {AGAIN}", content(lambda old: b"")),
    of(
        *("truncated", "a truncated .nii.gz"),
        f": expected a complete and undamaged gzip stream, found a truncated one. {AGAIN}",
        content(lambda old: old[:-300]),
    ),
    of(
        *("checksum", "a wrong checksum (CRC) in a .nii.gz", ": expected a complete and undamaged gzip stream"),
        content(lambda old: old[:-8] + bytes([old[-8] ^ 1]) + old[-7:]),
    ),
    of(
        *("flipped-byte", "a byte changed within a .nii.gz", ": expected a complete and undamaged gzip stream"),
        content(lambda old: old[:700] + bytes([old[700] ^ 255]) + old[701:]),
    ),
    of(
        *("missing-voxels", "fewer voxels than the header says", ": expected a complete file, found a truncated one."),
        content(lambda old: gzip.compress(gzip.decompress(old)[:-50])),
    ),
    of(
        *("web-page", "a web page saved as .nii.gz", ": expected a file compressed by gzip, found a web page or XML."),
        content(lambda old: b"<!DOCTYPE html><title>404</title>"),
    ),
    of(
        *("zip", "a zip archive named .nii.gz", ": expected a file compressed by gzip, found a zip archive."),
        content(lambda old: b"PK\3\4" + bytes(100)),
    ),
    of(
        *("json", "JSON text named .nii.gz", ": expected a file compressed by gzip, found JSON text."),
        content(lambda old: b'{"error": "not found"}'),
    ),
    of(
        *("not-packed", "an unpacked NIfTI file named .nii.gz", ": expected a file compressed by gzip, found another"),
        content(gzip.decompress),
    ),
    of(
        "text-in-gzip",
        "packed text",
        ": expected a readable image, found one that is not (Cannot work out",
        content(lambda old: gzip.compress(b"text" * 200)),
    ),
    of(
        "magic",
        "another magic number in the header",
        ": expected a readable image, found one that is not",
        header(344, "<4s", b"xxxx"),
    ),
    of(
        "axes-zero",
        "a header with no axes",
        ": expected a volume with three axes, or four with time, found shape 0.",
        header(40, "<h", 0),
    ),
    of(
        "axes-nine",
        "a header with nine axes",
        ": expected a readable image, found one that is not",
        header(40, "<h", 9),
    ),
    of(
        "negative-size",
        "a negative number of voxels along an axis",
        ": expected at least two voxels along both in-plane axes",
        header(42, "<h", -12),
    ),
    of(
        "no-slices",
        "an axis of no voxels",
        ": expected a volume with three axes, or four with time, found shape 12 x 11 x 0.",
        header(46, "<h", 0),
    ),
    of(
        "datatype",
        "an unknown number for the type of voxels",
        ": expected a readable image, found one that is not (data code 9999",
        header(70, "<h", 9999),
    ),
    of(
        "offset",
        "voxels said to begin beyond the file's end",
        ": expected a complete file, found a truncated one.",
        header(108, "<f", 1e6),
    ),
    of(
        "offset-negative",
        "voxels said to begin before the file does",
        ": expected a readable image, found one that is not (vox offset -9000",
        header(108, "<f", -9000),
    ),
    of(
        *("huge", "a header that claims 30000 x 30000 x 30000 voxels"),
        ": expected a file that can hold 30000 x 30000 x 30000 voxels, found a truncated one of",
        header(42, "<3h", 30000, 30000, 30000),
    ),
    of(
        *("huge2", "a NIfTI-2 header that claims 50000 x 50000 x 50000 voxels"),
        ": expected a file that can hold 50000 x 50000 x 50000 voxels, found a truncated one of",
        renamed("huge2.nii.gz", dirty_set.huge_nifti2),
    ),
    of(
        *("huge-mha", "a MetaImage header that claims 50000 x 50000 x 50000 voxels"),
        ": expected a file that can hold 50000 x 50000 x 50000 voxels, found a truncated one of",
        renamed("huge.mha", dirty_set.huge_metaimage),
        file="images/huge.mha",
    ),
    of(
        *("short-nrrd", "a truncated .nrrd", ": expected a readable image, found one that is not"),
        renamed("short.nrrd", dirty_set.short_nrrd),
        file="images/short.nrrd",
    ),
    of(
        *(
            "short-nii",
            "a truncated .nii",
            ": expected a file that can hold 12 x 11 x 5 voxels, found a truncated one of 1,272 bytes.",
        ),
        renamed("short.nii", dirty_set.without_end),
        file="images/short.nii",
    ),
    of(
        "spacing-zero",
        "a spacing of 0 mm",
        ": expected voxel spacings above 0 mm, found 0 x 1.25 x 8",
        header(80, "<f", 0),
    ),
    of("spacing-nan", "a spacing that is NaN", ": expected voxel spacings above 0 mm", header(80, "<f", float("nan"))),
    of("spacing-inf", "an infinite spacing", ": expected voxel spacings above 0 mm", header(80, "<f", float("inf"))),
    of("nan", "one NaN voxel", ": expected finite intensities, found 1 voxels that are NaN", voxels(one(np.nan))),
    of("inf", "one infinite voxel", ": expected finite intensities, found 1 voxels that are NaN", voxels(one(np.inf))),
    of("constant", "the same value everywhere", ": expected an image with contrast", voxels(np.zeros_like)),
    of(
        *("rgb", "colour voxels (RGB)", ": expected one real number per voxel, found colour voxels."),
        voxels(lambda old: np.zeros(old.shape, [(channel, "u1") for channel in "RGB"])),
    ),
    of(
        *("complex", "complex voxels", ": expected one real number per voxel, found complex64 voxels."),
        voxels(lambda old: old.astype(np.complex64)),
    ),
    of(
        *("five-axes", "five axes", ": expected a volume with three axes, or four with time, found shape"),
        voxels(lambda old: np.stack([np.stack([old] * 2, -1)] * 2, -1)),
    ),
    of(
        *("one-line", "a single line of voxels", ": expected at least two voxels along both in-plane axes"),
        voxels(lambda old: old[:, :1, :1]),
    ),
    of(
        *("cine", "a time series among volumes", ": expected 1 channel, as most cases have, found 3."),
        voxels(lambda old: np.stack([old] * 3, -1)),
    ),
    of(
        *("singular", "an affine whose axes span no volume"),
        ": expected three axes at right angles, found axes that span no volume.",
        header(280, "<12f", 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0),
    ),
    of(
        *("nan-affine", "NaN in the affine", ": expected three axes at right angles, found an affine with NaN"),
        header(280, "<f", float("nan")),
    ),
    of(
        *("sheared", "a sheared affine", ": expected three axes at right angles, found two axes at 76.50 degrees."),
        moved_by(dirty_set.sheared),
    ),
    of(
        "folder",
        "a folder where a file should be",
        ": expected a readable image, found one that is not (Could not read",
        renamed("folder.nii.gz", dirty_set.folder),
    ),
    of(
        "pipe",
        "a named pipe (FIFO) where a file should be",
        ": expected an image, found an empty file.",
        renamed("pipe.nii.gz", dirty_set.pipe),
    ),
    of("dead-link", "a link to nothing", ": expected a file, since", renamed("dead-link.nii.gz", dirty_set.dead_link)),
    of("missing", "a listed file that is not there", ": expected a file, since", lambda case: case.image.unlink()),
    of(
        *(
            "unknown-ending",
            "a listed file of an unknown kind (.txt)",
            ": expected a readable image, found one that is not",
        ),
        renamed("unknown.txt", dirty_set.text),
        file="images/unknown.txt",
    ),
    of(
        *("cut-jpeg", "a truncated JPEG", ": expected a complete picture, found a truncated or damaged one."),
        renamed("cut.jpg", dirty_set.cut(dirty_set.picture("L"))),
        file="images/cut.jpg",
    ),
    of(
        *("cut-png", "a truncated PNG", ": expected a complete picture, found a truncated or damaged one."),
        renamed("cut.png", dirty_set.cut(dirty_set.picture("L"))),
        file="images/cut.png",
    ),
    of(
        *("pages", "a TIFF of several pages", ": expected one picture, found 3 pages."),
        renamed(
            "pages.tif",
            lambda path, case: dirty_set.picture(
                "L", save_all=True, append_images=[dirty_set.Image.new("L", (11, 12), shade) for shade in (1, 2)]
            )(path, case),
        ),
        file="images/pages.tif",
    ),
    of("slice", "a slice beyond the end", ": expected a volume with a slice 77, counted from 0", listed(slice=77)),
    of(
        *("channels-apart", "channels on different grids", ": expected the grid of"),
        lambda case: (
            case.item.update(image=[case.item["image"], "images/channels-apart-2.nii.gz"])
            or dirty_set.save(
                case.root / "images/channels-apart-2.nii.gz", case.voxels[::-1], dirty_set.shifted(dirty_set.affine())
            )
        ),
        file="images/channels-apart-2.nii.gz",
    ),
]


def mask(id, what, message, spoil, **options):
    """A row about the label of the case of this name."""
    return of(id, what, message, spoil, **{"file": f"labels/{id}.nii.gz", **options})


LABELS = [
    mask(
        *("mask-truncated", "a truncated mask"),
        f": expected a complete and undamaged gzip stream, found a truncated one. {AGAIN}",
        content(lambda old: old[:-20], "label"),
    ),
    mask(
        *("mask-shape", "a mask of another shape", ": expected the shape 12 x 11 x 5 of"),
        voxels(lambda old: old[..., :4], "label"),
    ),
    mask(
        *("mask-shift", "a mask 1.5 mm beside its image", ": expected the grid of"),
        moved_by(dirty_set.shifted, "label"),
    ),
    mask(
        *("mask-flip", "a mask whose first axis is turned round", ": expected the grid of"),
        moved_by(dirty_set.flipped, "label"),
    ),
    mask(
        *("mask-pixdim", "a mask that lost its spacing (pixdim)", ": expected the grid of"),
        header(80, "<3f", 1, 1, 1, which="label"),
    ),
    mask(
        *("mask-time", "a mask with a time axis", ": expected a label map with three axes"),
        voxels(lambda old: np.stack([old] * 2, -1), "label"),
    ),
    mask(
        *("mask-fractions", "an interpolated mask", ": expected whole label numbers, found voxels 1 with fractions."),
        voxels(one(1.5), "label"),
    ),
    mask(
        *("mask-nan", "NaN in a mask", ": expected whole label numbers, found voxels 1 NaN or infinite."),
        voxels(one(np.nan), "label"),
    ),
    mask(
        *("mask-foreign", "a number that no structure has", ": expected only the labels 0, 1, 2, 3, found also 7."),
        voxels(one(7, np.uint8), "label"),
    ),
    mask(
        *("mask-negative", "a negative number", ": expected label numbers from 0 to 255, found -1."),
        voxels(one(-1, np.int16), "label"),
    ),
    mask(
        *(
            "mask-large",
            "a number that does not fit into a byte",
            ": expected label numbers from 0 to 255, found 1000.",
        ),
        voxels(one(1000, np.int16), "label"),
    ),
    mask(
        *("mask-image", "the image in the place of the mask", ": expected label numbers, found more than 256"),
        lambda case: dirty_set.save(case.label, case.voxels + 1),
    ),
    mask(
        *(
            "mask-self",
            "one file named as image and as mask",
            ": expected an image and its mask, found one file named as",
        ),
        lambda case: case.item.update(label=case.item["image"]),
        file="images/mask-self.nii.gz",
    ),
    mask(
        *("mask-jpeg", "a mask saved as JPEG", ": expected a mask with exact label numbers, found JPEG"),
        renamed("mask.jpg", dirty_set.picture("L"), "label"),
        file="labels/mask.jpg",
    ),
    mask(
        *("mask-colour", "a mask in colours", ": expected a mask of label numbers, found a colour picture."),
        renamed("colour.png", dirty_set.picture("RGB"), "label"),
        file="labels/colour.png",
    ),
    mask(
        *("mask-structures", "an item whose structures leave one of the list's out", ": expected a mask of MYO"),
        listed(structures={"RV": [1], "LV": [3]}),
    ),
    mask("mask-missing", "a mask that is not there", ": expected a file, since", lambda case: case.label.unlink()),
]
SETS = [
    of(
        *(
            "image-twice",
            "one image in two folds",
            "-again.nii.gz: expected an image that no other side of the split has",
        ),
        dirty_set.same_image(fold=1),
        file="images/image-twice",
    ),
    of(
        *("patient-twice", "a patient in two folds", ": expected one fold, found folds 0, 1."),
        dirty_set.same_patient,
        file="patient-twice",
    ),
    of(
        *("patient-tested", "a patient in training and testing", ": expected training or testing, found both."),
        dirty_set.tested_patient,
        file="patient-tested",
    ),
]
ALL = [*IMAGES, *LABELS, *SETS]
GOOD = ["good-1", "good-2", "good-3"]


def check_all(root, names, rows):
    """Exit code, output and the findings as JSON of one call over good cases and one case for each row."""
    cases = [Case(root, name) for name in names]
    for each in rows:
        case = Case(root, each.id)
        each.values[1](case)
        cases.append(case)
    (root / "datalist.json").write_text(json.dumps(dirty_set.make_list(cases)))
    before = {path: path.read_bytes() for path in root.rglob("*.nii.gz") if path.is_file()}
    code, output = volseg("check", root, "--processes", 1, "--json", root / "found.json")
    assert all(path.read_bytes() == content for path, content in before.items())
    return code, output, json.loads((root / "found.json").read_text()) if code in (0, 2) else {}


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    return check_all(tmp_path_factory.mktemp("dirty"), GOOD, ALL)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "spoil"), ALL)
def test_each_fault_is_told(row: Row, spoil, checked):
    code, output, found = checked
    row.check(code, output)
    assert any(case.startswith(row.id) for case in found["broken"])


def test_good_cases_are_not_accused(checked):
    told = {case for finding in checked[2]["problems"] for case in finding["cases"]}
    assert not set(GOOD) & told
    assert all(any(case.startswith(each.id) for each in ALL) for case in told)


OFTEN = [f"good-{number}" for number in range(40)]
FINE = "0 problems"
ODD = "told as a warning; the case is used"


def odd(id, what, message, spoil, *, outcome=ODD, file=None):
    """A row about a case that is odd but usable."""
    message = f"{file or f'images/{id}.nii.gz'}{message}" if message else "no problems"
    return row(id, what, CHECK, outcome, message, spoil, exit_code=0)


WARNINGS = [
    odd(
        *(
            "two-forms",
            "sform and qform that disagree",
            ": expected one grid in sform and qform, found corners up to 20",
        ),
        dirty_set.two_forms,
    ),
    odd("one-bit", "one bit of the header's size changed", "", header(0, "<i", 349), outcome="read as it is meant"),
    odd("slope-inf", "an infinite scale", "", header(112, "<2f", float("inf"), 1), outcome="read without a scale"),
    odd("minus", "a negative spacing", "", header(80, "<f", -1.5), outcome="read as 1.5 mm, as all readers do"),
    odd("values", "a value of two million", ": expected intensities of a scanner", voxels(one(2e6))),
    odd("spacing", "1 x 1 x 1 mm where others are not", ": expected a measured spacing", dirty_set.one_millimetre),
    odd(
        "mask-as-image", "an image with four values", ": expected an image in grey levels", voxels(lambda old: old % 4)
    ),
    odd(
        *("no-rv", "a mask without one structure", ": expected voxels of RV, found none."),
        voxels(lambda old: old * (old != 1), "label"),
        file="labels/no-rv.nii.gz",
    ),
    odd(
        *("tiny", "a structure of one voxel", ": expected 10 voxels of RV or more, found 1."),
        voxels(dirty_set.one_of_first, "label"),
        file="labels/tiny.nii.gz",
    ),
    odd(
        *("twins", "one image twice on one side of the split", "-again.nii.gz: expected an image of its own"),
        dirty_set.same_image(fold=0),
        file="images/twins",
    ),
]


@pytest.fixture(scope="module")
def warned(tmp_path_factory):
    return check_all(tmp_path_factory.mktemp("odd"), OFTEN, WARNINGS)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("row", "spoil"), WARNINGS)
def test_oddities_are_warnings(row: Row, spoil, warned):
    code, output, found = warned
    row.check(code, output)
    assert found["problems"] == []
