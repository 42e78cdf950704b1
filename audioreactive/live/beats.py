"""Beats foretold: where the next one will be, and how sure that is.

A bar-pointer model (Whiteley, Cemgil & Godsill 2006, in the state space of Krebs, Böck & Widmer 2015): a state is a
period, in steps, how many steps of it have passed, and which beat of a bar it is; the tempo may change at a beat. After
each step, the forward
algorithm gives the probability of every state from the sound so far. The state moves on by itself between two strokes,
so the phase for *now*, and for any moment to come, is known without waiting for its sound.

How likely a rise of the bass, the middle and the high bands is at each phase of a bar was counted in songs
(`benchmarks/live_beats_table.py` writes the table).

Conventions: time is in steps of 1 / STEP_RATE seconds; a rise is noted LATE steps after its stroke.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.features import separation, spectra
from audioreactive.features.beats import BEATS_PER_BAR
from audioreactive.features.rhythm import ONSET_MELS
from audioreactive.live.hearing import STEP_RATE
from audioreactive.media.audio import ANALYSIS_RATE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]
    Doubles = NDArray[np.float64]

SLOWEST, FASTEST = 54.0, 190.0
"""Beats a minute that are considered."""
USUAL_BPM, USUAL_OCTAVES = 110.0, 0.5
"""Mean and standard deviation of the tempo, on a logarithmic scale."""
STEADINESS: Final = 120.0
"""Strictness of the tempo: it changes at a beat by a ratio r with probability exp(-120 · |r - 1|)."""
EVIDENCE: Final = 0.3
"""Share of a step's evidence that counts: neighbouring steps tell nearly the same."""
LEAK: Final = 2e-4
"""Probability that everything begins anew with a step: a break, another song."""
LATE: Final = 2.0
PEAK_MEMORY: Final = 8.0
"""Seconds in which the strongest rise of a band is forgotten to 1/e."""
LEAST_PEAK: Final = 1.0
"""Decibels of rise below which nothing is a stroke."""
LEVELS: Final = (0.02, 0.06, 0.12, 0.22, 0.35, 0.5, 0.75)
"""Edges of the levels of a rise, as shares of the strongest."""
PAUSE_STEPS: Final = STEP_RATE // 4
"""Steps without any rise after which nothing more is learned of the beat."""
PHASES: Final = 24
"""Bins of a beat in the table."""
NEAR: Final = 2
"""Periods next to the likeliest that are one tempo with it."""
CATCHING_UP: Final = 0.5
"""Seconds in which the position in bars catches up with the beat; it runs faster or slower, never back."""
BAR_CATCHING_UP: Final = 8.0
"""The same for a bar that begins on another beat than was thought."""


@dataclass(frozen=True)
class Foretold:
    """Beat at one moment: its phase, its period, and how sure both are."""

    phase: float
    """Share of the present beat that has passed, in [0, 1)."""
    period: float
    """Seconds from beat to beat."""
    confidence: float
    """Probability of this phase and tempo, in [0, 1]."""
    bars: float
    """Position in bars; it never goes back."""

    @property
    def tempo(self) -> float:
        """Beats a minute."""
        return 60 / self.period


class Strokes:
    """Rises of the bands as levels of the strongest ones lately."""

    def __init__(self) -> None:
        self._peaks = np.full(len(separation.BANDS), LEAST_PEAK)
        self._fall = float(np.exp(-1 / (PEAK_MEMORY * STEP_RATE)))

    def shares(self, rise: Doubles) -> Doubles:
        """Shares (bands,) of the strongest rises, from the mean rises of the bands in one step."""
        self._peaks = np.maximum(np.maximum(self._peaks * self._fall, rise), LEAST_PEAK)
        shares: Doubles = rise / self._peaks
        return shares


