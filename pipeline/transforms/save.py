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


class SaveMaskd(MapTransform):
    """Write a label map as uint8 on the image's exact grid, atomically, and put the path into the item as "mask".

    The file has the name of the item's "case", else of its image. Of an item with "slice" the mask has the grid of this
    one slice.

    Args:
        keys: label map (1, X, Y, Z) on the original grid.
        output_dir: folder; made where it is missing.
        ref_key: the image, whose file tells geometry and format.
        overwrite: whether an existing mask is replaced.
    """

    def __init__(self, keys: KeysCollection, output_dir: str, ref_key: str = "image", overwrite: bool = False) -> None:
        super().__init__(keys)
        self.output_dir = Path(output_dir)
        self.ref_key = ref_key
        self.overwrite = overwrite

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        like = d[self.ref_key].meta["filename_or_obj"]
        index = int(d["slice"]) if d.get("slice") is not None else None
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for key in self.key_iterator(d):
            mask = np.asarray(d[key].cpu())[0].astype(np.uint8)
            path = self.output_dir / mask_name(d.get("case") or case_name(first_name(like)), like)
            d["mask"] = str(write_mask(mask, like, path, index=index, overwrite=self.overwrite))
        return d
