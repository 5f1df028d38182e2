"""Smooth random fields in space, the same for every grid that looks at them."""

from __future__ import annotations

import numpy as np

NODES = 48  # of the lattice along each axis; it repeats after so many grains


class Texture:
    """Random values on a lattice, blended smoothly in between (value noise): about standard normal, grains of one size.

    Args:
        generator: source of randomness.
        grain: distance of the lattice's nodes in mm.
    """

    def __init__(self, generator: np.random.Generator, *, grain: float) -> None:
        self.grain = grain
        # blending narrows the spread to (2 * 13/35)**0.5 along each axis, on average over all places
        self.lattice = 1.56 * generator.standard_normal((NODES,) * 3, dtype=np.float32)

    def plane(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Values (columns of x, rows of y) in the plane z; x is (n, 1), y is (1, m), all in mm."""
        below, above, share = self._nodes(np.float32(z))
        layer = _blend(self.lattice[below], self.lattice[above], share)
        below, above, share = self._nodes(x[:, 0])
        layer = _blend(layer[below], layer[above], share[:, None])
        below, above, share = self._nodes(y[0])
        return _blend(layer[:, below], layer[:, above], share)

    def _nodes(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The nodes on either side, and how much the upper one weighs."""
        position = np.asarray(position, dtype=np.float32) / np.float32(self.grain)
        node = np.floor(position)
        rest = position - node
        index = node.astype(np.int64) % NODES
        return index, (index + 1) % NODES, rest * rest * (3.0 - 2.0 * rest)


def _blend(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    return one + share * (other - one)
