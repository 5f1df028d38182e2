"""The real bundle with a small network: masks on exactly the grid of images in any orientation, size and format."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import torch
from image_files import acdc_like, itk_image, oblique_affine
from monai.bundle import ConfigParser

from pipeline.segmentation.segment import Summary, segment
from pipeline.volumes import read_mask, write_mask

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "acdc"
SMALL = {"network_def#network#network#filters": [4] * 5, "patch_size": [64, 64, 1], "precision": "fp32"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the small network; the last biases are spread, so that several classes win somewhere."""
    torch.manual_seed(0)
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "inference.json"))
    parser.update(SMALL)
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(parser.get_parsed_content("network").state_dict(), path)
    return path


def run(image: Path, output: Path, weights: Path, **overrides: Any) -> Summary:
    summary = segment(
        image,
        output,
        bundle=BUNDLE,
        weights=weights,
        device="cpu",
        overrides=SMALL | overrides,
        progress=False,
        echo=lambda _: None,
    )
    assert [case.reason for case in summary.cases] == [""] * len(summary.cases)
    return summary


def blobs(size: tuple[int, int, int]) -> np.ndarray:
    """Smooth structures, so that the network has something to disagree about."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(3).normal(size=size)
    return np.round(4000 * gaussian_filter(noise, (4, 4, 1))).astype(np.int16)


RAS = np.diag([1.5, 1.5, 8.0, 1.0])
CASES = {
    "ras": (RAS, (70, 60, 5)),
    "lps": (np.diag([-1.5, -1.5, 8.0, 1.0]), (70, 60, 5)),
    "other_spacing": (np.diag([-0.9, -1.9, 6.0, 1.0]), (70, 40, 5)),
    "oblique": (oblique_affine(), (70, 60, 5)),
    "slices_first": (RAS[:, [2, 0, 1, 3]], (5, 70, 60)),
    "slices_second": (RAS[:, [0, 2, 1, 3]], (70, 5, 60)),
    "one_slice": (RAS, (70, 60, 1)),
    "thin_slice": (np.diag([1.5, 1.5, 1.0, 1.0]), (70, 60, 1)),
    "smaller_than_window": (RAS, (20, 15, 4)),
    "tiny": (RAS, (3, 2, 2)),
    "isotropic": (np.diag([1.5, 1.5, 1.5, 1.0]), (40, 36, 30)),
}


@pytest.mark.parametrize("name", CASES)
def test_mask_lies_on_the_image_s_grid(tmp_path: Path, weights: Path, name: str) -> None:
    affine, size = CASES[name]
    image = tmp_path / f"{name}.nii.gz"
    nib.Nifti1Image(blobs(size), affine).to_filename(image)
    (case,) = run(image, tmp_path / "out", weights).cases
    mask = nib.load(case.mask)
    assert mask.shape == size
    assert mask.get_data_dtype() == np.uint8
    before, after = (gzip.decompress(Path(path).read_bytes())[:348] for path in (image, case.mask))
    assert before[40:70] + before[76:108] + before[252:328] == after[40:70] + after[76:108] + after[252:328]


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 2, 1)])
def test_storing_the_axes_in_another_order_changes_nothing(
    tmp_path: Path, weights: Path, order: tuple[int, int, int]
) -> None:
    voxels = blobs((70, 60, 5))
    nib.Nifti1Image(voxels, RAS).to_filename(tmp_path / "plain.nii.gz")
    moved = nib.Nifti1Image(voxels.transpose(order), RAS[:, [*order, 3]])
    moved.to_filename(tmp_path / "moved.nii.gz")
    masks = [read_mask(run(tmp_path / f"{name}.nii.gz", tmp_path / "out", weights).cases[0].mask)
             for name in ("plain", "moved")]  # fmt: skip
    assert len(np.unique(masks[0])) > 1
    assert np.array_equal(masks[0].transpose(order), masks[1])


def test_every_format_gives_the_same_mask(tmp_path: Path, weights: Path) -> None:
    voxels = blobs((70, 60, 5))
    nib.Nifti1Image(voxels, oblique_affine()).to_filename(tmp_path / "a.nii.gz")
    for name in ("b.mha", "c.nrrd"):
        SimpleITK.WriteImage(itk_image(voxels, oblique_affine()), str(tmp_path / name))
    summary = run(tmp_path, tmp_path / "out", weights)
    masks = [read_mask(case.mask) for case in summary.cases]
    assert len(np.unique(masks[0])) > 1
    for mask in masks[1:]:
        assert (mask != masks[0]).mean() < 1e-3  # affines differ in the last bits, so resampling does


def test_a_working_grid_of_its_own_is_undone(tmp_path: Path, weights: Path) -> None:
    """Upsampled by two in plane, a constant pattern of the network's answer must still lie where the image has it."""
    voxels = np.zeros((64, 48, 3), np.int16)
    voxels[40:56, 8:20, 1] = 1000
    image = acdc_like(tmp_path / "a.nii.gz", voxels, spacing=(3.0, 3.0, 10.0))
    identity = {"_target_": "torch.nn.Conv3d", "in_channels": 5, "out_channels": 4, "kernel_size": 1}
    weight = torch.zeros(4, 5, 1, 1, 1)
    weight[3, 2] = 1  # of the slice itself, not of its neighbours
    state = {"weight": weight, "bias": torch.tensor([0.0, -9, -9, 0])}
    torch.save(state, tmp_path / "threshold.pt")  # LV where the normalised intensity is above its mean
    summary = segment(
        image,
        tmp_path / "out",
        bundle=BUNDLE,
        weights=tmp_path / "threshold.pt",
        device="cpu",
        overrides={"network_def": identity, "precision": "fp32", "patch_size": [64, 64, 1]},
        progress=False,
        echo=lambda _: None,
    )
    assert [case.reason for case in summary.cases] == [""]
    mask = read_mask(summary.cases[0].mask)
    expected = np.where(voxels > 0, 3, 0)
    rim = 2 * (16 + 12) + 4  # one voxel around the block, where interpolation decides
    assert (mask != expected).sum() <= rim
    assert (mask[41:55, 9:19, 1] == 3).all()
    assert not mask[..., [0, 2]].any()


