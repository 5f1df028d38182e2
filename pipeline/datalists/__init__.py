"""Which files belong to a dataset, to a fold and to a side of it: raw folders become one form of JSON list."""

from __future__ import annotations

from pipeline.datalists.datalist import check_no_leak, load_datalist, resolve_datalist, save_datalist
from pipeline.datalists.images import list_images
from pipeline.datalists.selection import ALL, items

__all__ = ["ALL", "check_no_leak", "items", "list_images", "load_datalist", "resolve_datalist", "save_datalist"]
