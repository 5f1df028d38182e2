"""Which voxels belong to the brightest kind of tissue, by four methods that learn nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

METHODS = ("otsu", "region_growing", "watershed", "gaussian_mixture")
SAMPLES = 50_000  # voxels that a mixture is fitted to
SHALLOW = 0.05  # of the strongest gradient: basins less deep join their neighbours


def otsu(image: np.ndarray, region: np.ndarray, *, classes: int) -> np.ndarray:
    """Voxels of `region` above the highest of Otsu's thresholds (IEEE Trans. SMC 9, 1979; Liao et al. for several).

    Args:
        image: any shape, any scale: a linear change of intensities changes nothing.
        region: bool, where thresholds are found and voxels taken.
        classes: kinds of tissue, at least two.

    Returns:
        bool mask; empty where the region has fewer distinct intensities than classes.
    """
    return region & (image > _threshold(image[region], classes))


def gaussian_mixture(image: np.ndarray, region: np.ndarray, *, classes: int) -> np.ndarray:
    """Voxels of `region` that most likely come from the brightest of `classes` normal distributions (EM, scikit-learn).

    Fitted to at most 50 000 voxels, always the same ones. A voxel darker than the second brightest mean never counts,
    however wide the brightest distribution is. Arguments and result as in `otsu`.
    """
    from sklearn.mixture import GaussianMixture

    values = image[region]
    if len(np.unique(values[:: max(1, len(values) // SAMPLES)])) < classes:
        return np.zeros_like(region)
    sample = np.random.default_rng(0).choice(values, min(len(values), SAMPLES), replace=False).astype(np.float64)
    centre, scale = sample.mean(), sample.std()
    sample = (sample - centre) / scale
    quantiles = np.quantile(sample, (np.arange(classes) + 0.5) / classes)
    model = GaussianMixture(classes, means_init=quantiles[:, None], random_state=0).fit(sample[:, None])
    second, brightest = np.argsort(model.means_[:, 0])[-2:]
    ladder = np.linspace(sample.min(), sample.max(), 1024)
    taken = (model.predict(ladder[:, None]) == brightest) & (ladder > model.means_[second, 0])
    if not taken.any():
        return np.zeros_like(region)
    return region & ((image - centre) / scale >= ladder[taken][0])


def region_growing(image: np.ndarray, seeds: np.ndarray, *, region: np.ndarray, width: float = 2.5) -> np.ndarray:
    """What is connected with `seeds` and not much darker than they are (SimpleITK's ConnectedThreshold).

    Args:
        image: (X, Y) or (X, Y, Z).
        seeds: bool, where to start; none gives an empty mask.
        region: bool, beyond which nothing is taken.
        width: how many standard deviations of the seeds below their mean a voxel may be.
    """
    import SimpleITK

    places = np.argwhere(seeds)
    if not len(places):
        return np.zeros_like(region)
    lower = float(image[seeds].mean() - width * image[seeds].std())
    itk = SimpleITK.GetImageFromArray(np.where(region, image, lower - 1).astype(np.float32))
    first = [[int(n) for n in place[::-1]] for place in places]  # SimpleITK counts axes backwards
    grown = SimpleITK.ConnectedThreshold(itk, first, lower, float(image[region].max()) + 1)
    return region & (SimpleITK.GetArrayFromImage(grown) > 0)


def watershed(image: np.ndarray, region: np.ndarray, *, classes: int, spacing: Sequence[float]) -> np.ndarray:
    """Basins between edges whose mean is above the highest of Otsu's thresholds (SimpleITK's morphological watershed).

    Args:
        image, region, classes: as in `otsu`.
        spacing: mm of each axis; the gradient is smoothed over the largest in-plane spacing.
    """
    import SimpleITK
    from scipy import ndimage

    threshold = _threshold(image[region], classes)
    if not np.isfinite(threshold):
        return np.zeros_like(region)
    itk = SimpleITK.GetImageFromArray(image.astype(np.float32))
    itk.SetSpacing([float(n) for n in reversed(spacing)])
    edges = SimpleITK.GradientMagnitudeRecursiveGaussian(itk, sigma=float(max(spacing[:2])))
    strongest = float(np.quantile(SimpleITK.GetArrayViewFromImage(edges)[region], 0.99))
    basins = SimpleITK.MorphologicalWatershed(edges, level=SHALLOW * strongest, markWatershedLine=False)
    number = SimpleITK.GetArrayFromImage(basins)
    present, number = np.unique(number, return_inverse=True)
    means = np.asarray(ndimage.mean(image, number, np.arange(len(present))))
    return region & (means > threshold)[number]


def _threshold(values: np.ndarray, classes: int) -> float:
    """The highest of Otsu's thresholds; infinite where there are too few intensities to tell classes apart."""
    from skimage.filters import threshold_multiotsu

    try:
        return float(threshold_multiotsu(values, classes)[-1])
    except ValueError:
        return np.inf
