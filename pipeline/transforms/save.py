"""Label maps as files."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform

from pipeline.datalists.datalist import case_name
from pipeline.volumes import first_name, mask_name, write_mask
from pipeline.volumes.names import Names


class SaveOnGridd(MapTransform):
    """Base of what writes a map, atomically, on the exact grid of an item's image, or of the item's "slice" of it.

    Args:
        keys: what the map is made of.
        output_dir: folder; made where it is missing.
        ref_key: the image, whose file tells geometry and format.
        overwrite: whether an existing file is replaced.
    """

    def __init__(self, keys: KeysCollection, output_dir: str, ref_key: str = "image", overwrite: bool = False) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        self.ref_key = ref_key
        self.overwrite = overwrite

    def image_of(self, data: Mapping[Hashable, Any]) -> Names:
        """The file of the item's image, or its files."""
        return data[self.ref_key].meta["filename_or_obj"]

    def write(self, array: np.ndarray, name: str, data: Mapping[Hashable, Any], dtype: type = np.uint8) -> str:
        """Write a map (X, Y, Z) as `pipeline.volumes.write_mask` does, and return its path."""
        index = int(data["slice"]) if data.get("slice") is not None else None
        path, like = self.output_dir / name, self.image_of(data)
        return str(write_mask(array, like, path, index=index, dtype=dtype, overwrite=self.overwrite))


class SaveMaskd(SaveOnGridd):
    """Write a label map as uint8 and put the path into the item as "mask".

    The file has the name of the item's "case", else of its image.

    Args:
        keys: label map (1, X, Y, Z) on the original grid.
        output_dir, ref_key, overwrite: as `SaveOnGridd` takes them.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        like = self.image_of(d)
        for key in self.key_iterator(d):
            mask = np.asarray(d[key].cpu())[0].astype(np.uint8)
            d["mask"] = self.write(mask, mask_name(d.get("case") or case_name(first_name(like)), like), d)
        return d
