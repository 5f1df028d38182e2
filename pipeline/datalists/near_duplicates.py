"""Which slices come from one scan: where no patient is named, by what they show and how they look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.intensity_scale import Scale, scale_of, window_ends

SAME_PICTURE = 0.83  # correlation above which two thumbnails are the same or neighbouring slices
SAME_LOOK = 1.75  # distance of grey levels and grain below which two slices come from one reconstruction, ...
ALIKE = 0.4  # ... if their thumbnails correlate at least so much
SAME_SLICE = 0.95  # correlation of one slice with itself at another scale or crop
SAME_TURNED = 0.88  # the same for slices of different sources, where eight orientations are tried
SIDE, SHIFT = 48, 4  # thumbnails of SIDE x SIDE pixels are moved by up to SHIFT pixels over one another
LOOK_UNITS = np.array([3.0, 8.0, 0.25, 0.25])  # what counts as one step of tissue, lung and their log grains
DARK = 165  # grey level that parts lung, also where it is hazy, from soft tissue
WINDOW = (-1250, 250)  # HU that become grey levels 0 and 255
AIR_FRAME = 0.5  # share of dark pixels on the picture's border from which on the body is surrounded by air


@dataclass(frozen=True)
class Fingerprint:
    """What is compared of one slice.

    Args:
        thumbnail: (48, 48), the part of the slice with the lungs, grey levels 0 to 255.
        look: the commonest grey of soft tissue and of lung, then log(1 + grain) of each; the grain is the lower
            quartile of the standard deviation in squares of 5 x 5 pixels. Of pictures in grey levels only; not a number
            of those in Hounsfield units, which show every patient's tissue alike.
    """

    thumbnail: np.ndarray
    look: np.ndarray


def fingerprint(picture: np.ndarray) -> Fingerprint:
    """Of one axial CT slice, (height, width), 5 x 5 or more, in grey levels or Hounsfield units (-1250 to 250)."""
    from PIL import Image

    picture = np.asarray(picture, dtype=np.float32)
    scale = scale_of(picture.min(), picture.max())
    black, white = window_ends(scale, *WINDOW)
    grey = np.clip((picture - black) * (255 / (white - black)), 0, 255)
    rows, columns = _lung_box(grey)
    thumbnail = Image.fromarray(grey[rows, columns]).resize((SIDE, SIDE), Image.Resampling.BOX)
    look = _look(grey) if scale in (Scale.GREY, Scale.UNIT) else np.full(4, np.nan)
    return Fingerprint(np.asarray(thumbnail, dtype=np.float32), look)


def find(
    fingerprints: Mapping[str, Fingerprint], sources: Mapping[str, str] | None = None, *, across_only: bool = False
) -> list[list[str]]:
    """Sets of slices that are taken to show one patient.

    Two slices belong together where their thumbnails correlate by 0.83 or more at the best shift (the same slice, also
    at another scale or crop, or its neighbour), or where they look as if reconstructed and windowed together (greys of
    tissue and lung, grain of both) and correlate by 0.4 or more. Slices of different sources belong together where they
    correlate by 0.88 or more in one of eight orientations: programs store a slice turned, mirrored, in other greys.
    Belonging is passed on along chains.

    The limits were chosen on the 50 training slices of COVID-SemiSeg, by looking at every pair near them: the same
    slice correlates by 0.997, neighbours by 0.84 to 0.96, different patients by up to 0.815. They rather join
    strangers than part a patient: a set too large costs a little balance of the folds, one too small flatters scores.
    Where a set of a source would hold more than four slices and a quarter of all, its slices look too much alike for
    that: looks are not compared, and if it is still so, only slices that correlate by 0.95 belong together.

    Args:
        fingerprints: by name.
        sources: the source of each, by name; without it all are of one.
        across_only: compare slices of different sources only.
    Returns:
        sets of two names or more, each sorted, in order; empty where nothing belongs together.
    """
    names = sorted(fingerprints)
    if len(names) < 2:
        return []
    source = np.array([(sources or {}).get(name, "") for name in names])
    thumbnails = np.stack([fingerprints[name].thumbnail for name in names])
    looks = np.stack([fingerprints[name].look for name in names])
    joined = np.zeros((len(names), len(names)), dtype=bool)
    for one in [] if across_only else np.unique(source):
        members = np.flatnonzero(source == one)
        joined[np.ix_(members, members)] = _joined_within(thumbnails[members], looks[members])
    across = source[:, None] != source[None, :]
    if across.any():
        joined |= across & (correlations(thumbnails, turned=True) >= SAME_TURNED)
    part = _parts(joined)
    sets = [[names[index] for index in np.flatnonzero(part == number)] for number in range(part.max() + 1)]
    return sorted(members for members in sets if len(members) > 1)


def correlations(thumbnails: np.ndarray, *, turned: bool = False) -> np.ndarray:
    """Pearson correlation of every two thumbnails at the best shift of up to 4 pixels along each axis.

    Args:
        thumbnails: (n, side, side).
        turned: also try the second one turned by quarters and mirrored.
    Returns:
        (n, n), symmetric; 0 where a thumbnail is constant.
    """
    middle = slice(SHIFT, -SHIFT)
    centres = _standardised(thumbnails[:, middle, middle].reshape(len(thumbnails), -1))
    best = np.empty((len(thumbnails), len(thumbnails)))
    for index, thumbnail in enumerate(thumbnails):
        views = _orientations(thumbnail) if turned else [thumbnail]
        windows = np.lib.stride_tricks.sliding_window_view(views, np.subtract(thumbnail.shape, 2 * SHIFT), axis=(1, 2))
        best[index] = (_standardised(windows.reshape(-1, centres.shape[1])) @ centres.T).max(axis=0)
    return np.maximum(best, best.T)


def _joined_within(thumbnails: np.ndarray, looks: np.ndarray) -> np.ndarray:
    """Which slices of one source belong together: by the loosest rule that still tells patients apart."""
    alike = correlations(thumbnails)
    distance = np.linalg.norm((looks[:, None] - looks[None]) / LOOK_UNITS, axis=-1)  # not a number is not near
    same = alike >= SAME_PICTURE
    rules = (same | ((distance <= SAME_LOOK) & (alike >= ALIKE)), same, alike >= SAME_SLICE)
    limit = max(4, len(thumbnails) / 4)
    return next((rule for rule in rules if np.bincount(_parts(rule)).max() <= limit), rules[-1])


def _parts(joined: np.ndarray) -> np.ndarray:
    """The number of the set that each belongs to, along chains."""
    from scipy.sparse.csgraph import connected_components

    return connected_components(joined, directed=False)[1]


def _look(grey: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    counts = np.histogram(grey, 256, (0, 256))[0]
    smooth = ndimage.gaussian_filter1d(counts.astype(float), 3)
    tissue, lung = 128 + int(smooth[128:250].argmax()), 5 + int(smooth[5:110].argmax())
    mean = ndimage.uniform_filter(grey, 5)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(grey * grey, 5) - mean * mean, 0))
    return np.array([tissue, lung, *np.log1p([_grain(spread[abs(mean - level) < 15]) for level in (tissue, lung)])])


def _lung_box(grey: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold the lungs: all of a picture that was cropped to them."""
    from scipy import ndimage

    parts, _ = ndimage.label(ndimage.gaussian_filter(grey, 1) < DARK)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    sizes = np.bincount(parts.ravel())
    sizes[[0, *border]] = 0
    lungs = (sizes > 0.003 * grey.size)[parts]
    if (border > 0).mean() < AIR_FRAME or not lungs.any():
        return slice(None), slice(None)
    return ndimage.find_objects(lungs.astype(np.uint8))[0]


def _grain(spread: np.ndarray) -> float:
    return float(np.percentile(spread, 25)) if spread.size else 0.0


def _standardised(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 1e-6)


def _orientations(thumbnail: np.ndarray) -> list[np.ndarray]:
    return [np.rot90(view, quarter) for view in (thumbnail, thumbnail.T) for quarter in range(4)]
