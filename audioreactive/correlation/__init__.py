"""Measures how audio-reactive a video is: chapter 3 of the thesis, corrected for the score of smoothness alone.

matrices         correlations between two tables over the same frames
video_features   motion features of a video: Table 3.2
sides            features of the sound or of the picture, prepared for comparison
chance           correlation of sound and picture, compared with chance
lag              delay between picture and sound
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
