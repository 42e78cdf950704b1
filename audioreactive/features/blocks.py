"""Measure raw values of a sound on the analysis' time grids, block by block.

Each block has enough context on both sides that its frames are the same as those of the whole sound. So memory does not
grow with the song, and blocks can be measured in parallel. Only what the wanted features need is measured; for example,
the sound is separated only for a feature of its harmonic or percussive part.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audioreactive.errors import FeatureError
from audioreactive.features import pitch, rhythm, separation, spectra, timbre
from audioreactive.features.analysis import MIX
from audioreactive.media.audio import ANALYSIS_RATE, let_go

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

    Quantity = tuple[str, int, NDArray[Any]]

FINE_HOP, COARSE_HOP = 256, 1024
"""Samples between two points of the fine and the coarse grid: 1/96 s and 1/24 s."""
COARSE_FFT = 2048
RMS_FRAME = 2048

BLOCK = 1 << 19
"""Samples per block, 21 s; fixed, because the last bits of a resampler's output depend on where it starts."""
HPSS_CONTEXT = 10 * 1024
"""Samples of context for the separation: 15 frames of 512 for the median, and half a window each for STFT and ISTFT."""
CQT_CONTEXT = 32 * 1024
"""Samples of context for constant-Q spectra: half of the longest window, that of the note C1."""
SPECTRUM_CONTEXT = 1024
TUNING_SPANS, TUNING_SAMPLES = 4, 1 << 18
"""Most spans, and samples of each (11 s), on which the tuning is measured."""
LOUDEST_SILENCE = 1e-6
"""Mean power of a spectrum's bins below which it is silent: about -92 dB, below the last bit of 16-bit sound."""
LOUDNESS = ("rms", "drop_weight", "drop_level")
"""Features that need a part's RMS."""
ATTACK = ("onsets", "pulse", "hits", "drop_moment", "drop_level", "build")
"""Features that need a part's short spectra, on the fine grid."""
_FOLDED = (80.0, 2000.0)
"""Range in Hz of the mix's spectrum that is folded to twelve notes."""

_BYTES_OF_LARGE_ROW = 128
"""Bytes per row from which a table is kept in a file instead of memory: 64 mel bands of two bytes."""
_ROWS = 1 << 12

Measured = dict[str, "NDArray[Any]"]
"""`part.quantity` -> (frames, C) raw values: float32, except attacks, which are int16 in steps of ATTACK_STEP."""

ATTACK_STEP = 1 / 128
"""Resolution of stored attacks, in decibels. They are by far the largest table, and int16 halves it."""


@dataclass(frozen=True)
class Wanted:
    """Set of wanted features, as keys such as `percussive.onsets`."""

    keys: frozenset[str]

    def any(self, part: str, *features: str) -> bool:
        """Whether one of these features of this part is wanted."""
        return any(f"{part}.{feature}" in self.keys for feature in features)

    def part(self, part: str) -> bool:
        """Whether any feature of this part is wanted."""
        return any(key.startswith(f"{part}.") for key in self.keys)

    @property
    def notes(self) -> bool:
        """Whether any wanted feature needs a constant-Q spectrum."""
        return any(key.endswith((".chroma", ".tonnetz")) for key in self.keys)


def measure(samples: FloatArray, wanted: Wanted, report: Callable[[float], None]) -> Measured:
    """Measure the raw values of a whole sound at ANALYSIS_RATE.

    loudness   RMS, fine grid
    attack     mel bands in decibels, fine grid
    colour     mel bands in decibels, coarse grid
    flatness   spectral flatness, coarse grid
    extremes   valleys and peaks for the spectral contrast, coarse grid
    notes      constant-Q chroma, coarse grid
    harmony    the mix's spectrum folded to twelve notes, coarse grid
    """
    tuning = _tuning(samples) if wanted.notes else 0.0
    writers: dict[str, _TableWriter] = {}
    starts = range(0, len(samples), BLOCK)
    with (
        contextlib.ExitStack() as files,
        ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 4)) as pool,
    ):
        tasks = deque(pool.submit(_measure_block, samples, start, wanted, tuning) for start in starts)
        try:
            for i in range(len(starts)):
                # Popping the task frees the block once its values are stored.
                for key, hop, values in tasks.popleft().result():
                    if key not in writers:
                        writers[key] = files.enter_context(_TableWriter(spectra.frame_count(len(samples), hop), values))
                    writers[key].add(values)
                let_go(samples)
                report((i + 1) / len(starts))
        finally:
            pool.shutdown(cancel_futures=True)
        return {key: writer.table() for key, writer in writers.items()}


