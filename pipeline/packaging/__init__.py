"""Bundles as other programs take them: self-contained folders and zips, exported networks, and their checks."""

from pipeline.packaging.packer import Packed, package
from pipeline.packaging.verification import Finding, verify

__all__ = ["Finding", "Packed", "package", "verify"]