class BeatTracker:
    """Foretells the beats of a sound, step by step."""

    def __init__(self) -> None:
        self._model = _model()
        self._belief = self._model.prior.copy()
        self._strokes = Strokes()
        self._bars = 0.0
        self._silent = 0
        self.now = Foretold(0.0, 60 / USUAL_BPM, 0.0, 0.0)

    def follow(self, flux: FloatArray) -> list[Foretold]:
        """Hear the rises (n, mels) of the next steps, in decibels; return what is known after each."""
        rises = band_rises(flux)
        return [self._step(rise) for rise in rises]

    def _step(self, rise: Doubles) -> Foretold:
        model = self._model
        shares = self._strokes.shares(rise)
        levels = np.searchsorted(LEVELS, shares)
        self._silent = 0 if rise.any() else self._silent + 1
        belief = np.empty_like(self._belief)
        belief[:, 1:] = self._belief[:, :-1]
        belief[:, model.first] = np.roll(self._belief[:, model.last] @ model.change, 1, axis=0)
        if self._silent < PAUSE_STEPS:  # silence says nothing of the beat: it goes on as it was
            belief *= model.weights(levels)[model.bins]
        belief /= belief.sum()
        belief += LEAK * (model.prior - belief)
        self._belief = belief
        return self._tell()

    def _tell(self) -> Foretold:
        """Read the likeliest tempo and its mean phase from the belief."""
        model = self._model
        belief = self._belief.sum(axis=0)
        mass = np.add.reduceat(belief, model.first)
        likely = int(np.convolve(mass, model.kernel, "same").argmax())
        low, high = max(likely - NEAR, 0), min(likely + NEAR, len(model.periods) - 1)
        states = slice(model.first[low], model.last[high] + 1)
        share = belief[states]
        turn = complex(share @ model.circle[states])
        period = float(share @ model.period_of[states]) / float(share.sum())
        phase = (np.angle(turn) / (2 * np.pi) + LATE / period) % 1
        sure = abs(turn) * (self._silent < 2 * STEP_RATE)
        # Where the beats of a bar are told apart by little, the bar is a slow circle whose direction hardly changes.
        in_bar = complex(np.exp(2j * np.pi * np.arange(BEATS_PER_BAR) / BEATS_PER_BAR) @ (
            self._belief[:, states] @ model.quarter[states]
        ))  # fmt: skip
        place = (np.angle(in_bar) / (2 * np.pi) + LATE / period / BEATS_PER_BAR) % 1
        self._count_bars(float(phase), float(place), period)
        self.now = Foretold(float(phase), period / STEP_RATE, float(min(sure, 1.0)), self._bars)
        return self.now

    def _count_bars(self, phase: float, place: float, period: float) -> None:
        """Move the position in bars on, towards the beat at once, and towards the bar slowly."""
        position = self._bars * BEATS_PER_BAR
        gap = (phase - position + 0.5) % 1 - 0.5
        far = (place - self._bars + 0.5) % 1 - 0.5
        lean = far * BEATS_PER_BAR * (abs(far) > 0.6 / BEATS_PER_BAR)
        correction = gap / (CATCHING_UP * STEP_RATE) + lean / (BAR_CATCHING_UP * STEP_RATE)
        self._bars += max(1 / period + correction, 0.0) / BEATS_PER_BAR


@dataclass(frozen=True)
class _Model:
    """States of the tracker and what moves between them; S states of each of a bar's four beats, P periods."""

    periods: NDArray[np.int64]
    """(P,) steps from beat to beat."""
    first: NDArray[np.int64]
    """(P,) number of each period's first state."""
    last: NDArray[np.int64]
    bins: NDArray[np.int64]
    """(beats, S) bin of the table."""
    circle: NDArray[np.complex128]
    """(S,) phase as a point on the unit circle."""
    quarter: NDArray[np.complex128]
    """(S,) the same for a circle that is turned once in a bar."""
    period_of: Doubles
    """(S,) period of each state."""
    change: Doubles
    """(P, P) probability of the next period."""
    prior: Doubles
    """(beats, S) probability without any sound."""
    table: Doubles
    """(bands, levels, beats · PHASES) logarithm of how much likelier a level is at a place in a bar than anywhere."""
    kernel: Doubles

    def weights(self, levels: NDArray[np.int64]) -> Doubles:
        """Factors (beats · PHASES,) on the probability of a state, from the levels of the bands."""
        total = self.table[np.arange(len(levels)), levels].sum(axis=0)
        weights: Doubles = np.exp(EVIDENCE * total)
        return weights


@cache
def _model() -> _Model:
    periods = np.arange(round(60 * STEP_RATE / FASTEST), round(60 * STEP_RATE / SLOWEST) + 1)
    first = np.concatenate(([0], np.cumsum(periods)[:-1]))
    phase = np.concatenate([np.arange(period) / period for period in periods])
    ratio = periods[None, :] / periods[:, None]
    change = np.exp(-STEADINESS * np.abs(ratio - 1))
    usual = np.exp(-0.5 * np.square(np.log2(60 * STEP_RATE / periods / USUAL_BPM) / USUAL_OCTAVES))
    prior = np.tile(np.repeat(usual / periods, periods), (BEATS_PER_BAR, 1))
    beats = np.arange(BEATS_PER_BAR)
    return _Model(
        periods=periods,
        first=first,
        last=first + periods - 1,
        bins=(np.round(phase * PHASES).astype(np.int64) + PHASES * beats[:, None]) % (PHASES * BEATS_PER_BAR),
        circle=np.exp(2j * np.pi * phase),
        quarter=np.exp(2j * np.pi * phase / BEATS_PER_BAR),
        period_of=np.repeat(periods, periods).astype(np.float64),
        change=change / change.sum(axis=1, keepdims=True),
        prior=prior / prior.sum(),
        table=np.array(json.loads(TABLE.read_text("utf-8"))["table"], np.float64),
        kernel=np.array([0.5, 1, 1, 1, 0.5]),
    )


TABLE: Final = Path(__file__).resolve().parent.parent / "assets" / "live_beats.json"
"""File of the table."""


def band_rises(flux: FloatArray) -> Doubles:
    """Mean rises (n, bands) of the frequency bands, from those of the mel bands (n, mels)."""
    rises: Doubles = flux @ _band_means()
    return rises


@cache
def _band_means() -> Doubles:
    """Matrix (mels, bands) that averages the mel bands within each frequency band."""
    centres = spectra.mel_edges(ANALYSIS_RATE, ONSET_MELS)[1:-1]
    inside = np.stack([(centres >= b.low) & (centres < b.high) for b in separation.BANDS.values()], axis=1)
    means: Doubles = inside / inside.sum(axis=0)
    return means
