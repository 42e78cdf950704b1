"""Find, report and dim flashes that can harm people with photosensitive epilepsy.

definition   limits of WCAG 2.2 and ITU-R BT.1702 for a flash
measure      frames -> thumbnails of their mean light
transitions  thumbnails -> the transitions of each cell
detect       transitions -> flashes in any second
programme    the smallest dimming, as a quadratic programme over time
correction   the change to the pixels of a frame
limiter      thumbnails of a video -> corrections after which it keeps the rules
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
