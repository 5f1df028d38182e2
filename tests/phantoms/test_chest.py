"""The synthetic chest against anatomy: volumes, densities, what lies inside what, and what the scanner adds."""

from __future__ import annotations

import dataclasses
from math import pi

import numpy as np
import pytest

from pipeline.phantoms.chest import draw_chest, lung_points
from pipeline.phantoms.chest_lesions import SEVERITIES, Lesion
from pipeline.phantoms.chest_scan import ChestScanner, to_gray
from pipeline.phantoms.chest_torso import draw_torso, outlines
from pipeline.phantoms.scan import Grid

WHOLE = Grid(shape=(96, 80, 58), spacing=(4.0, 4.0, 5.0))


@pytest.fixture(scope="module")
def chests():
    """Six patients, two of each of three severities."""
    return [
        draw_chest(np.random.default_rng(seed), severity=severity)
        for seed, severity in enumerate(("moderate", "severe", "mild") * 2)
    ]


def whole(chest, **options):
    """The whole chest on a coarse grid: image, lungs, findings."""
    slices = list(ChestScanner(chest, WHOLE, bottom=-14.0, centre=(0.0, 4.0), **options).slices())
    return tuple(np.stack([getattr(part, name) for part in slices], -1) for name in ("image", "lungs", "findings"))


@pytest.fixture(scope="module")
def scans(chests):
    return [whole(chest, noise=0.0) for chest in chests]


@pytest.fixture(scope="module")
def healthy():
    chest = draw_chest(np.random.default_rng(5), severity="none")
    return chest, whole(chest, noise=0.0)


def look(chest, centre, *, half=(12.0, 12.0, 12.0), spacing=(1.0, 1.0, 1.0), **options):
    """A small field of view around a place in the chest."""
    shape = tuple(round(2 * h / s) for h, s in zip(half, spacing, strict=True))
    grid = Grid(shape=shape, spacing=spacing)
    bottom = centre[2] - (shape[2] - 1) / 2 * spacing[2]
    scanner = ChestScanner(chest, grid, bottom=bottom, centre=tuple(centre[:2]), **{"noise": 0.0, **options})
    slices = list(scanner.slices())
    return tuple(np.stack([getattr(part, name) for part in slices], -1) for name in ("image", "lungs", "findings"))


def free_place(chest):
    """The place in the right lung that is farthest from everything that is no lung."""
    points, _ = lung_points(chest.torso, np.random.default_rng(0))
    points = points[points[:, 0] < 0]
    room = [outlines(chest.torso, np.array([[x]]), np.array([[y]]), z)["right"][0, 0] for x, y, z in points[::4]]
    return points[::4][np.argmin(room)]


def test_lungs_hold_what_lungs_hold_and_the_right_one_holds_more(scans):
    litres = np.array([[(lungs == side).sum() for side in (1, 2)] for _, lungs, _ in scans]) * 4 * 4 * 5 / 1e6
    assert np.all((litres.sum(axis=1) > 2.0) & (litres.sum(axis=1) < 6.5)), litres
    assert np.all(litres[:, 1] > litres[:, 0])
    assert np.all(litres[:, 0] > 0.6 * litres[:, 1])


def test_small_chests_have_small_lungs():
    torsos = [draw_torso(np.random.default_rng(seed), small=True) for seed in range(5)]
    volumes = [len(lung_points(torso, np.random.default_rng(0))[0]) * 7.0**3 / 1e6 for torso in torsos]
    assert all(1.8 < litres < 3.5 for litres in volumes), volumes


def test_sides_are_the_patients_and_the_liver_lies_below_the_right_lung(healthy):
    chest, (image, lungs, _) = healthy
    left, right = (np.argwhere(lungs == side).mean(axis=0) for side in (1, 2))
    assert right[0] < left[0], "x runs to the patient's left"
    lowest_right = outlines(chest.torso, np.array([[-50.0]]), np.array([[-10.0]]), chest.torso.domes[0] - 6.0)
    assert lowest_right["diaphragm"][0, 0] < 0 < lowest_right["right"][0, 0]
    liver = look(chest, (-60.0, 0.0, 5.0), half=(6, 6, 6))[0]
    assert np.median(liver) == pytest.approx(58.0, abs=6.0)
    assert image.min() >= -1024.0


