"""Networks, and what runs them faster: only what MONAI lacks."""

from pipeline.networks.in_plane import in_plane

__all__ = ["in_plane"]
