"""Smooth random fields in space, the same for every grid that looks at them."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

NODES = 48  # of the lattice along each axis; then it repeats


class Texture:
    """Smoothed random values on a lattice, blended in between: about standard normal, grains of one size.

    Args:
        generator: source of randomness.
        grain: rough size of the grains in mm.
    """

    def __init__(self, generator: np.random.Generator, *, grain: float) -> None:
        self.step = 0.6 * grain
        white = generator.standard_normal((NODES,) * 3, dtype=np.float32)
        lattice = ndimage.gaussian_filter(white, 0.9, mode="wrap", truncate=2.5)  # else grains would be square
        self.lattice = lattice / (0.9 * lattice.std())  # blending takes another tenth of the spread

    def plane(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Values (columns of x, rows of y) in the plane z; x is (n, 1), y is (1, m), all in mm."""
        node, share = self._nodes(np.float32(z))
        layer = _blend(self.lattice[node], self.lattice[(node + 1) % NODES], share)
        node, share = self._nodes(x[:, 0])
        layer = _blend(layer[node], layer[(node + 1) % NODES], share[:, None])
        node, share = self._nodes(y[0])
        return _blend(layer[:, node], layer[:, (node + 1) % NODES], share)

    def _nodes(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The node below each position, and the share of the next one."""
        position = np.asarray(position, dtype=np.float32) / np.float32(self.step)
        node = np.floor(position)
        rest = position - node
        return node.astype(np.int64) % NODES, rest * rest * (3.0 - 2.0 * rest)


def _blend(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return one + share * (other - one)