def test_each_tissue_has_its_density(healthy):
    chest, (image, lungs, _) = healthy
    torso = chest.torso
    fat = np.array([0.0, -(torso.trunk[1] - 0.45 * torso.fat), 0.45 * torso.height])
    expected = {
        "aorta": (np.array([24.0, torso.spine - 23.0, 0.36 * torso.height]), 42.0, 8.0),
        "windpipe": (np.array([-1.0, torso.carina[1] - 2.0, 0.85 * torso.height]), -1000.0, 8.0),
        "heart": (torso.heart_centre, 44.0, 8.0),
        "fat below the skin": (fat, -100.0, 15.0),
    }
    for name, (centre, value, tolerance) in expected.items():
        seen = np.median(look(chest, centre, half=(2, 2, 2))[0])
        assert seen == pytest.approx(value, abs=tolerance), name
    spine = look(chest, (0.0, torso.spine, 0.5 * torso.height), half=(9, 9, 13))[0]
    assert 70 < np.percentile(spine, 5) < np.percentile(spine, 95) < 700
    inner = image[lungs > 0]
    assert -900 < np.median(inner) < -780
    assert np.percentile(inner, 99) > -500, "no vessels"
    corner = image[:4, :4]
    assert corner.mean() == pytest.approx(-1000.0, abs=5.0)


