"""Branching tubes: vessels and airways that thin out towards the surface of a lung, and how a plane cuts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PIECE, MOST_PIECES = 11.0, 40  # mm, straight pieces of a branch; how many it may have
SHARE_EXPONENT = 0.43  # radius by number of twigs: between 1/3 (Murray's law) and 1/2 (equal cross-section)


@dataclass(frozen=True)
class Tubes:
    """Straight tubes with round ends. All lengths in mm.

    Args:
        start, end: (n, 3) positions (x, y, z).
        radius: (n, 2) at start and end.
    """

    start: np.ndarray
    end: np.ndarray
    radius: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def where(self, keep: np.ndarray) -> Tubes:
        """Some of them."""
        return Tubes(self.start[keep], self.end[keep], self.radius[keep])

    def wider(self, margin: float) -> Tubes:
        """The same with walls so much thicker."""
        return Tubes(self.start, self.end, self.radius + margin)


def join(*parts: Tubes) -> Tubes:
    """All tubes of several sets."""
    return Tubes(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("start", "end", "radius")))


def path(*knots: tuple[float, float, float, float]) -> Tubes:
    """One bent tube through (x, y, z, radius)."""
    table = np.array(knots, dtype=float)
    return Tubes(table[:-1, :3], table[1:, :3], np.stack([table[:-1, 3], table[1:, 3]], axis=1))


def grow(root: np.ndarray, twigs: np.ndarray, generator: np.random.Generator, *, twig_radius: float) -> Tubes:
    """A tree from a root to the tips of its twigs: each, the nearest first, sprouts from the closest branch.

    Args:
        root: (3,) position.
        twigs: (n, 3) positions of the tips.
        generator: source of randomness (of bends).
        twig_radius: in mm; branches are wider the more twigs they feed.
    """
    twigs = twigs[np.argsort(np.linalg.norm(twigs - root, axis=1), kind="stable")]
    places = np.empty((1 + len(twigs) * MOST_PIECES, 3))
    places[0] = root
    reach = np.zeros(len(places))  # length of the way from the root
    parents, fed = np.zeros(len(places), dtype=int), np.zeros(len(places))
    known = 1
    for twig in twigs:
        gaps = np.linalg.norm(places[:known] - twig, axis=1)
        node = int(np.argmin(gaps + 0.25 * reach[:known]))
        pieces = int(np.clip(np.ceil(gaps[node] / PIECE), 1, MOST_PIECES))
        bends = generator.normal(0.0, 0.03 * gaps[node] / max(pieces, 2), size=(pieces, 3))
        bends[-1] = 0.0
        for step, bend in enumerate(bends):
            places[known] = places[node] + (twig - places[node]) / (pieces - step) + bend
            reach[known] = reach[node] + np.linalg.norm(places[known] - places[node])
            parents[known] = node
            node, known = known, known + 1
        fed[node] = 1.0
    for node in range(known - 1, 0, -1):
        fed[parents[node]] += fed[node]
    radius = twig_radius * fed[:known] ** SHARE_EXPONENT
    parents = parents[1:known]
    # a twig that leaves a trunk is thin from its beginning
    begins = np.minimum(0.5 * (radius[parents] + radius[1:]), 1.3 * radius[1:])
    return Tubes(places[parents], places[1:known], np.stack([begins, radius[1:]], axis=1))


def beside(tubes: Tubes, *, least: float) -> Tubes:
    """The airways that run along the vessels at least `least` mm in radius, a little narrower and touching them."""
    kept = tubes.where(tubes.radius[:, 1] >= least)
    shift = np.stack([np.zeros(len(kept)), -np.ones(len(kept)), 0.4 * np.ones(len(kept))], axis=1)
    lumen = 0.75 * kept.radius
    distance = kept.radius + lumen + 0.9
    return Tubes(kept.start + shift * distance[:, :1], kept.end + shift * distance[:, 1:], lumen)


def tube_share(tubes: Tubes, x: np.ndarray, y: np.ndarray, z: float, *, width: float) -> np.ndarray:
    """How much of each pixel of an axial plane lies in tubes, 0 to 1, float32.

    Args:
        tubes: the tubes.
        x: positions of the columns in mm, (n, 1), evenly spaced and rising.
        y: positions of the rows in mm, (1, m), likewise.
        z: height of the plane.
        width: of a pixel in mm; thinner tubes fill it in part.
    """
    share = np.zeros((x.shape[0], y.shape[1]), dtype=np.float32)
    margin = tubes.radius.max(axis=1, keepdims=True) + 0.5 * width
    low, high = np.minimum(tubes.start, tubes.end) - margin, np.maximum(tubes.start, tubes.end) + margin
    met = np.flatnonzero((low[:, 2] <= z) & (high[:, 2] >= z))
    columns, rows = x[:, 0], y[0]
    first = np.searchsorted(columns, low[met, 0]), np.searchsorted(rows, low[met, 1])
    last = np.searchsorted(columns, high[met, 0], "right"), np.searchsorted(rows, high[met, 1], "right")
    for tube, i, k, j, m in zip(met, first[0], last[0], first[1], last[1], strict=True):
        if i < k and j < m:
            part = _share_of_one(tubes, tube, x[i:k], y[:, j:m], z, width)
            np.maximum(share[i:k, j:m], part, out=share[i:k, j:m])
    return share


def _share_of_one(tubes: Tubes, tube: int, x: np.ndarray, y: np.ndarray, z: float, width: float) -> np.ndarray:
    (sx, sy, sz), way = tubes.start[tube].tolist(), tubes.end[tube] - tubes.start[tube]
    radius, other = tubes.radius[tube].tolist()
    length = float(way @ way) + 1e-9
    wx, wy, wz = way.tolist()
    u, v, w = x - sx, y - sy, z - sz
    along = np.clip(u * (wx / length) + (v * (wy / length) + w * wz / length), 0.0, 1.0)
    du, dv, dw = u - along * wx, v - along * wy, w - along * wz
    r = radius + along * (other - radius)
    distance = np.sqrt(du * du + dv * dv + dw * dw) - r
    thin = np.minimum(r * (1.0 / width), 0.5)  # a thin tube, spread over a pixel, keeps its area
    return np.clip(0.5 - distance * (1.0 / width), 0.0, 1.0) * (2.0 * thin / (0.5 + thin) ** 2)
