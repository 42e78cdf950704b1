"""The lag at which a picture follows its sound.

Pairs of features cannot tell it. A picture that follows one feature of the sound comes before or after the others: for
example chroma, computed in long windows, changes some frames before a swelling chord is loud, and the picture may fit
both, each at its own lag. So all features are used together: for each lag, how much of the changes in the picture do
all changes in the sound explain? A change that two features share then counts once, at the lag where it fits best.

1. Changes instead of values, because slow motion fits nearly as well a little earlier or later. A calm picture follows
   only slow changes of the sound, a lively one also fast ones. So changes in the picture are compared with those of the
   sound over several spans (`SCALES`), and the results above chance are added.
2. Normal scores, so that a single large change, such as a cut or a drum roll, does not decide the result.
3. Ridge canonical correlation (Vinod, "Canonical ridge and econometrics of joint production", 1976), summed in squares
   (Pillai's trace): each side is whitened, and the squared norm of their cross-product taken at each lag.
4. The cube root of that, which is nearly normally distributed (Wilson and Hilferty, 1931), in standard deviations of
   its values at distant shifts.

Conventions: T frames; sound (T, A) and picture (T, B), float32, each feature of norm 1. At lag k the sound comes k
frames later than the picture that follows it. All filters are symmetric about the same instant, so they add no lag.
Time and memory are linear in T.
"""

from __future__ import annotations

import tempfile
from fractions import Fraction
from typing import IO, TYPE_CHECKING, Final

import torch

from audioreactive.correlation.sides import norm_of
from audioreactive.errors import ScoreError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from audioreactive.correlation.sides import Side

CHANGE: Final = Fraction(1, 12)
"""Span in seconds: a change is the mean over this span minus the mean over the span before. It is two frames at 24 a
second. Changes between single frames are mostly codec noise, and three frames blur the peaks of sharp motion."""
SCALES: Final = (1, 2, 4, 8)
"""Spans of the changes in the sound, in units of CHANGE; the picture uses CHANGE only. Longer spans leave too few
independent changes in a short video."""
RIDGE: Final = 0.05
"""Regularisation of the whitening, relative to the largest variance of a side. Directions with much less variance stay
small, because they hold little but noise."""
STILL: Final = 1e-6
"""Norm of a channel's changes, relative to the norm of its feature, below which they are rounding errors."""
_ROWS: Final = 1024
"""Frames that are processed at a time."""


def lag_curve(sound: Side, picture: Side, *, fps: Fraction, lags: Sequence[int], shifts: Iterable[int]) -> list[float]:
    """Standard deviations above chance at each lag. Both sides are overwritten.

    Args:
        sound: features of the sound, including its separated sources.
        picture: features of the picture.
        fps: frames a second.
        lags: lags in frames.
        shifts: shifts of the sound in frames that represent chance; shifts within the range of the lags are skipped.

    Raises:
        ScoreError: the temporary folder is full.
    """
    widest = max(map(abs, lags))
    far = [shift for shift in shifts if widest < shift < sound.frames - widest]
    to_changes(picture, CHANGE * fps)
    whiten(picture)
    around, chance = torch.zeros(len(lags), dtype=torch.float64), torch.zeros(len(far), dtype=torch.float64)
    with tempfile.TemporaryFile() as kept:
        _write(sound, kept)
        for scale in SCALES:
            kept.seek(0)
            for part in sound.parts:
                kept.readinto(part.numpy().data)
            to_changes(sound, scale * CHANGE * fps)
            whiten(sound)
            # Sound that is k frames late fits the picture after it is rolled back by k.
            fits = (_explained(sound, picture, some) for some in ([-lag for lag in lags], far))
            around_scale, chance_scale = _deviations(*fits)
            around += around_scale
            chance += chance_scale
    above: list[float] = _deviations(around, chance)[0].tolist()
    return above


