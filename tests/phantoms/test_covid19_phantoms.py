"""The COVID-19 phantom files: each collection's layout, types and geometry, the truth, and no shortcut by intensity."""

from __future__ import annotations

import shutil

import nibabel as nib
import numpy as np
import pytest
from intensity_windows import best_window
from PIL import Image

from pipeline.datalists import items, load_datalist
from pipeline.datalists.covid19 import build
from pipeline.errors import DataError
from pipeline.phantoms import covid19_layouts
from pipeline.phantoms.covid19 import write
from pipeline.phantoms.covid19_layouts import LAYOUTS, RADIOPAEDIA, unmasked
from pipeline.phantoms.covid19_studies import Study, patient, save_nifti, scan_volume

PATIENTS = {"covid-19-ct-seg": 4, "mosmed": 4, "covid-19-20": 4, "medicalsegmentation": 2, "covid-semiseg": 2}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Small phantoms in every layout. Read only."""
    top = tmp_path_factory.mktemp("phantoms")
    for layout, patients in PATIENTS.items():
        write(top / layout, layout=layout, patients=patients, size="small")
    return {layout: top / layout for layout in PATIENTS}


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


def pictures(root):
    """Image and mask of every picture of COVID-SemiSeg below a folder, as gray levels and booleans."""
    for path in sorted(root.rglob("Imgs/*.jpg")):
        with Image.open(path) as image, Image.open(path.parent.parent / "GT" / f"{path.stem}.png") as mask:
            yield np.asarray(image.convert("L")), np.asarray(mask.convert("L")) > 127


def test_best_window_finds_the_window():
    image = np.arange(100.0)
    assert best_window(image, (image >= 20) & (image < 40)) > 0.95
    assert best_window(image, image % 2 == 0) == pytest.approx(2 * 50 / (100 + 50), abs=0.01)


def test_every_layout_has_its_names(roots):
    cases = ["coronacases_001", "coronacases_002", "radiopaedia_4_85506_1", "radiopaedia_7_85703_0"]
    folders = ["COVID-19-CT-Seg_20cases", "Lung_Mask", "Infection_Mask", "Lung_and_Infection_Mask"]
    expected = {
        "covid-19-ct-seg": [f"{folder}/{case}.nii.gz" for folder in folders for case in cases],
        "mosmed": [f"studies/CT-1/study_{number:04d}.nii.gz" for number in (255, 256, 257)]
        + [f"masks/study_{number:04d}_mask.nii.gz" for number in (255, 256, 257)]
        + ["studies/CT-0/study_0001.nii.gz"],
        "covid-19-20": [
            f"COVID-19-20_v2/Train/volume-covid19-A-{number:04d}_{kind}.nii.gz"
            for number in (3, 11, 19)
            for kind in ("ct", "seg")
        ]
        + ["COVID-19-20_v2/Validation/volume-covid19-A-0027_ct.nii.gz"],
        "medicalsegmentation": ["tr_im.nii.gz", "tr_mask.nii.gz"]
        + [f"{folder}/{number}.nii.gz" for folder in ("rp_im", "rp_msk") for number in (1, 2)],
        "covid-semiseg": [
            f"Dataset/TrainingSet/LungInfection-Train/Doctor-label/{folder}/{number}"
            for number in range(8)
            for folder in ("Imgs", "GT", "Edge")
        ]
        + [
            f"Dataset/TestingSet/LungInfection-Test/{folder}/{number}" for number in (0, 1) for folder in ("Imgs", "GT")
        ],
    }
    suffix = {"Imgs": ".jpg", "GT": ".png", "Edge": ".png"}
    for layout, names in expected.items():
        names = [name + next((end for key, end in suffix.items() if f"/{key}/" in name), "") for name in names]
        assert files(roots[layout]) == sorted([*names, "datalist.json"]), layout


def test_the_list_beside_the_data_is_the_builders(roots):
    for layout, root in roots.items():
        datalist = load_datalist(root / "datalist.json")
        built = build(
            root, target="both" if layout == "covid-19-ct-seg" else "infection", folds=datalist["split"]["folds"]
        )
        assert datalist["training"] == built["training"], layout
        assert datalist["testing"] == built["testing"], layout
        assert datalist["licence"] == "CC0-1.0"
        assert layout in datalist["reference"]
        assert {item["fold"] for item in datalist["training"]} == set(range(datalist["split"]["folds"]))
        assert len(items(datalist, dataset_dir=root)) == len(datalist["training"])
    assert load_datalist(roots["covid-19-ct-seg"] / "datalist.json")["labels"] == {"lungs": [1, 2], "infection": [2]}


def test_two_patients_are_enough_and_all_of_them_have_masks(tmp_path):
    for layout in ("mosmed", "covid-19-20"):
        assert unmasked(layout, 2) == 0
        assert [unmasked(layout, count) for count in (3, 12)] == [1, {"mosmed": 4, "covid-19-20": 3}[layout]]
    datalist = write(tmp_path, layout="mosmed", patients=2, size="small")
    assert [item["fold"] for item in datalist["training"]] in ([0, 1], [1, 0])
    assert datalist["testing"] == []


def test_lungs_and_infections_are_the_two_masks_in_one(roots):
    root = roots["covid-19-ct-seg"]
    for path in sorted((root / "Lung_Mask").iterdir()):
        lungs, infection, both = (
            voxels(root / folder / path.name) for folder in ("Lung_Mask", "Infection_Mask", "Lung_and_Infection_Mask")
        )
        assert set(np.unique(lungs)) == {0, 1, 2}
        assert set(np.unique(infection)) == {0, 1}
        assert np.array_equal(both, np.where(infection == 1, 3, lungs))
        assert np.all(lungs[infection == 1] > 0)


def test_cases_are_in_hounsfield_units_or_8_bit_by_their_names(roots):
    for path in sorted((roots["covid-19-ct-seg"] / "COVID-19-CT-Seg_20cases").iterdir()):
        image = voxels(path)
        if path.name.startswith("radiopaedia"):
            assert image.dtype == np.uint8
            assert image.max() == 255
            assert np.percentile(image, 15) == pytest.approx(42.5, abs=2)  # air: (-1000 + 1250) / 1500 * 255
        else:
            assert image.dtype == np.int16
            assert image.min() == -1024, "nothing beyond the field of view"
            assert image.max() > 300


def test_8_bit_cases_are_the_windowed_hounsfield_units(tmp_path, roots, monkeypatch):
    monkeypatch.setattr(covid19_layouts, "to_gray", lambda image: image)
    for folder in LAYOUTS["covid-19-ct-seg"](tmp_path, patients=2, seed=0, size="small"):
        assert folder in ("coronacases_001", "radiopaedia_4_85506_1")
    name = "COVID-19-CT-Seg_20cases/radiopaedia_4_85506_1.nii.gz"
    units, gray = voxels(tmp_path / name).astype(float), voxels(roots["covid-19-ct-seg"] / name).astype(float)
    assert units.min() < -1000 < 250 < units.max()
    window = 255 * (np.clip(units, -1250, 250) + 1250) / 1500
    assert np.abs(gray - window).max() <= 0.5 + 1e-9


def test_masks_lie_on_the_grid_of_their_images(roots):
    pairs = 0
    for layout, root in roots.items():
        for item in items(root / "datalist.json", dataset_dir=root):
            if layout == "covid-semiseg":
                with Image.open(item["image"]) as image, Image.open(item["label"]) as mask:
                    assert image.size == mask.size
                continue
            image, mask = nib.load(item["image"]), nib.load(item["label"])
            assert image.shape == mask.shape
            assert np.array_equal(image.affine, mask.affine)
            assert mask.get_data_dtype() == np.uint8
            assert np.allclose(image.header.get_qform(), image.header.get_sform(), atol=1e-3)
            pairs += 1
    assert pairs == 4 + 3 + 3 + 8 + 2


def test_grids_are_as_the_collections_have_them(roots):
    axes = {}
    for layout, root in roots.items():
        for path in sorted(root.rglob("*.nii.gz")):
            header, image = nib.load(path).header, nib.load(path)
            if path.name.startswith("tr_"):
                assert header.get_zooms() == (1.0, 1.0, 1.0)
                continue
            axes.setdefault(layout, set()).add("".join(nib.aff2axcodes(image.affine)))
            assert np.all(np.abs(image.affine[:3, 3]) > 0.01), "the origin is at zero"
            assert header.get_zooms()[0] == header.get_zooms()[1] < header.get_zooms()[2]
            assert 64 <= image.shape[0] == image.shape[1] <= 72
            assert 12 <= image.shape[2] <= 24
            if layout == "mosmed":
                assert header.get_zooms()[2] == 8.0
    assert axes == {
        "covid-19-ct-seg": {"LAS", "RAS"},
        "mosmed": {"LPS"},
        "covid-19-20": {"LPS", "LPI"},
        "medicalsegmentation": {"RAS"},
    }
    thickness = {nib.load(path).header.get_zooms()[2] for path in roots["covid-19-20"].rglob("*_ct.nii.gz")}
    assert min(thickness) == 8.0
    assert max(thickness) >= 10.0


def test_the_right_lung_lies_on_the_right_and_the_windpipe_above(roots):
    for path in sorted((roots["covid-19-ct-seg"] / "Lung_Mask").iterdir()):
        mask = nib.as_closest_canonical(nib.load(path))  # axes to the right, the front and the head
        lungs = np.asarray(mask.dataobj)
        places = {side: np.argwhere(lungs == side).mean(axis=0) for side in (1, 2)}
        assert places[2][0] > places[1][0]
        widths = np.any(lungs > 0, axis=1).sum(axis=0)
        filled = np.flatnonzero(widths)
        assert widths[filled[: len(filled) // 4]].mean() > widths[filled[-len(filled) // 4 :]].mean(), "upside down"


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LPI", "LAS", "RPI"])
def test_a_point_stays_where_it_is_however_the_axes_run(tmp_path, axes):
    volume = np.zeros((5, 6, 7), np.int16)
    volume[1, 2, 3] = 1
    study = Study(volume, volume, volume, spacing=(2.0, 3.0, 4.0), origin=(-10.0, 20.0, -500.0))
    save_nifti(volume, study, tmp_path / "point.nii.gz", axes=axes)
    image = nib.load(tmp_path / "point.nii.gz")
    assert "".join(nib.aff2axcodes(image.affine)) == axes
    place = image.affine @ [*np.argwhere(np.asarray(image.dataobj))[0], 1.0]
    # to the right: -(-10 + 1 * 2), to the front: -(20 + 2 * 3), to the head: -500 + 3 * 4
    assert place[:3] == pytest.approx([8.0, -26.0, -488.0])


def asked(monkeypatch, folder, layout, patients):
    """Which patients a layout would have, as (key, severity), without drawing them."""
    calls = []
    study = Study(*(np.zeros((2, 2, 2), np.uint8) for _ in range(3)), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
    monkeypatch.setattr(covid19_layouts, "patient", lambda who, *, severity, size: calls.append((who, severity)))
    monkeypatch.setattr(covid19_layouts, "scan_volume", lambda *args, **options: study)
    monkeypatch.setattr(covid19_layouts, "save_nifti", lambda *args, **options: None)
    names = list(LAYOUTS[layout](folder, patients=patients, seed=0, size="small"))
    return dict(zip(names, calls, strict=True))


def test_cases_of_one_number_are_two_scans_of_one_patient(tmp_path, monkeypatch):
    calls = asked(monkeypatch, tmp_path, "covid-19-ct-seg", 22)
    assert [name for name in calls if name.startswith("radiopaedia")][:10] == [f"radiopaedia_{x}" for x in RADIOPAEDIA]
    assert calls["radiopaedia_10_85902_1"] == calls["radiopaedia_10_85902_3"]
    assert calls["radiopaedia_29_86490_1"] == calls["radiopaedia_29_86491_1"]
    assert len({who for who, _ in calls.values()}) == 20
    chests = [patient((0, 1, 10), severity="mild", size="small") for _ in range(2)]
    assert chests[0].lesions == chests[1].lesions


def test_no_intensity_window_finds_the_infections(roots):
    scores = []
    for layout in ("covid-19-ct-seg", "mosmed", "covid-19-20"):
        datalist = load_datalist(roots[layout] / "datalist.json")
        for item in items(datalist, dataset_dir=roots[layout]):
            mask = np.isin(voxels(item["label"]), item["structures"]["infection"])
            assert mask.any(), item["case"]
            scores.append(best_window(voxels(item["image"]).astype(float), mask))
    assert max(scores) < 0.5
    assert np.mean(scores) < 0.35


def test_nor_does_one_in_full_size():
    chest = patient((1,), severity="severe", size="full")
    study = scan_volume(chest, (1,), size="full", series="thick")
    assert study.image.shape[:2] == (256, 256)
    assert 40 <= study.image.shape[2] <= 56
    litres = (study.lungs > 0).sum() * np.prod(study.spacing) / 1e6
    assert 2.0 < litres < 6.5
    assert best_window(study.image.astype(float), study.infection > 0) < 0.5


def test_every_fifth_patient_of_the_challenge_is_healthy(tmp_path, monkeypatch):
    severities = [severity for _, severity in asked(monkeypatch, tmp_path, "covid-19-20", 10).values()]
    assert [severity == "none" for severity in severities] == [False] * 4 + [True] + [False] * 4 + [True]


def test_the_stack_holds_one_slice_of_each_of_many_patients(roots):
    masks = voxels(roots["medicalsegmentation"] / "tr_mask.nii.gz")
    images = voxels(roots["medicalsegmentation"] / "tr_im.nii.gz")
    assert images.dtype == np.float32
    assert images.shape == masks.shape == (96, 96, 8)
    assert [bool(np.isin(masks[..., index], (1, 2)).any()) for index in range(8)] == [True] * 7 + [False]
    assert set(np.unique(masks)) <= {0, 1, 2, 3}
    assert -1024 <= images.min() < -950
    bodies = [images[..., index] > -300 for index in range(8)]
    assert len({body.sum() for body in bodies}) == 8


def test_pictures_are_cropped_windowed_and_outlined(roots):
    root = roots["covid-semiseg"] / "Dataset"
    sizes = set()
    for path in sorted(root.rglob("Imgs/*.jpg")):
        with Image.open(path) as image, Image.open(path.parent.parent / "GT" / f"{path.stem}.png") as mask:
            assert image.mode == mask.mode == "L"
            assert image.format == "JPEG"
            assert set(np.unique(np.asarray(mask))) == {0, 255}
            assert 64 <= image.size[1] <= 100
            sizes.add(image.size)
            truth = np.asarray(mask) > 0
        edge = path.parent.parent / "Edge" / f"{path.stem}.png"
        if "TrainingSet" in str(path):
            with Image.open(edge) as drawn:
                outline = np.asarray(drawn) > 0
            assert 0 < outline.sum() < 0.5 * outline.size
            inner = truth & np.roll(truth, 1, 0) & np.roll(truth, -1, 0) & np.roll(truth, 1, 1) & np.roll(truth, -1, 1)
            assert not (outline & inner)[1:-1, 1:-1].any(), "an edge inside"
    assert len(sizes) > 5


def test_the_last_training_picture_shows_the_first_ones_patient_again(roots):
    folder = roots["covid-semiseg"] / "Dataset" / "TrainingSet" / "LungInfection-Train" / "Doctor-label" / "Imgs"
    thumbnails = []
    for number in (0, 7, 3):
        with Image.open(folder / f"{number}.jpg") as image:
            thumbnails.append(np.asarray(image.resize((32, 32)), dtype=float).ravel())
    alike, different = (np.corrcoef(thumbnails[0], other)[0, 1] for other in thumbnails[1:])
    assert alike > 0.9
    assert alike > different + 0.05


@pytest.mark.real_data
def test_pictures_have_the_gray_levels_of_the_real_ones(covid_root, roots):
    def typical(root):
        found = [
            [*np.percentile(image, (10, 75, 90)), image[mask].mean(), 255 * mask.mean(), 255 * np.mean(image < 100)]
            for image, mask in pictures(root)
            if mask.any()
        ]
        assert len(found) >= 10
        return np.median(found, axis=0)

    # gray levels of 255: of lungs and soft tissue, of infections, and the shares of infections and dark lung
    assert np.abs(typical(roots["covid-semiseg"]) - typical(covid_root)).max() < 40


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path, roots):
    for layout, root in roots.items():
        if layout in ("mosmed", "covid-semiseg"):
            write(tmp_path / layout, layout=layout, patients=PATIENTS[layout], size="small")
            assert files(tmp_path / layout) == files(root)
            assert all((tmp_path / layout / name).read_bytes() == (root / name).read_bytes() for name in files(root))
    write(tmp_path / "other", layout="mosmed", patients=2, seed=1, size="small")
    for name in files(tmp_path / "other"):
        assert (tmp_path / "other" / name).read_bytes() != (roots["mosmed"] / name).read_bytes()


def test_phantoms_are_replaced_only_when_told_to_even_by_another_layout(tmp_path, roots):
    out = tmp_path / "covid"
    shutil.copytree(roots["mosmed"], out)
    with pytest.raises(DataError, match="--overwrite"):
        write(out, layout="covid-semiseg", patients=2, size="small")
    assert files(out) == files(roots["mosmed"])
    write(out, layout="covid-semiseg", patients=2, size="small", overwrite=True)
    assert files(out) == files(roots["covid-semiseg"])


def test_what_others_laid_beside_the_phantoms_stays(tmp_path):
    write(tmp_path, layout="mosmed", patients=2, size="small")
    for path in (tmp_path / "rp_im" / "mine", tmp_path / "results"):
        path.mkdir(parents=True)
    with pytest.raises(DataError, match="rp_im, which are not phantoms"):
        write(tmp_path, layout="mosmed", patients=2, size="small", overwrite=True)
    assert (tmp_path / "rp_im" / "mine").is_dir()
    (tmp_path / "rp_im" / "mine").rmdir()
    (tmp_path / "rp_im").rmdir()
    write(tmp_path, layout="mosmed", patients=2, size="small", overwrite=True)
    assert (tmp_path / "results").is_dir()


@pytest.mark.parametrize("with_list", [False, True])
def test_real_data_is_never_replaced(tmp_path, with_list):
    (tmp_path / "studies" / "CT-1").mkdir(parents=True)
    if with_list:
        (tmp_path / "datalist.json").write_text('{"name": "covid19", "training": []}')
    with pytest.raises(DataError, match="not phantoms"):
        write(tmp_path, layout="mosmed", patients=2, size="small", overwrite=True)
    assert (tmp_path / "studies" / "CT-1").is_dir()


def test_bad_arguments_are_named_together(tmp_path):
    with pytest.raises(DataError) as caught:
        write(tmp_path, layout="covid", patients=1, size="huge")
    assert [problem.file for problem in caught.value.problems] == ["layout", "patients", "size"]
    with pytest.raises(DataError, match="covid-19-ct-seg"):
        write(tmp_path, layout="mosmed", size="ct")
    assert list(tmp_path.iterdir()) == []
