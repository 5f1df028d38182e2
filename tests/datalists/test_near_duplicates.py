"""Near-duplicate slices: a brute-force correlation, chains by hand, one slice in many forms, and the real slices."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.datalists.near_duplicates import Fingerprint, correlations, find, fingerprint

sys.path.append(str(Path(__file__).parent / "covid19"))
from chest_slices import lungs, whole_slice

LOOK = np.array([200.0, 40.0, 1.5, 1.5])


def prints_of(*vectors, looks=None):
    """Fingerprints whose thumbnails are given combinations of orthogonal patterns, all unlike in look."""
    patterns = np.linalg.qr(np.random.default_rng(0).normal(size=(48 * 48, 3)))[0].T.reshape(3, 48, 48)
    looks = looks or [LOOK + 50 * index for index in range(len(vectors))]
    return {
        "abcdef"[index]: Fingerprint(np.tensordot(vector, patterns, 1).astype(np.float32), looks[index])
        for index, vector in enumerate(vectors)
    }


def brute_force(a, b, orientations):
    """The best Pearson correlation of a's centre with b, over all shifts of 4 pixels and the given orientations."""
    side = a.shape[0]
    centre = a[4:-4, 4:-4].ravel()
    return max(
        np.corrcoef(centre, view[i : i + side - 8, j : j + side - 8].ravel())[0, 1]
        for view in orientations(b)
        for i in range(9)
        for j in range(9)
    )


@pytest.mark.parametrize("turned", [False, True])
def test_correlation_is_the_best_over_all_shifts_and_orientations(turned):
    thumbnails = np.random.default_rng(3).normal(size=(2, 13, 13)).cumsum(axis=1).cumsum(axis=2)

    def views(b):
        return [np.rot90(v, k) for v in (b, b[:, ::-1]) for k in range(4)] if turned else [b]

    found = correlations(thumbnails, turned=turned)
    a, b = thumbnails
    assert found[0, 1] == pytest.approx(max(brute_force(a, b, views), brute_force(b, a, views)), abs=1e-9)
    assert found == pytest.approx(np.array([[1, found[0, 1]], [found[0, 1], 1]]), abs=1e-9)


def test_a_constant_picture_is_like_nothing():
    blank = fingerprint(np.full((30, 30), 128))
    assert find({"a": blank, "b": blank}) == []
    assert find({}) == []
    assert find({"a": blank}) == []


def test_belonging_is_passed_on_along_a_chain():
    turn = np.deg2rad(30)  # cos 30° = .87 and cos 60° = .5: neighbours belong together, the ends alone would not
    near = (np.cos(turn), np.sin(turn), 0)
    far = (np.cos(2 * turn), np.sin(2 * turn), 0)
    assert find(prints_of((1, 0, 0), far)) == []
    assert find(prints_of((1, 0, 0), far, near, (0, 0, 1))) == [["a", "b", "c"]]


def test_a_like_look_joins_slices_that_are_only_somewhat_alike():
    somewhat = (0.5, np.sqrt(0.75), 0)  # correlation .5
    same = [LOOK, LOOK + np.array([1, 2, 0.05, 0.05])]
    assert find(prints_of((1, 0, 0), somewhat, looks=same)) == [["a", "b"]]
    assert find(prints_of((1, 0, 0), somewhat)) == []
    assert find(prints_of((1, 0, 0), (0, 1, 0), looks=same)) == []


def test_slices_of_two_sources_are_compared_in_every_orientation_and_not_by_look():
    prints = {name: fingerprint(picture) for name, picture in [("a", lungs(1)), ("b", np.rot90(lungs(1)).T)]}
    assert find(prints) == []
    assert find(prints, {"a": "one", "b": "two"}) == [["a", "b"]]
    alike = prints_of((1, 0, 0), (0.5, np.sqrt(0.75), 0), looks=[LOOK, LOOK])
    assert find(alike, {"a": "one", "b": "two"}) == []


def test_across_only_leaves_pairs_of_one_source_alone():
    prints = {name: fingerprint(lungs(1)) for name in "abc"}
    assert find(prints, {"a": "one", "b": "one", "c": "one"}, across_only=True) == []
    assert find(prints, {"a": "one", "b": "two"}, across_only=True) == [["a", "b", "c"]]


def test_one_slice_at_another_scale_crop_and_window_is_found_among_strangers():
    picture = Image.fromarray(lungs(3).astype(np.uint8))
    prints = {f"stranger{patient}": fingerprint(lungs(patient)) for patient in (11, 22, 34, 45, 58)}
    prints["first"] = fingerprint(np.asarray(picture))
    prints["larger"] = fingerprint(np.asarray(picture.resize((210, 200))))
    prints["cropped"] = fingerprint(np.asarray(picture)[4:-3, 2:-5])
    prints["darker"] = fingerprint(np.asarray(picture) * 0.6)
    assert find(prints) == [["cropped", "darker", "first", "larger"]]


