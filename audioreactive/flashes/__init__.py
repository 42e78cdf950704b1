"""Flashes that can hurt people with photosensitive epilepsy: found, reported, and dimmed.

definition   what counts as a flash: the numbers of WCAG 2.2 and ITU-R BT.1702
measure      frames -> thumbnails of their light
transitions  thumbnails -> the transitions of each cell
detect       transitions -> flashes in any second
programme    the smallest dimming: a quadratic programme over time
correction   what changes in a frame
limiter      a video's thumbnails -> the corrections that bring it within the rules
files        a video file -> a report
"""

from audioreactive.flashes.definition import FLASHES
from audioreactive.flashes.files import FlashReport, Stretch, find_flashes, sentence
from audioreactive.flashes.limiter import Plan, plan, summary
from audioreactive.flashes.measure import Thumbnails, measure, watched_size

__all__ = [
    "FLASHES",
    "FlashReport",
    "Plan",
    "Stretch",
    "Thumbnails",
    "find_flashes",
    "measure",
    "plan",
    "sentence",
    "summary",
    "watched_size",
]
