"""A data set in which every case has another fault, and one whose files are odd but usable."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image
from preflight_set import LABELS, SIZE, affine, edit_header, save

Spoil = Callable[[Path, dict[str, Any]], None]


class Case:
    """One item of the list and its two good files.

    Args:
        root: the set's folder.
        name: of the case; also the seed of its voxels.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.image, self.label = root / "images" / f"{name}.nii.gz", root / "labels" / f"{name}.nii.gz"
        self.root, self.name = root, name
        self._random = np.random.default_rng(zlib.crc32(name.encode()))
        self.voxels = self._random.integers(0, 900, SIZE).astype(np.int16)
        self.mask = np.zeros(SIZE, np.uint8)
        x, y = self._random.integers(0, 5, 2)
        for number in (1, 2, 3):
            self.mask[x : x + 3 + number, y + 2 * number - 2 : y + 2 * number, 1:4] = number
        self.mask[0, :, 0] = self._random.integers(0, 4, SIZE[1])  # no two masks are equal
        save(self.image, self.voxels)
        save(self.label, self.mask)
        self.item: dict[str, Any] = {
            "image": f"images/{name}.nii.gz",
            "label": f"labels/{name}.nii.gz",
            "case": name,
            "patient": name,
            "fold": 0,
        }
        self.more: list[dict[str, Any]] = []  # further items of "training"
        self.tested: list[dict[str, Any]] = []  # and of "testing"

    def move(self, which: str, new: str) -> Path:
        """Take the image's or label's file away; its new path, which the list names."""
        path = getattr(self, which)
        path.unlink()
        setattr(self, which, path.with_name(new))
        self.item[which] = f"{path.parent.name}/{new}"
        return path.with_name(new)


def good(case: Case) -> None:
    """As it is."""


def content(change: Callable[[bytes], bytes], which: str = "image") -> Callable[[Case], None]:
    """The bytes of the packed file changed."""

    def spoil(case: Case) -> None:
        path = getattr(case, which)
        path.write_bytes(change(path.read_bytes()))

    return spoil


def header(offset: int, form: str, *values: float, which: str = "image") -> Callable[[Case], None]:
    """Numbers of the header replaced, at offsets of the NIfTI-1 standard."""

    def spoil(case: Case) -> None:
        edit_header(getattr(case, which), lambda whole: struct.pack_into(form, whole, offset, *values))

    return spoil


def voxels(change: Callable[[np.ndarray], np.ndarray], which: str = "image") -> Callable[[Case], None]:
    """Another array in the same place, with the same affine."""

    def spoil(case: Case) -> None:
        save(getattr(case, which), change(case.voxels if which == "image" else case.mask))

    return spoil


def moved_by(matrix: Callable[[np.ndarray], np.ndarray], which: str = "image") -> Callable[[Case], None]:
    """The same array with another affine."""

    def spoil(case: Case) -> None:
        save(getattr(case, which), case.voxels if which == "image" else case.mask, matrix(affine()))

    return spoil


def one(value: float, kind: type = np.float32) -> Callable[[np.ndarray], np.ndarray]:
    """One voxel with another value."""

    def change(array: np.ndarray) -> np.ndarray:
        array = array.astype(kind)
        array[6, 5, 2] = value
        return array

    return change


def listed(**keys: Any) -> Callable[[Case], None]:
    """Other entries of the item."""
    return lambda case: case.item.update(keys)


def renamed(new: str, write: Callable[[Path, Case], None], which: str = "image") -> Callable[[Case], None]:
    """A file of another name and kind in the place of the image or label."""

    def spoil(case: Case) -> None:
        write(case.move(which, new), case)

    return spoil


def one_of_first(mask: np.ndarray) -> np.ndarray:
    """Of the first structure one voxel."""
    mask = np.where(mask == 1, 0, mask)
    mask[11, 10, 0] = 1
    return mask


def sheared(matrix: np.ndarray) -> np.ndarray:
    matrix[:3, 1] += 0.2 * matrix[:3, 0]
    return matrix


