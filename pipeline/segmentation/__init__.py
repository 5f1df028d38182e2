"""New images in, masks out: a bundle's inference.json run case by case, with preview, statistics and manifest."""

from pipeline.segmentation.segment import Summary, segment

__all__ = ["Summary", "segment"]
