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
        self.lattice = generator.standard_normal((NODES,) * 3, dtype=np.float32)

    def plane(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Values (columns of x, rows of y) in the plane z; x is (n, 1), y is (1, m), all in mm."""
        node, low, high = self._nodes(np.float32(z))
        layer = low * self.lattice[node] + high * self.lattice[(node + 1) % NODES]
        node, low, high = self._nodes(x[:, 0])
        layer = low[:, None] * layer[node] + high[:, None] * layer[(node + 1) % NODES]
        node, low, high = self._nodes(y[0])
        return low * layer[:, node] + high * layer[:, (node + 1) % NODES]

    def _nodes(self, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The node below, its weight and the next one's; their squares add up to one, so that the spread is even."""
        position = np.asarray(position, dtype=np.float32) / np.float32(self.grain)
        node = np.floor(position)
        rest = position - node
        high = rest * rest * (3.0 - 2.0 * rest)
        size = np.sqrt(high * high + (1.0 - high) ** 2)
        return node.astype(np.int64) % NODES, (1.0 - high) / size, high / size