def pieces(table: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Iterate over a measured table in pieces of some rows; memory mapped from a file is freed after each piece."""
    for start in range(0, len(table), _ROWS):
        yield table[start : start + _ROWS]
        let_go(table)


class _TableWriter:
    """Measured table that is filled block by block.

    Tables with long rows are kept in a temporary file, as the samples are: an hour of mel bands takes 150 MB.
    """

    def __init__(self, frames: int, like: NDArray[Any]) -> None:
        self._shape, self._dtype, self._filled = (frames, like.shape[1]), like.dtype, 0
        large = like.shape[1] * like.itemsize >= _BYTES_OF_LARGE_ROW
        self._file = tempfile.TemporaryFile() if large else None  # noqa: SIM115  # closed by __exit__
        self._memory = None if large else np.empty(self._shape, like.dtype)

    def __enter__(self) -> _TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:  # a table that was mapped from it stays valid
            self._file.close()

    def add(self, values: NDArray[Any]) -> None:
        """Append rows."""
        if self._memory is not None:
            self._memory[self._filled :][: len(values)] = values
        elif self._file is not None:
            try:
                self._file.write(values.data)
            except OSError as error:
                raise FeatureError(
                    f"the temporary folder {tempfile.gettempdir()!r} takes no more ({error.strerror}); "
                    "the analysis of an hour needs 150 MB there: set TMPDIR to another folder"
                ) from error
        self._filled += len(values)

    def table(self) -> NDArray[Any]:
        """Return the table (frames, C), after all rows were added."""
        assert self._filled == self._shape[0]
        if self._file is None:
            assert self._memory is not None
            return self._memory
        self._file.flush()
        return np.asarray(np.memmap(self._file, self._dtype, "r", shape=self._shape))


def _measure_block(samples: FloatArray, start: int, wanted: Wanted, tuning: float) -> list[Quantity]:
    """Measure one block; returns (key, hop, values) for the frames within it."""
    stop = min(start + BLOCK, len(samples))
    measured = []
    for part, first, y in _parts(samples, start, stop, wanted):
        for key, hop, values in _quantities(part, y, wanted, tuning):
            skip = (start - first) // hop
            # The frame that is centred on the sound's very end belongs to the last block.
            end = (stop - first) // hop + 1 if stop == len(samples) else skip + BLOCK // hop
            # Copy, because a view would keep the context in memory.
            measured.append((key, hop, values[skip:end].copy()))
    return measured


def _parts(samples: FloatArray, start: int, stop: int, wanted: Wanted) -> Iterator[tuple[str, int, FloatArray]]:
    """Yield (part, its first sample, sound) of a block with context: the mix, and the separated parts if wanted."""
    context = CQT_CONTEXT if wanted.notes else SPECTRUM_CONTEXT
    first, last = max(start - context, 0), min(stop + context, len(samples))
    yield MIX, first, samples[first:last]
    if not (wanted.part("harmonic") or wanted.part("percussive")):
        return
    wide = max(first - HPSS_CONTEXT, 0)
    parts = separation.hpss(samples[wide : last + HPSS_CONTEXT])
    for part, y in (("harmonic", parts.harmonic), ("percussive", parts.percussive)):
        if wanted.part(part):
            yield part, first, y[first - wide : last - wide]


def _quantities(part: str, y: FloatArray, wanted: Wanted, tuning: float) -> Iterator[Quantity]:
    """Yield (key, hop, values) for all measurements of one part; frequency bands come from the mix's spectra."""
    if wanted.any(part, *LOUDNESS):
        yield f"{part}.loudness", FINE_HOP, rhythm.rms(y, frame_length=RMS_FRAME, hop_length=FINE_HOP)[:, None]
    # Beat tracking always needs the mix's attacks and harmony.
    if part == MIX or wanted.any(part, *ATTACK):
        yield from _fine_quantities(part, y, wanted)
    if part == MIX or wanted.any(part, "mfcc", "spectral_contrast", "spectral_flatness"):
        yield from _coarse_quantities(part, y, wanted)
    sources = [source for source in _sources(part) if wanted.any(source, "chroma", "tonnetz")]
    if sources:
        cqt = pitch.cqt_magnitude(y, sample_rate=ANALYSIS_RATE, hop_length=COARSE_HOP, tuning=tuning)
        for source in sources:
            yield f"{source}.notes", COARSE_HOP, pitch.chroma_of(cqt * _cqt_weights(source, tuning))


def _sources(part: str) -> tuple[str, ...]:
    return (MIX, *separation.BANDS) if part == MIX else (part,)


def _fine_quantities(part: str, y: FloatArray, wanted: Wanted) -> Iterator[Quantity]:
    """Measure spectra that are short enough to locate an attack in time."""
    n_fft = rhythm.ONSET_FFT
    power = spectra.power_spectrum(spectra.stft(y, n_fft=n_fft, hop_length=FINE_HOP))
    mel = power @ spectra.mel_filters(ANALYSIS_RATE, n_fft, rhythm.ONSET_MELS).T
    decibels = spectra.power_to_db(mel, top_db=None)
    yield f"{part}.attack", FINE_HOP, np.round(decibels / ATTACK_STEP).clip(-(1 << 15), (1 << 15) - 1).astype(np.int16)
    # Parseval: the mean square of a sound from half of its spectrum under a window.
    parseval = np.float32(2 / (n_fft * np.square(spectra.hann(n_fft)).sum()))
    for band in _sources(part)[1:]:
        if wanted.any(band, *LOUDNESS):
            energy = power @ separation.band_weights(band, ANALYSIS_RATE, n_fft)
            yield f"{band}.loudness", FINE_HOP, np.sqrt(energy * parseval)[:, None]


def _coarse_quantities(part: str, y: FloatArray, wanted: Wanted) -> Iterator[Quantity]:
    """Measure spectra that are long enough to separate neighbouring tones."""
    whole = spectra.power_spectrum(spectra.stft(y, n_fft=COARSE_FFT, hop_length=COARSE_HOP))
    if part == MIX:
        yield f"{MIX}.harmony", COARSE_HOP, np.sqrt(whole) @ _fold()
    frequencies = spectra.bin_frequencies(ANALYSIS_RATE, COARSE_FFT)
    for source in _sources(part):
        if not wanted.any(source, "mfcc", "spectral_contrast", "spectral_flatness"):
            continue
        band = source in separation.BANDS
        weights = separation.band_weights(source, ANALYSIS_RATE, COARSE_FFT) if band else np.ones(1, np.float32)
        power: FloatArray = whole * weights if band else whole
        if wanted.any(source, "mfcc"):
            mel = power @ spectra.mel_filters(ANALYSIS_RATE, COARSE_FFT, timbre.MELS).T
            yield f"{source}.colour", COARSE_HOP, spectra.power_to_db(mel, top_db=None)
        if wanted.any(source, "spectral_flatness"):
            flatness = timbre.spectral_flatness(power[:, weights > 0] if band else power)
            audible = power.mean(axis=1) > LOUDEST_SILENCE
            yield f"{source}.flatness", COARSE_HOP, (flatness * audible)[:, None]
        if wanted.any(source, "spectral_contrast"):
            valleys, peaks = timbre.contrast_extremes(np.sqrt(power), frequencies)
            yield f"{source}.extremes", COARSE_HOP, np.concatenate([valleys, peaks], axis=1)


def _cqt_weights(source: str, tuning: float) -> FloatArray:
    """Amplitude weights (252,) of a source's band at the constant-Q bins; ones if the source is not a band."""
    frequencies = pitch.cqt_frequencies(tuning)
    band = separation.BANDS.get(source)
    return np.ones(len(frequencies), np.float32) if band is None else np.sqrt(band.weights(frequencies))


def _fold() -> FloatArray:
    """Matrix (bins, 12) that adds each bin of a coarse spectrum to its nearest note."""
    hz = spectra.bin_frequencies(ANALYSIS_RATE, COARSE_FFT)
    inside = (hz >= _FOLDED[0]) & (hz <= _FOLDED[1])
    notes = np.round(12 * np.log2(np.maximum(hz, 1) / pitch.LOWEST_NOTE)).astype(int) % 12
    fold: FloatArray = (np.eye(12)[notes] * inside[:, None]).astype(np.float32)
    return fold


def _tuning(samples: FloatArray) -> float:
    """Estimate the tuning in bins, from spans spread evenly over the song."""
    if len(samples) > TUNING_SPANS * TUNING_SAMPLES:
        starts = np.linspace(0, len(samples) - TUNING_SAMPLES, TUNING_SPANS).astype(int)
        samples = np.concatenate([samples[start : start + TUNING_SAMPLES] for start in starts])
    return pitch.estimate_tuning(samples, sample_rate=ANALYSIS_RATE)
