"""How audio-reactive is a video? Chapter 3 of the thesis, corrected for what smoothness alone scores.

matrices   correlations between two tables over the same frames
"""

from audioreactive.correlation.matrices import CORRELATIONS, adjusted_rv, orthogonal_procrustes, pwcca, smi

__all__ = [
    "CORRELATIONS",
    "adjusted_rv",
    "orthogonal_procrustes",
    "pwcca",
    "smi",
]
