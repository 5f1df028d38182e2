"""MONAI image readers for MetaImage, NRRD and DICOM series by SimpleITK, which MONAI itself lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader, NibabelReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from pipeline.volumes import ITK_SUFFIXES, is_nifti, suffix_of
from pipeline.volumes.itk import affine_of, as_volume, read_itk

Names = str | Path | Sequence[str | Path]


class SimpleITKReader(ImageReader):
    """Read .mha, .mhd, .nrrd, .nrrd.gz, or the folder of one DICOM series.

    Arrays come as (X, Y, Z), as nibabel's do, affines as RAS in mm, so that a volume loads alike from every format.
    A 2D image is a volume of one slice, 1 mm thick. Several files are stacked as channels in front.
    """

    def verify_suffix(self, filename: Names) -> bool:
        """Whether every name is of a known suffix, or a folder."""
        return all(suffix_of(name) in ITK_SUFFIXES or Path(name).is_dir() for name in ensure_tuple(filename))

    def read(self, data: Names, **_: Any) -> Any:
        """One SimpleITK image, or a list of them for several names; raises DataError for what cannot be read."""
        images = [as_volume(read_itk(name), name) for name in ensure_tuple(data)]
        return images if len(images) > 1 else images[0]

    def get_data(self, img: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """The array (X, Y, Z), or (channels, X, Y, Z) for several images, and its metadata.

        Raises:
            ValueError: several images on different grids.
        """
        import SimpleITK

        images = list(img) if isinstance(img, list) else [img]
        affines = [affine_of(image) for image in images]
        shapes = {image.GetSize() for image in images}
        if len(shapes) > 1 or not all(np.allclose(affine, affines[0]) for affine in affines):
            raise ValueError("channels must lie on one grid (shape and affine)")
        arrays = [SimpleITK.GetArrayFromImage(image).T for image in images]
        several = len(images) > 1
        meta = {
            "spacing": np.asarray(images[0].GetSpacing()),
            MetaKeys.ORIGINAL_AFFINE: affines[0],
            MetaKeys.AFFINE: affines[0].copy(),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.SPATIAL_SHAPE: np.asarray(images[0].GetSize()),
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0 if several else float("nan"),
        }
        return (np.stack(arrays) if several else arrays[0]), meta


class VolumeReader(ImageReader):
    """NIfTI by MONAI's NibabelReader, everything else by `SimpleITKReader`; `LoadImaged(reader=...)` takes only one."""

    def __init__(self) -> None:
        self.nifti = NibabelReader()
        self.itk = SimpleITKReader()
        self.used: ImageReader = self.nifti

    def verify_suffix(self, filename: Names) -> bool:
        """Whether either reader knows all of the names."""
        return self.nifti.verify_suffix(filename) or self.itk.verify_suffix(filename)

    def read(self, data: Names, **kwargs: Any) -> Any:
        """What the reader for these names makes of them."""
        self.used = self.nifti if all(is_nifti(name) for name in ensure_tuple(data)) else self.itk
        return self.used.read(data, **kwargs)

    def get_data(self, img: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Array and metadata of what `read` has just returned."""
        return self.used.get_data(img)
