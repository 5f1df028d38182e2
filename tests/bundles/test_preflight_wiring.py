"""Every bundle looks at its files first, with its own labels, whatever layout the list was built from."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.phantoms import covid19 as phantoms

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"


@pytest.fixture
def start(bundle):
    """Start a training as far as its first expression, the check."""

    def check(name, **settings):
        first = json.loads((BUNDLES / name / "train.json").read_text(encoding="utf-8"))["initialize"][0]
        bundle("train", name=name, initialize=[first], **settings)

    return check


def refused(call):
    """The problems with which a start is refused, out of the chain that MONAI's parser wraps around them."""
    with pytest.raises(Exception) as caught:  # noqa: PT011
        call()
    error = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, DataError), error
    return error.problems


@pytest.mark.parametrize("target", ["infection", "lungs", "both"])
def test_a_list_for_every_target_passes_the_full_check(start, phantom_covid19, tmp_path, target):
    data = shutil.copytree(phantom_covid19, tmp_path / "data")
    (data / "datalist.json").unlink()  # it was built for one target
    start("covid19", dataset_dir=str(data), preflight="full", target=target)


@pytest.mark.parametrize("layout", ["mosmed", "medicalsegmentation"])
def test_lists_of_other_layouts_pass_the_full_check(start, tmp_path, layout):
    phantoms.write(tmp_path / "data", layout=layout, patients=5, size="small")
    start("covid19", dataset_dir=str(tmp_path / "data"), preflight="full")


@pytest.mark.parametrize("name", ["acdc", "covid19_slices"])
def test_phantoms_pass_the_full_check(start, name):
    start(name, preflight="full")


def test_foreign_numbers_are_refused_by_full_and_another_grid_by_fast(start, phantom_acdc, tmp_path):
    data = shutil.copytree(phantom_acdc, tmp_path / "acdc")
    numbers, grid = sorted(data.glob("training/patient00[12]/*frame01_gt.nii.gz"))
    for path, edit in ((numbers, lambda voxels: voxels * 9), (grid, lambda voxels: voxels[..., 1:])):
        label = nib.load(path)
        nib.save(nib.Nifti1Image(edit(np.asarray(label.dataobj)), label.affine, label.header), path)
    for level, expected in (("fast", [grid]), ("full", [numbers, grid])):
        problems = refused(lambda level=level: start("acdc", dataset_dir=str(data), preflight=level))
        assert {problem.file for problem in problems} == set(map(str, expected))
    start("acdc", dataset_dir=str(data), preflight="off")