@pytest.mark.parametrize("patient", [0, 1, 2, 3, 12, 25])
def test_a_whole_slice_in_hounsfield_units_is_matched_with_its_crop_from_elsewhere(patient):
    prints = {f"crop{number}": fingerprint(lungs(number)) for number in (patient, 31, 47)}
    prints["whole"] = fingerprint(np.rot90(whole_slice(patient))[:, ::-1])
    assert find(prints, {"whole": "stack"}) == [[f"crop{patient}", "whole"]]


def test_greys_and_grain_are_what_they_were_made_of():
    random = np.random.default_rng(0)
    picture = np.full((200, 200), 200.0)
    picture[50:150, 50:150] = 40
    grained = np.clip(picture + random.normal(0, 4, picture.shape), 0, 255)
    tissue, lung, *grains = fingerprint(grained).look
    assert [tissue, lung] == pytest.approx([200, 40], abs=2)
    assert np.expm1(grains) == pytest.approx([4, 4], abs=0.8)  # the lower quartile of 25 pixels' spread lies below 4
    assert np.expm1(fingerprint(picture).look[2:]) == pytest.approx([0, 0], abs=0.1)


@pytest.mark.parametrize(
    "stored",
    [
        lambda grey: grey / 255,
        lambda grey: grey * 1500 / 255 - 1250,
        lambda grey: grey * 1500 / 255 - 1250 + 1024,
    ],
    ids=["0..1", "HU", "HU + 1024"],
)
def test_the_fingerprint_does_not_depend_on_how_numbers_are_stored(stored):
    grey = np.clip(lungs(3), 40, 255)  # 40 is -1015 HU, which an offset of 1024 makes positive
    grey[:4, :4] = [40, 255, 40, 255]
    expected, found = fingerprint(grey), fingerprint(stored(grey))
    np.testing.assert_allclose(found.thumbnail, expected.thumbnail, atol=0.6)
    if stored(grey).max() > 1:  # Hounsfield units
        assert np.isnan(found.look).all()
    else:
        np.testing.assert_allclose(found.look, expected.look, atol=1.1)


def test_a_source_whose_slices_all_look_alike_is_judged_more_strictly():
    close, closer = np.deg2rad(25), np.deg2rad(10)  # cos = .91 and .98
    angles = np.cumsum([0, *[close] * 4, closer])
    circle = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    assert find(prints_of(*circle[:4])) == [["a", "b", "c", "d"]]
    assert find(prints_of(*circle)) == [["e", "f"]], "six in a row: only the pair above .95 is left"
    somewhat = [(np.sqrt(0.5), *np.sqrt(0.5) * np.array(end)) for end in ((1, 0), (0, 1), (-1, 0), (0, -1))]
    somewhat += [(np.sqrt(0.5), 0.5, 0.5)]  # .85 with the first two, which are at .5 to one another
    assert find(prints_of(*somewhat, looks=[LOOK] * 5)) == [["a", "b", "e"]], "looks are left aside"


@given(st.lists(st.integers(0, 2), min_size=2, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_sets_are_the_same_whatever_the_order_and_never_share_a_name(kinds, shuffler):
    names = "abcdef"[: len(kinds)]
    prints = dict(zip(names, prints_of(*np.eye(3)[kinds]).values(), strict=True))
    shuffled = list(prints.items())
    shuffler.shuffle(shuffled)
    found = find(dict(shuffled))
    by_kind = {kind: [n for n, k in zip(names, kinds, strict=True) if k == kind] for kind in kinds}
    assert found == sorted(members for members in by_kind.values() if len(members) > 1)


@pytest.mark.real_data
def test_slices_that_the_eye_takes_for_one_patient_are_found_in_the_real_set(covid_root):
    folder = covid_root / "Dataset/TrainingSet/LungInfection-Train/Doctor-label/Imgs"
    prints = {path.stem: fingerprint(np.asarray(Image.open(path))) for path in folder.glob("*.jpg")}
    sets = [set(found) for found in find(prints)]
    for alike in ("10 43", "4 5 16 17 46", "35 67", "3 12 28", "29 55", "26 27", "44 56", "25 42 57", "14 24"):
        assert any(set(alike.split()) <= found for found in sets), alike
    for strangers in ("10 4", "3 4", "35 10", "29 3", "29 4", "57 10"):
        assert not any(set(strangers.split()) <= found for found in sets), strangers
    assert max(map(len, sets)) <= 10, "a set larger than a fold cannot be spread"