def _write(side: Side, file: IO[bytes]) -> None:
    """Write the columns of a side to a temporary file, to save memory for long songs.

    Raises:
        ScoreError: the disk is full.
    """
    try:
        for part in side.parts:
            file.write(part.numpy().data)
        file.flush()
    except OSError as error:
        raise ScoreError(
            f"the temporary folder {tempfile.gettempdir()!r} takes no more ({error.strerror}); "
            "an hour needs 25 MB there: set TMPDIR to another folder"
        ) from error


def _deviations(values: torch.Tensor, chance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (n,) and chance (m,), both as standard deviations of chance above its mean."""
    mean, deviation = chance.mean(), chance.std(correction=0).clamp(min=1e-12)
    return (values - mean) / deviation, (chance - mean) / deviation


def to_changes(side: Side, frames: Fraction) -> None:
    """Replace every channel by the normal scores of its changes over `frames` frames; features have norm 1 again."""
    reach = max(round(frames), 1)
    for columns in side.features:
        for i in range(columns.shape[1]):
            columns[:, i] = _normal_scores(_changes(columns[:, i], side.edges if side.centred else (), reach))
        columns /= max(norm_of(columns), 1e-9)


def _changes(column: torch.Tensor, edges: Sequence[int], reach: int) -> torch.Tensor:
    """Mean of `reach` frames minus the mean of as many before, (T,) -> (T,). Steps between two windows count as 0.

    That is a convolution of the differences between successive frames with a triangle.
    """
    steps = torch.diff(column.double(), prepend=column[:1].double())
    steps[list(edges[1:-1])] = 0
    triangle = torch.cat([torch.arange(1.0, reach + 1), torch.arange(reach - 1.0, 0, -1)]).double() / reach
    changes: torch.Tensor = torch.nn.functional.conv1d(steps[None], triangle[None, None], padding=reach - 1)[0]
    return changes if changes.norm() > STILL else torch.zeros_like(changes)


def _normal_scores(values: torch.Tensor) -> torch.Tensor:
    """Van der Waerden scores (T,) of values (T,): each rank as a quantile of the normal distribution, with mean 0.
    Equal values get the same score.
    """
    ordered, order = values.sort()
    is_new = torch.ones(len(values), dtype=torch.bool)
    is_new[1:] = ordered[1:] != ordered[:-1]
    group = is_new.cumsum(0) - 1
    counts = torch.bincount(group)
    rank = counts.cumsum(0).double() - (counts - 1).double() / 2
    scores = torch.empty(len(values), dtype=torch.float64)
    scores[order] = torch.special.ndtri(rank / (len(values) + 1))[group]
    return (scores - scores.mean()).float()


def whiten(side: Side) -> None:
    """Whiten the columns in place: eigenvalues e of their Gram matrix become e / (e + RIDGE · the largest)."""
    width = len(side.block_of)
    gram = torch.zeros(width, width, dtype=torch.float64)
    for rows in _row_pieces(side):
        joined = torch.cat(rows, 1)
        gram += joined.T @ joined
    values, vectors = torch.linalg.eigh(gram)
    values = values.clamp(min=0)
    whitening = (vectors / (values + RIDGE * values[-1]).clamp(min=1e-12).sqrt()).float()
    for rows in _row_pieces(side):
        white = (torch.cat(rows, 1) @ whitening).split([part.shape[1] for part in side.parts], dim=1)
        for part, mapped in zip(rows, white, strict=True):
            part[:] = mapped


def _row_pieces(side: Side) -> Iterator[list[torch.Tensor]]:
    """Views of `_ROWS` rows of each part at a time."""
    for start in range(0, side.frames, _ROWS):
        yield [part[start : start + _ROWS] for part in side.parts]


def _explained(sound: Side, picture: Side, shifts: Iterable[int]) -> torch.Tensor:
    """Cube root of the squared norm of the cross-product at each shift of the sound in frames, (n,) float64."""
    squares = [sound.cross(picture, shift).double().square().sum() for shift in shifts]
    return torch.stack(squares).pow(1 / 3)
