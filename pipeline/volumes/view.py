"""How a volume is shown to a person: patient's right at the left, front above back, head above feet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.volumes.grid import slice_axis


class View:
    """A stack as a viewer shows it: slices in stored order, rows downwards, columns to the right.

    Axial slices have the patient's right at the left and the front above, coronal and sagittal ones the head above. A
    picture without geometry stays as it is: its columns are columns, its rows are rows.

    Args:
        matrix: (4, 4) voxel -> RAS mm.
        distances: mm along each axis; they say which axis runs across the slices (`pipeline.volumes.slice_axis`).
        shape: of the volume, where known: a single slice is shown as such whatever its thickness.
    """

    def __init__(self, matrix: np.ndarray, distances: Sequence[float], shape: Sequence[int] = ()) -> None:
        import nibabel as nib

        orientation = nib.io_orientation(matrix)
        self.across = slice_axis(distances, shape)
        in_plane = [axis for axis in range(3) if axis != self.across]
        self.across_screen, self.down_screen = sorted(in_plane, key=lambda axis: orientation[axis, 0])
        self.flips = [axis for axis in in_plane if orientation[axis, 1] > 0]  # RAS axes point right, front, up
        self.column_mm, self.row_mm = distances[self.across_screen], distances[self.down_screen]

    def __call__(self, volume: np.ndarray) -> np.ndarray:
        """(slices, rows, columns) of a volume (X, Y, Z)."""
        return np.flip(volume, self.flips).transpose(self.across, self.down_screen, self.across_screen)