def test_ribs_and_spine_are_bone_and_surround_the_lungs(healthy):
    _, (image, lungs, _) = healthy
    bone = image > 150
    assert 0.01 < bone.mean() < 0.08
    assert not bone[lungs > 0].any()
    middle = bone[..., WHOLE.shape[2] // 2]
    columns, rows = np.nonzero(lungs[..., WHOLE.shape[2] // 2])
    assert middle[: columns.min() + 1].any()
    assert middle[columns.max() :].any()
    assert middle[:, rows.max() :].any()


def test_healthy_lungs_are_denser_at_the_back(healthy):
    _, (image, lungs, _) = healthy
    rows = np.broadcast_to(np.arange(image.shape[1])[None, :, None], image.shape)
    inside = (lungs > 0) & (image < -750)
    front, back = (np.median(image[inside & part]) for part in (rows < 33, rows > 47))
    assert 15 < back - front < 120


def test_the_windpipe_is_air_and_no_lung(healthy):
    chest, _ = healthy
    image, lungs, _ = look(chest, (-1.0, chest.torso.carina[1] - 2.5, 0.85 * chest.torso.height), half=(16, 16, 2))
    assert not lungs.any()
    assert (image < -500).sum() / image.shape[2] == pytest.approx(pi * 8.5**2, rel=0.06)


def test_a_smooth_lesion_has_the_volume_of_its_ellipsoid_on_thin_and_thick_slices(healthy):
    chest, _ = healthy
    place = free_place(chest)
    lesion = Lesion(centre=tuple(place), half=(15.0, 10.0, 12.0), turn=0.7)
    assert lesion.volume == pytest.approx(4 / 3 * pi * 15 * 10 * 12 / 1000)
    sick = dataclasses.replace(chest, lesions=(lesion,))
    for thickness, tolerance in ((1.0, 0.02), (6.0, 0.08)):
        _, lungs, findings = look(sick, place, half=(18, 18, 18), spacing=(1.0, 1.0, thickness))
        assert (findings == 1).sum() * thickness / 1000 == pytest.approx(lesion.volume, rel=tolerance)
        assert np.all(lungs[findings == 1] == 2)


@pytest.mark.parametrize("density", [0.25, 0.5])
def test_ground_glass_looks_like_it(density):
    seen, expected = [], []
    for seed in (5, 6, 7):  # texture makes one lesion denser than another
        chest = draw_chest(np.random.default_rng(seed), severity="none")
        place = free_place(chest)
        sick = dataclasses.replace(chest, lesions=(Lesion(tuple(place), (16, 16, 16), density=density),))
        image, _, findings = look(sick, place, half=(18, 18, 18), spacing=(1.0, 1.0, 2.0))
        assert np.ptp(np.percentile(image[findings == 1], (20, 80))) > 30, "no texture"
        seen.append(np.median(image[findings == 1]))
        expected.append(chest.air + density * (38.0 - chest.air))  # so much of the air is replaced
    assert np.mean(seen) == pytest.approx(np.mean(expected), abs=70)


def test_consolidation_looks_like_it(healthy):
    chest, _ = healthy
    place = free_place(chest)
    sick = dataclasses.replace(chest, lesions=(Lesion(tuple(place), (16, 16, 16), density=0.4, core=5.0),))
    image, _, findings = look(sick, place, half=(20, 20, 20))
    assert -60 < np.median(image[findings == 2]) < 60
    assert (findings == 2).sum() / 1000 == pytest.approx(4 / 3 * pi * 11**3 / 1000, rel=0.2)
    assert set(np.unique(findings)) == {0, 1, 2}


def test_findings_lie_where_they_belong(scans):
    seen = set()
    for _, lungs, findings in scans:
        assert np.all(lungs[np.isin(findings, (1, 2))] > 0), "an infection outside the lungs"
        assert not lungs[findings == 3].any(), "an effusion inside a lung"
        seen |= set(np.unique(findings))
    assert {0, 1, 2} <= seen


def test_an_effusion_lies_at_the_back_of_the_lower_chest(healthy):
    chest, (_, dry, _) = healthy
    image, lungs, findings = whole(dataclasses.replace(chest, effusion=(20.0, 0.0)), noise=0.0)
    fluid = findings == 3
    assert 20 < fluid.sum() * 0.08 < 700  # ml
    assert np.median(image[fluid]) == pytest.approx(12.0, abs=10.0)
    assert np.all(dry[fluid] == 2), "behind the right lung only"
    places = np.argwhere(fluid)
    inside = np.argwhere(lungs == 2)
    assert places[:, 1].mean() > np.percentile(inside[:, 1], 80)
    assert places[:, 2].mean() < np.percentile(inside[:, 2], 40)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_lesions_are_as_many_and_as_large_as_their_severity_says(severity):
    fewest, most, _, largest = SEVERITIES[severity]
    for seed in range(8):
        lesions = draw_chest(np.random.default_rng(seed), severity=severity, small=True).lesions
        assert fewest <= len(lesions) <= most
        assert all(0.1 - 1e-9 <= lesion.volume <= largest + 1e-9 for lesion in lesions)


def test_lesions_prefer_the_back_the_lower_lungs_and_the_pleura():
    back = low = near = total = sides = 0
    for seed in range(12):
        chest = draw_chest(np.random.default_rng(seed), severity="severe", small=True)
        centres = np.array([lesion.centre for lesion in chest.lesions])
        back += (centres[:, 1] > 0).sum()
        low += (centres[:, 2] < 0.5 * chest.torso.height).sum()
        sides += np.ptp(np.sign(centres[:, 0])) == 2
        for x, y, z in centres:
            cavity = outlines(chest.torso, np.array([[x]]), np.array([[y]]), z)["cavity"]
            near += float(cavity[0, 0]) > -25.0
        total += len(centres)
    assert min(back, low, near) > 0.6 * total
    assert max(back, low, near) < total
    assert sides == 12, "severe disease is on both sides"


def test_severity_must_be_known():
    with pytest.raises(ValueError, match="none, mild, moderate, severe, critical"):
        draw_chest(np.random.default_rng(0), severity="awful")


def test_a_slice_by_itself_is_the_slice_of_the_scan(chests):
    grid = Grid(shape=(40, 36, 3), spacing=(8.0, 8.0, 5.0))
    one = ChestScanner(chests[0], grid, bottom=80.0, seed=4)
    parts = list(one.slices())
    again = ChestScanner(chests[0], grid, bottom=80.0, seed=4).slice(2)
    for name in ("image", "lungs", "findings"):
        assert np.array_equal(getattr(parts[2], name), getattr(again, name))
    other = ChestScanner(chests[0], grid, bottom=80.0, seed=5).slice(2)
    assert not np.array_equal(parts[2].image, other.image)
    assert np.array_equal(parts[2].findings, other.findings), "the truth depends on the noise"


@pytest.mark.parametrize("kernel", ["soft", "sharp"])
def test_noise_is_as_strong_as_asked_for_and_its_grain_is_the_kernels(chests, kernel):
    grid = Grid(shape=(120, 120, 1), spacing=(1.0, 1.0, 1.0))
    place = {"bottom": 5.0, "centre": (-50.0, 0.0), "kernel": kernel}
    clean, noisy = (ChestScanner(chests[0], grid, noise=noise, **place).slice(0).image for noise in (0.0, 20.0))
    noise = noisy - clean
    assert noise.std() == pytest.approx(20.0, rel=0.1)
    neighbours = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert neighbours > 0.2 if kernel == "soft" else neighbours < 0.05


def test_a_sharp_kernel_is_sharper(chests):
    grid = Grid(shape=(160, 120, 1), spacing=(1.0, 1.0, 2.0))
    soft, sharp = (ChestScanner(chests[0], grid, bottom=120.0, noise=0.0, kernel=k).slice(0) for k in ("soft", "sharp"))
    assert np.abs(np.diff(sharp.image, axis=0)).mean() > 1.02 * np.abs(np.diff(soft.image, axis=0)).mean()


def test_beyond_the_round_field_of_view_is_nothing(chests):
    grid = Grid(shape=(41, 41, 1), spacing=(8.0, 8.0, 5.0))
    image = ChestScanner(chests[0], grid, bottom=100.0, noise=0.0, circle=True).slice(0).image
    beyond = np.hypot(*np.meshgrid(np.arange(41) - 20, np.arange(41) - 20)) > 20.5
    assert np.all(image[beyond] == -1024.0)
    assert not np.any(image[~beyond] == -1024.0)


def test_gray_levels_are_the_windows():
    image = np.array([-2000.0, -1250.0, -1244.2, -500.1, 250.0, 900.0])
    assert to_gray(image).tolist() == [0, 0, 1, 127, 255, 255]
    assert to_gray(image, window=(-1000.0, 0.0)).tolist() == [0, 0, 0, 127, 255, 255]
    assert to_gray(image).dtype == np.uint8