def test_the_configuration_s_own_run_writes_the_same_mask(tmp_path: Path, weights: Path) -> None:
    image = acdc_like(tmp_path / "in.nii.gz", blobs((70, 60, 5)))
    mask = read_mask(run(image, tmp_path / "out", weights).cases[0].mask)
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "inference.json"))
    parser.update({**SMALL, "output_dir": str(tmp_path / "own"), "checkpoint": str(weights), "device": "cpu"})
    parser.update({"device": "$torch.device('cpu')", "datalist": [{"image": str(image), "case": "in"}]})
    parser.get_parsed_content("load_weights")
    parser.get_parsed_content("evaluator").run()
    assert np.array_equal(read_mask(tmp_path / "own" / "in.nii.gz"), mask)


@pytest.mark.real_data
def test_real_frame(acdc_root: Path, tmp_path: Path, weights: Path) -> None:
    image = acdc_root / "training" / "patient004" / "patient004_frame01.nii.gz"
    (case,) = run(image, tmp_path / "out", weights).cases
    assert case.spacing_mm == pytest.approx([1.3671875, 1.3671875, 10])
    truth = nib.load(str(image).replace(".nii.gz", "_gt.nii.gz"))
    mask = nib.load(case.mask)
    assert mask.shape == truth.shape
    assert mask.header["pixdim"].tolist() == truth.header["pixdim"].tolist()
    assert np.array_equal(mask.affine, truth.affine)
    rewritten = write_mask(np.asarray(truth.dataobj), image, tmp_path / "truth.nii.gz")
    assert nib.load(rewritten).header == nib.load(case.mask).header
