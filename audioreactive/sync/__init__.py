"""Measures, repairs and follows: whether sound and picture are together, and where one take lies in another.

container   what a container says of the offset, exact to its clock
heard       changes in a sound
seen        changes in a picture
steadied    changes in a picture without those of a moving camera
towers      how well both fit at each lag, by a small network
track       the lag over time by its likelihoods, through jumps
evidence    how well both fit at each lag, by templates, against chance
estimate    offset, drift, jumps and jitter
foretell    the same by the pictures that a video's recipe foretells
recordings  two recordings of the same sound
watching    a video's picture, read once and kept small
found       an offset as one way of measuring found it
by_recipe   the offset of a video that carries its recipe
measure     a video file -> a report
report      what was found out, and what it means
"""

from audioreactive.sync.measure import measure
from audioreactive.sync.report import BT1359, R37, SyncReport, Tolerance

__all__ = ["BT1359", "R37", "SyncReport", "Tolerance", "measure"]
