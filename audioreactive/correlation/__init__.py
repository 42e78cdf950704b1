"""How audio-reactive is a video? Chapter 3 of the thesis, corrected for what smoothness alone scores.

matrices         correlations between two tables over the same frames
video_features   what moves in a video: Table 3.2
sides            the features of one side, ready to be compared
chance           sound against picture, and both against chance
lag              by how much one of them comes late
files            a video and its sound -> a score
"""

from audioreactive.correlation.chance import Score, ScoreCard, score_features, score_total
from audioreactive.correlation.files import score, sound_tables
from audioreactive.correlation.matrices import CORRELATIONS, adjusted_rv, orthogonal_procrustes, pwcca, smi
from audioreactive.correlation.video_features import VIDEO_FEATURES, watch

__all__ = [
    "CORRELATIONS",
    "VIDEO_FEATURES",
    "Score",
    "ScoreCard",
    "adjusted_rv",
    "orthogonal_procrustes",
    "pwcca",
    "score",
    "score_features",
    "score_total",
    "smi",
    "sound_tables",
    "watch",
]
