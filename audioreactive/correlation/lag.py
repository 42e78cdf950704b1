"""At which lag does a picture follow its sound?

A picture that follows one feature of a sound lies before or after the others: chroma, heard in long windows, turns
some frames before a swelling chord is loud, and both may fit the picture well, each at a lag of its own. So no pair of
features is asked, but all at once: how much of what changes in the picture is explained, at each lag, by all that
changes in the sound together? What two features have in common then counts once, where it fits best.

1. Changes: slow motion fits nearly as well a little earlier or later; what changes in it does not. A calm picture
   follows slow changes of the sound alone, a lively one the quick ones too: so changes in the picture are compared with
   those of the sound over several times (`SCALES`), and what is above chance is added.
2. Normal scores: a cut or a drum roll is one change among many, and no chance fit of two of them decides.
3. Ridge canonical correlation (Vinod, "Canonical ridge and econometrics of joint production", 1976), summed in squares
   (Pillai's trace): each side is whitened, and the squared norm of their cross-product taken at each lag.
4. Its cube root, which is nearly normal for sums of squares (Wilson and Hilferty, 1931), in deviations of the same at
   distant shifts.

Conventions: T frames; sound (T, A) and picture (T, B), float32, each feature of norm 1. At lag k the sound comes k
frames later than the picture that follows it. All filters are symmetric about the same instant, so none of them makes
a lag. Time and memory are linear in T.
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
"""Seconds: a change is the mean of so long a time less that of the same time before. Two frames of 24 a second: of
single frames, much of what changes is the noise of a codec; over three, the peaks of sharp motion grow wide."""
SCALES: Final = (1, 2, 4, 8)
"""Of CHANGE: the times over which the sound changes; the picture has CHANGE alone. Longer ones leave few independent
changes in a short video."""
RIDGE: Final = 0.05
"""Of the largest variance that a side has in one direction; directions with much less than this are left small, for
there is little in them but noise."""
STILL: Final = 1e-6
"""Of its feature's norm: a channel whose changes are smaller than this never changes but by rounding."""
_ROWS: Final = 1024


def lag_curve(sound: Side, picture: Side, *, fps: Fraction, lags: Sequence[int], shifts: Iterable[int]) -> list[float]:
    """Deviations above chance at each lag; the sides are of no use afterwards.

    Args:
        sound: what was heard, its sources too.
        picture: what was seen.
        fps: frames a second.
        lags: in frames.
        shifts: of the sound in frames, which stand for chance; those within the reach of the lags are left out.

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
            # Sound that is k frames late is in step once it is rolled back by k.
            fits = (_explained(sound, picture, some) for some in ([-lag for lag in lags], far))
            around_scale, chance_scale = _deviations(*fits)
            around += around_scale
            chance += chance_scale
    above: list[float] = _deviations(around, chance)[0].tolist()
    return above


def _write(side: Side, file: IO[bytes]) -> None:
    """Keep a side's columns on the disk, where those of an hour are in nobody's way.

    Raises:
        ScoreError: there is no room.
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
    """Both of them, (n,) and (m,), in deviations of chance above its mean."""
    mean, deviation = chance.mean(), chance.std(correction=0).clamp(min=1e-12)
    return (values - mean) / deviation, (chance - mean) / deviation


def to_changes(side: Side, frames: Fraction) -> None:
    """Turn every channel into the normal scores of its changes over so many frames, in place; each feature of norm 1
    again.
    """
    reach = max(round(frames), 1)
    for columns in side.features:
        for i in range(columns.shape[1]):
            columns[:, i] = _normal_scores(_changes(columns[:, i], side.edges if side.centred else (), reach))
        columns /= max(norm_of(columns), 1e-9)


def _changes(column: torch.Tensor, edges: Sequence[int], reach: int) -> torch.Tensor:
    """(T,) -> (T,) the mean of `reach` frames less that of as many before; 0 between windows, which have a zero each.

    The weights of such a difference are those of a triangle over the steps from frame to frame.
    """
    steps = torch.diff(column.double(), prepend=column[:1].double())
    steps[list(edges[1:-1])] = 0
    triangle = torch.cat([torch.arange(1.0, reach + 1), torch.arange(reach - 1.0, 0, -1)]).double() / reach
    changes: torch.Tensor = torch.nn.functional.conv1d(steps[None], triangle[None, None], padding=reach - 1)[0]
    return changes if changes.norm() > STILL else torch.zeros_like(changes)


def _normal_scores(values: torch.Tensor) -> torch.Tensor:
    """(T,) -> (T,) van der Waerden's scores: each value's rank as a quantile of the normal distribution, equal values
    at the middle of theirs; mean 0.
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
    """Map the columns linearly, in place: eigenvalues e of their Gram matrix become e / (e + RIDGE · the largest)."""
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
    """Some rows of each part at a time: views."""
    for start in range(0, side.frames, _ROWS):
        yield [part[start : start + _ROWS] for part in side.parts]


def _explained(sound: Side, picture: Side, shifts: Iterable[int]) -> torch.Tensor:
    """(n,) float64: the cube root of the squared norm of the cross-product, at each shift of the sound in frames."""
    squares = [sound.cross(picture, shift).double().square().sum() for shift in shifts]
    return torch.stack(squares).pow(1 / 3)
