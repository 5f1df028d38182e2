"""New images in, masks out: a bundle's inference.json run case by case, with preview, statistics and manifest."""

from pipeline.segmentation.group import let_the_first_speak
from pipeline.segmentation.segment import Summary, segment
from pipeline.segmentation.signals import exit_code

__all__ = ["Summary", "exit_code", "let_the_first_speak", "segment"]
