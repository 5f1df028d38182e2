"""One data set in which every image has another fault: one call of `volseg check` tells all of them."""

from __future__ import annotations

import gzip

import dirty_set
import numpy as np
import pytest
from checked_set import (  # noqa: F401 - the fixture and the tests of ROWS are collected here
    AGAIN,
    GOOD,
    assert_told,
    check_all,
    checked,
    of,
    pytest_generate_tests,
    test_each_fault_is_told,
    test_good_cases_are_not_accused,
)
from dirty_set import content, header, listed, moved_by, one, renamed, voxels
from faults import Row

ROWS = [
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
        ": expected a readable image, found one that is not (damaged, or of another kind).",
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


ALONE = [
    of(
        *("link-loop", "a link to itself", ": expected a file, since"),
        renamed("link-loop.nii.gz", dirty_set.link_loop),
    ),
    of(
        *(
            "offset-zero",
            "voxels said to begin at byte 0, where the header is",
            ": expected voxels that begin after the",
        ),
        header(108, "<f", 0),
    ),
]


@pytest.mark.parametrize(("row", "spoil"), ALONE)
def test_alone(row: Row, spoil, tmp_path):
    only = pytest.param(row, spoil, id=row.id)
    assert_told(row, check_all(tmp_path, GOOD, [only]))
