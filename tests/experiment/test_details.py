"""Distances from edges against brute force, and both tables against masks made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.experiment.collection import Result, pooled
from pipeline.experiment.details import background_table, band_table, edge_distance
from pipeline.experiment.grid import Run


def brute(truth, spacing):
    places = np.argwhere(np.ones_like(truth, bool)).reshape(*truth.shape, 2) * np.array(spacing)
    distance = np.full(truth.shape, np.inf)
    for place in np.ndindex(truth.shape):
        others = places[truth != truth[place]]
        if len(others):
            distance[place] = np.linalg.norm(others - places[place], axis=1).min()
    return distance


@settings(max_examples=40, deadline=None)
@given(
    arrays.arrays(
        np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9), elements=st.integers(0, 3)
    ),
    st.tuples(st.sampled_from([0.5, 1.0, 1.7]), st.sampled_from([1.0, 2.5])),
)
def test_distance_to_the_nearest_pixel_with_another_label(truth, spacing):
    np.testing.assert_allclose(edge_distance(truth, spacing), brute(truth, spacing), rtol=1e-5)


@pytest.fixture
def scored(tmp_path):
    """One case of 12 x 12 x 2 voxels of 2 x 2 x 8 mm, a square in slice 0, with three wrong voxels; scored."""
    import nibabel as nib

    from pipeline.metrics import score_cases

    truth = np.zeros((12, 12, 2), np.uint8)
    truth[:4, :, 0] = 1  # an edge between rows 3 and 4
    pred = truth.copy()
    pred[4, 0, 0] = 1  # 2 mm from the edge's other side: near
    pred[7, 0, 0] = 1  # 8 mm: middle
    pred[11, 0, 0] = 1  # 16 mm: far
    pred[0, 0, 1] = 1  # a slice without an edge: far
    for name, array in (("label", truth), ("pred", pred)):
        nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 8.0, 1.0])), tmp_path / f"{name}.nii.gz")
    case = {
        "case": "001",
        "patient": "NA",
        "label": str(tmp_path / "label.nii.gz"),
        "pred": str(tmp_path / "pred.nii.gz"),
    }
    scores = score_cases([case], {"square": 1}, progress=False)
    scores.write(tmp_path / "evaluation")
    return tmp_path / "evaluation", scores


def test_errors_by_distance(scored):
    table = band_table(*scored).set_index("band")
    assert table["wrong"].to_dict() == {"near": 1, "middle": 1, "far": 2}
    # columns of 12: rows 3 and 4 are 2 mm from the other side; rows 0, 1, 2, 5, 6, 7, 8 are 4 to 10 mm away
    assert table["all"].to_dict() == {"near": 24, "middle": 84, "far": 36 + 144}
    assert set(table["patient"]) == {"NA"}
    assert set(table["case"]) == {"001"}


def test_background_of_slices_and_volume(scored):
    table = background_table(*scored)
    volume = table[table["unit"] == "volumes"].iloc[0]
    assert volume["dice"] == pytest.approx(2 * 236 / (240 + 236), abs=1e-6)
    first, second = table[table["unit"] == "slices"]["dice"]
    assert first == pytest.approx(2 * 93 / (96 + 93), abs=1e-6)
    assert second == pytest.approx(2 * 143 / (144 + 143), abs=1e-6)


def test_slices_lie_where_the_scores_have_them(tmp_path):
    """5 slices of 8 mm along axis 0, of 12 x 12 pixels of 2 mm: half a slice and 12 wrong pixels 2 mm from its edge."""
    import nibabel as nib

    from pipeline.metrics import score_cases

    truth = np.zeros((5, 12, 12), np.uint8)
    truth[2, :6] = 1
    pred = truth.copy()
    pred[2, 6] = 1
    case = {"case": "a", "patient": "p"}
    for name, array in (("label", truth), ("pred", pred)):
        case[name] = str(tmp_path / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(array, np.diag([8.0, 2.0, 2.0, 1.0])), case[name])
    scores = score_cases([case], {"half": 1}, progress=False)
    scores.write(tmp_path / "evaluation")
    back = background_table(tmp_path / "evaluation", scores)
    assert back.loc[back["unit"] == "slices", "slice"].tolist() == scores.slices["slice"].unique().tolist()
    assert back["dice"].tolist()[1:] == [1, 1, pytest.approx(2 * 60 / (72 + 60), abs=1e-6), 1, 1]
    bands = band_table(tmp_path / "evaluation", scores).set_index("band")
    assert bands["wrong"].tolist() == [12, 0, 0]
    # rows 5 and 6 are 2 mm from the other side, 1 to 4 and 7 to 10 up to 10 mm, 0 and 11 beyond; four empty slices
    assert bands["all"].tolist() == [24, 96, 24 + 4 * 144]


def test_tables_are_kept_until_the_scores_change(scored):
    folder, scores = scored
    band_table(folder, scores)
    kept = (folder / "bands.csv").read_text(encoding="utf-8").replace("near,1,", "near,7,")
    (folder / "bands.csv").write_text(kept)
    assert band_table(folder, scores).set_index("band")["wrong"]["near"] == 7
    import os

    os.utime(folder / "scores.json", (2e9, 2e9))
    assert band_table(folder, scores).set_index("band")["wrong"]["near"] == 1


@pytest.fixture
def folds(tmp_path):
    """Fold 0: a of 100 voxels, 5 of 10 found and 5 false, b of 1000, all 40 found. Fold 1: c of 100, 20 and 2 false."""
    import nibabel as nib

    from pipeline.metrics import score_cases

    masks = {"a": (1, slice(10), slice(5, 15)), "b": (10, slice(40), slice(40)), "c": (1, slice(20), slice(22))}
    results = []
    for fold, names in enumerate(("ab", "c")):
        home = tmp_path / f"fold{fold}"
        cases = []
        for name in names:
            depth, *both = masks[name]
            case = {"case": name, "patient": name}
            for key, own in zip(("label", "pred"), both, strict=True):
                array = np.zeros((10, 10, depth), np.uint8)
                array.flat[own] = 1
                case[key] = str(tmp_path / f"{name}_{key}.nii.gz")
                nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 8.0, 1.0])), case[key])
            cases.append(case)
        score_cases(cases, {"square": 1}, progress=False).write(home / "evaluation")
        results.append(Result(Run(home.name, {"seed": "0", "fold": str(fold)}, "bundles/acdc"), home))
    return results


def test_all_voxels_of_all_folds_are_pooled(folds):
    """10, 0 and 2 wrong voxels of 100, 1000 and 100; 5, 40 and 20 in common of 20, 80 and 42."""
    assert pooled(folds[:1])["pixel_error"] == pytest.approx(10 / 1100)
    found = pooled(folds)
    assert found["pixel_error"] == pytest.approx(12 / 1200)
    assert found["dice"] == pytest.approx(2 * 65 / 142, abs=1e-6)
    assert found["iou"] == pytest.approx(65 / (142 - 65), abs=1e-6)


def test_the_table_of_averages_pools_the_folds(folds):
    from pipeline.report.paper_tables import DataResults, averaging_table

    row = averaging_table([DataResults("acdc", {"0": folds}, ())]).rows[-1]
    assert row == ["ACDC", "all voxels pooled, structures", "0.9155", "0.8442", "0.0100"]
