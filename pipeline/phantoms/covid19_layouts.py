"""The raw layouts of the COVID-19 CT collections, filled with synthetic patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.phantoms.chest_scan import to_gray
from pipeline.phantoms.covid19_studies import Study, patient, save_nifti, scan_slice, scan_volume

SEVERITIES = ("moderate", "severe", "mild")
WORSE = ("critical", "severe", "critical", "moderate")  # of single slices, which were chosen for what they show
SLICES = 4  # of single slices for each patient asked for
UNMASKED = {"mosmed": 3, "covid-19-20": 4}  # one patient in so many has no mask
INFECTION = 3  # in Lung_and_Infection_Mask
CT_SEG = ("COVID-19-CT-Seg_20cases", "Lung_Mask", "Infection_Mask", "Lung_and_Infection_Mask")  # its folders
TOPS = (  # everything that a layout has at its top
    *(*CT_SEG, "studies", "masks", "COVID-19-20_v2"),
    *("tr_im.nii.gz", "tr_mask.nii.gz", "rp_im", "rp_msk", "Dataset"),
)
RADIOPAEDIA = (  # the real names; cases 10 and 29 are two scans each, here of one patient
    *("4_85506_1", "7_85703_0", "10_85902_1", "10_85902_3", "14_85914_0"),
    *("27_86410_0", "29_86490_1", "29_86491_1", "36_86526_0", "40_86625_0"),
)


def covid_19_ct_seg(out: Path, *, patients: int, seed: int, size: str) -> Iterator[str]:
    """COVID-19-CT-Seg: coronacases in HU and radiopaedia cases as 8-bit gray levels, by turns; three mask folders."""
    for folder in CT_SEG:
        (out / folder).mkdir()
    for number in range(patients):
        gray, turn = number % 2 == 1, number // 2
        name = _radiopaedia(turn) if gray else f"coronacases_{turn + 1:03d}"
        who = (seed, 1, int(name.split("_")[1]) if gray else 1000 + turn)
        severity = "severe" if size == "ct" else SEVERITIES[who[-1] % 3 if gray else turn % 3]
        chest = patient(who, severity=severity, size=size)
        study = scan_volume(chest, (seed, 1, number), size=size, series="thick" if gray else "thin", circle=not gray)
        image = to_gray(study.image) if gray else study.image
        both = np.where(study.infection, np.uint8(INFECTION), study.lungs)
        for folder, volume in zip(CT_SEG, (image, study.lungs, study.infection, both), strict=True):
            save_nifti(volume, study, out / folder / f"{name}.nii.gz", axes="RAS" if gray else "LAS")
        yield name


def mosmed(out: Path, *, patients: int, seed: int, size: str) -> Iterator[str]:
    """MosMedData: 8 mm slices by severity, CT-0 to CT-3; masks only in CT-1, for two patients in three."""
    (out / "masks").mkdir()
    masked = patients - unmasked("mosmed", patients)
    for number in range(patients):
        grade, first, severity = 1, 255, ("mild", "moderate")[number % 2]
        turn = number - masked
        if turn >= 0:
            grade, first, severity = ((0, 1, "none"), (2, 939, "moderate"), (3, 1064, "severe"))[turn % 3]
        name = f"study_{first + (number if turn < 0 else turn // 3):04d}"
        folder = out / "studies" / f"CT-{grade}"
        folder.mkdir(parents=True, exist_ok=True)
        study = _scan((seed, 2, number), severity=severity, size=size, series="8 mm")
        save_nifti(study.image, study, folder / f"{name}.nii.gz")
        if turn < 0:
            save_nifti(study.infection, study, out / "masks" / f"{name}_mask.nii.gz")
        yield name


def covid_19_20(out: Path, *, patients: int, seed: int, size: str) -> Iterator[str]:
    """COVID-19-20 challenge: Train with masks (every fifth patient is healthy) and Validation without.

    Slices run from head to feet in every other patient.
    """
    masked = patients - unmasked("covid-19-20", patients)
    for number in range(patients):
        labelled = number < masked
        folder = out / "COVID-19-20_v2" / ("Train" if labelled else "Validation")
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"volume-covid19-A-{3 + 8 * number:04d}"
        severity = "none" if number % 5 == 4 else SEVERITIES[number % 3]
        series, axes = ("thin", "LPI") if number % 2 else ("thick", "LPS")
        study = _scan((seed, 3, number), severity=severity, size=size, series=series)
        save_nifti(study.image, study, folder / f"{stem}_ct.nii.gz", axes=axes)
        if labelled:
            save_nifti(study.infection, study, folder / f"{stem}_seg.nii.gz", axes=axes)
        yield stem


def medicalsegmentation(out: Path, *, patients: int, seed: int, size: str) -> Iterator[str]:
    """medicalsegmentation.com: one stack of single slices of different patients in HU, and some volumes.

    Masks tell 1 ground glass, 2 consolidation, 3 effusion; every eighth slice is healthy.
    """
    count, matrix = SLICES * patients, 512 if size == "full" else 96
    images = np.empty((matrix, matrix, count), np.float32, order="F")
    masks = np.empty((matrix, matrix, count), np.uint8, order="F")
    for number in range(count):
        severity = "none" if number % 8 == 7 else WORSE[number % 4]
        chest = patient((seed, 4, number), severity=severity, size=size)
        part = scan_slice(chest, (seed, 4, number), matrix=matrix)
        images[..., number], masks[..., number] = part.image, part.findings
        yield f"slice {number}"
    save_nifti(images, None, out / "tr_im.nii.gz")
    save_nifti(masks, None, out / "tr_mask.nii.gz")
    for folder in ("rp_im", "rp_msk"):
        (out / folder).mkdir()
    for number in range(patients):
        series = "thin" if number % 2 else "thick"
        study = _scan((seed, 5, number), severity=SEVERITIES[number % 3], size=size, series=series)
        save_nifti(study.image, study, out / "rp_im" / f"{number + 1}.nii.gz", axes="RAS")
        save_nifti(study.findings, study, out / "rp_msk" / f"{number + 1}.nii.gz", axes="RAS")
        yield f"volume {number + 1}"


def covid_semiseg(out: Path, *, patients: int, seed: int, size: str) -> Iterator[str]:
    """COVID-SemiSeg: windowed pictures of single slices cropped to the lungs, for training and for testing.

    The patient lies on the side, as in the real ones (rows from right to left, columns from front to back). The last
    training picture shows the first one's patient again, at another scale.
    """
    training = out / "Dataset" / "TrainingSet" / "LungInfection-Train" / "Doctor-label"
    testing = out / "Dataset" / "TestingSet" / "LungInfection-Test"
    for folder in (training, testing):
        for name in ("Imgs", "GT", "Edge"):
            if (folder, name) != (testing, "Edge"):
                (folder / name).mkdir(parents=True)
    count = SLICES * patients
    for number in range(count + patients):
        who, shift = (0, 2.0) if number == count - 1 else (number, 0.0)
        chest = patient((seed, 6, who), severity=WORSE[who % 4], size=size)
        generator = np.random.default_rng((seed, 6, number, 4))
        pixels = int(generator.integers(*((190, 460) if size == "full" else (64, 100))))
        part = scan_slice(chest, (seed, 6, who), pixels=pixels, shift=shift)
        window = tuple(float(value) for value in generator.uniform((-1150.0, 130.0), (-1000.0, 380.0)))
        folder, name = (training, str(number)) if number < count else (testing, str(number - count))
        mask = np.isin(part.findings, (1, 2))
        _save_pictures(folder, name, to_gray(part.image, window=window), mask, quality=int(generator.integers(80, 96)))
        yield f"{folder.name} {name}"


LAYOUTS: dict[str, Callable[..., Iterator[str]]] = {
    "covid-19-ct-seg": covid_19_ct_seg,
    "mosmed": mosmed,
    "covid-19-20": covid_19_20,
    "medicalsegmentation": medicalsegmentation,
    "covid-semiseg": covid_semiseg,
}


def unmasked(layout: str, patients: int) -> int:
    """How many of the patients have no mask; none of two."""
    return max(1, patients // UNMASKED[layout]) if layout in UNMASKED and patients > 2 else 0


def _radiopaedia(turn: int) -> str:
    return "radiopaedia_" + (RADIOPAEDIA[turn] if turn < len(RADIOPAEDIA) else f"{31 + turn}_{87000 + turn}_0")


def _scan(key: tuple[int, ...], *, severity: str, size: str, series: str) -> Study:
    """The one scan of a patient."""
    return scan_volume(patient(key, severity=severity, size=size), key, size=size, series=series)


def _save_pictures(folder: Path, name: str, gray: np.ndarray, mask: np.ndarray, *, quality: int) -> None:
    from PIL import Image
    from scipy import ndimage

    Image.fromarray(gray).save(folder / "Imgs" / f"{name}.jpg", quality=quality)
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "GT" / f"{name}.png")
    if (folder / "Edge").is_dir():
        edge = ndimage.binary_dilation(mask) ^ ndimage.binary_erosion(mask)
        Image.fromarray(edge.astype(np.uint8) * 255).save(folder / "Edge" / f"{name}.png")
