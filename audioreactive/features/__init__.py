"""Analyse sound into `Features`: named envelopes, one value per video frame; one module per kind of information."""

from audioreactive.features.analyze import analyze, analyze_file
from audioreactive.features.names import (
    DEFAULT_FEATURES,
    EVERY_FEATURE,
    FEATURES,
    MOMENTS,
    SEGMENT_COUNTS,
    SEGMENTABLE,
    SOURCES,
    USUAL_FEATURES,
    Feature,
    is_univariate,
    split_name,
)
from audioreactive.features.types import Features

__all__ = [
    "DEFAULT_FEATURES",
    "EVERY_FEATURE",
    "FEATURES",
    "MOMENTS",
    "SEGMENTABLE",
    "SEGMENT_COUNTS",
    "SOURCES",
    "USUAL_FEATURES",
    "Feature",
    "Features",
    "analyze",
    "analyze_file",
    "is_univariate",
    "split_name",
]