def shifted(matrix: np.ndarray) -> np.ndarray:
    matrix[1, 3] += 1.5
    return matrix


def flipped(matrix: np.ndarray) -> np.ndarray:
    matrix[:3, 0] *= -1
    return matrix


def another(case: Case, name: str, **keys: Any) -> dict[str, Any]:
    """A second item with files of its own, which are those of a case of that name."""
    twin = Case(case.root, name)
    return {**twin.item, **keys}


def same_image(fold: int) -> Callable[[Case], None]:
    """A second patient with voxels of the first, in a fold."""

    def spoil(case: Case) -> None:
        case.more.append(another(case, f"{case.name}-again", fold=fold))
        save(case.root / "images" / f"{case.name}-again.nii.gz", case.voxels)

    return spoil


def same_patient(case: Case) -> None:
    case.more.append(another(case, f"{case.name}-es", patient=case.name, fold=1))


def tested_patient(case: Case) -> None:
    case.tested.append(another(case, f"{case.name}-es", patient=case.name))


def two_forms(case: Case) -> None:
    """A qform 20 mm beside the sform."""
    image = nib.Nifti1Image(case.voxels, affine())
    matrix = affine()
    matrix[0, 3] += 20
    image.set_qform(matrix, code=1)
    image.set_sform(affine(), code=1)
    image.to_filename(case.image)


def one_millimetre(case: Case) -> None:
    save(case.image, case.voxels, np.eye(4))
    save(case.label, case.mask, np.eye(4))


def without_end(path: Path, case: Case) -> None:
    """An unpacked NIfTI file that stops in the middle."""
    save(path, case.voxels)
    path.write_bytes(path.read_bytes()[:-400])


def folder(path: Path, case: Case) -> None:
    path.mkdir()


def link_loop(path: Path, case: Case) -> None:
    path.symlink_to(path.name)


def dead_link(path: Path, case: Case) -> None:
    path.symlink_to("nowhere.nii.gz")


def pipe(path: Path, case: Case) -> None:
    os.mkfifo(path)


def huge_nifti2(path: Path, case: Case) -> None:
    """50000 x 50000 x 50000 in a file of a few hundred bytes; NIfTI-1 cannot even say so."""
    head = nib.Nifti2Header()
    head.set_data_shape((50000, 50000, 50000))
    head.set_data_dtype(np.int16)
    head["vox_offset"] = head.single_vox_offset
    path.write_bytes(gzip.compress(head.binaryblock + bytes(1000)))


def huge_metaimage(path: Path, case: Case) -> None:
    import SimpleITK
    from image_files import itk_image

    SimpleITK.WriteImage(itk_image(case.voxels, affine()), str(path))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 12 11 5", b"DimSize = 50000 50000 50000"))


def short_nrrd(path: Path, case: Case) -> None:
    import SimpleITK
    from image_files import itk_image

    SimpleITK.WriteImage(itk_image(case.voxels, affine()), str(path))
    path.write_bytes(path.read_bytes()[:-300])


def picture(mode: str, **options: Any) -> Callable[[Path, Case], None]:
    """A picture of the first slice, in a colour mode of Pillow."""

    def write(path: Path, case: Case) -> None:
        plane = case.mask[..., 2] * 80 if path.parent.name == "labels" else case.voxels[..., 2] // 4
        drawn = Image.fromarray(plane.astype(np.uint8)).convert(mode)
        if mode == "RGB":
            drawn.putpixel((0, 0), (200, 10, 30))
        drawn.save(path, **options)

    return write


def cut(write: Callable[[Path, Case], None], share: float = 0.9) -> Callable[[Path, Case], None]:
    """The same file without its end."""

    def spoil(path: Path, case: Case) -> None:
        write(path, case)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return spoil


def text(path: Path, case: Case) -> None:
    path.write_text("no image")


def make_list(cases: list[Case]) -> dict[str, Any]:
    """The datalist of these cases."""
    training = [item for case in cases for item in (case.item, *case.more)]
    tested = [item for case in cases for item in case.tested]
    return {"name": "dirty", "labels": LABELS, "training": training, "testing": tested}
