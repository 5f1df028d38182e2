"""Which labels make up each structure, with the background as one more."""

from __future__ import annotations

import numpy as np

from pipeline.metrics.labels import Labels, members_of


def background_members(structures: Labels) -> np.ndarray:
    """`members_of` with one more row, the first, for what is in no structure; (structures + 1, classes) booleans."""
    members = members_of(structures)
    return np.concatenate([~members.any(0)[None], members])
