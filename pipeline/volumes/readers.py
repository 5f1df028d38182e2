"""MONAI image readers: every format as a volume (X, Y, Z) with RAS affine, also those that MONAI itself lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from monai.data import ImageReader, NibabelReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from pipeline.errors import DataError, Problem
from pipeline.volumes.channels import GRID_MM, grid_distance
from pipeline.volumes.grid import PICTURE_AFFINE, affine, has_geometry, trimmed
from pipeline.volumes.itk import affine_of, as_volume, read_itk
from pipeline.volumes.names import Names, is_nifti, suffix_of
from pipeline.volumes.nifti import read_nifti
from pipeline.volumes.pictures import read_picture_folder


class LeanNiftiReader(NibabelReader):
    """MONAI's NibabelReader with less memory: no copy in float64, none to reorder the axes, same values in float32.

    Measured: loading a 512 x 512 x 400 CT (int16 with a slope, .nii.gz) takes 0.5 GB and 2.7 s instead of 1.6 GB and
    6.4 s; without a slope 0.6 GB and 2.5 s instead of 0.8 GB and 3.3 s.

    A 2D image is a volume of one slice, as in every other format. Truncated and damaged files are told in one line.
    Axes lie as `pipeline.volumes.affine` says; MONAI's own takes the qform, even one that is marked as unknown, where
    the sform's distances are not pixdim's. Of several files a later one lies exactly where the first does if no more
    than rounding (`GRID_MM`) is between them; MONAI would take them for two grids.
    """

    def read(self, data: Names, **kwargs: Any) -> Any:
        """nibabel's image of a file, or the list of those of several, with their headers as they stand."""
        self.filenames = ensure_tuple(data)
        self._affines: dict[str, np.ndarray] = {}
        images = [nib.load(name) for name in self.filenames]
        return images if len(images) > 1 else images[0]

    def _get_array_data(self, img: Any, filename: str | Path) -> np.ndarray:
        voxels = read_nifti(filename, img, last_axis_fastest=True)
        voxels = voxels.reshape(trimmed(voxels.shape))
        return voxels[..., None] if voxels.ndim == 2 else voxels

    def _get_spatial_shape(self, img: Any) -> np.ndarray:
        size = super()._get_spatial_shape(img)
        return np.append(size, 1) if len(size) == 2 else size

    def _get_affine(self, img: Any) -> np.ndarray:
        found, first = (self._affine_of(str(name)) for name in (img.get_filename(), self.filenames[0]))
        return (first if grid_distance(found, first, img.shape) <= GRID_MM else found).copy()

    def _affine_of(self, name: str) -> np.ndarray:
        """Read once, though MONAI asks twice."""
        if name not in self._affines:
            self._affines[name] = affine(name)
        return self._affines[name]


class VolumeReader(ImageReader):
    """Every format alike, for `LoadImaged(reader=...)`: NIfTI, MetaImage, NRRD, DICOM series, pictures and folders of
    them.

    Arrays come as (X, Y, Z), as nibabel's do, affines as RAS in mm; a 2D image is a volume of one slice. Several files
    and the colours of a picture (`pipeline.volumes.pictures`) are channels in front. The metadata hold "has_geometry":
    whether the file says where its voxels lie in mm.

    Args:
        labels: read masks: of a picture the label numbers (palette indices; JPEG and colour refused).
    """

    def __init__(self, *, labels: bool = False) -> None:
        self.labels = labels

    def verify_suffix(self, filename: Names) -> bool:
        """Whether every name is that of a known format, or a folder."""
        return all(suffix_of(name) or Path(name).is_dir() for name in ensure_tuple(filename))

    def read(self, data: Names, **kwargs: Any) -> tuple[LeanNiftiReader | None, Any]:
        """What is read of these names, and who makes an array of NIfTI; nothing is kept, so threads may share a reader.

        Raises:
            DataError: unreadable, or channels in formats that do not go together.
        """
        names = ensure_tuple(data)
        kinds = [(is_nifti(name), has_geometry(name)) for name in names]
        odd = next((name for name, kind in zip(names, kinds, strict=True) if kind != kinds[0]), None)
        if odd is not None:
            found = f"{Path(odd).name} beside {Path(names[0]).name}"
            remedy = "Convert them to one format"
            raise DataError(Problem(str(odd), "all channels of a case in one kind of file", found, remedy))
        if is_nifti(names[0]):
            reader = LeanNiftiReader()  # MONAI's keeps the names between `read` and `get_data`
            return reader, reader.read(data, **kwargs)
        return None, [self._volume(name) for name in names]

    def get_data(self, img: tuple[LeanNiftiReader | None, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Array and metadata of what `read` returned; raises ValueError for several images on different grids."""
        reader, images = img
        if reader is not None:
            array, meta = reader.get_data(images)
            return array, {"has_geometry": True, **meta}
        first = images[0]
        shape = first.voxels.shape[-3:]
        on_one_grid = all(grid_distance(image.affine, first.affine, shape) <= GRID_MM for image in images)
        if not on_one_grid or len({image.voxels.shape[-3:] for image in images}) > 1:
            raise ValueError("channels must lie on one grid (shape and affine)")
        channels = [channel for image in images for channel in image.voxels.reshape(-1, *shape)]
        several = len(channels) > 1
        meta = {
            "has_geometry": first.has_geometry,
            MetaKeys.ORIGINAL_AFFINE: first.affine.copy(),
            MetaKeys.AFFINE: first.affine.copy(),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.SPATIAL_SHAPE: np.asarray(shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0 if several else float("nan"),
        }
        return (np.stack(channels) if several else channels[0]), meta

    def _volume(self, name: str | Path) -> _Volume:
        if has_geometry(name):
            import SimpleITK

            image = as_volume(read_itk(name), name)
            return _Volume(SimpleITK.GetArrayFromImage(image).T, affine_of(image), True)
        return _Volume(read_picture_folder(name, labels=self.labels), PICTURE_AFFINE, False)


class _Volume(NamedTuple):
    """(X, Y, Z) voxels, or (3, X, Y, Z) of a picture in colour, and where they lie."""

    voxels: np.ndarray
    affine: np.ndarray
    has_geometry: bool
