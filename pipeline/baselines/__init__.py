"""Segmentation that learns nothing: thresholds, region growing, watersheds and mixtures, and a rule of anatomy."""

from pipeline.baselines.network import Baseline

__all__ = ["Baseline"]
