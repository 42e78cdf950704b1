"""Decode any sound file to `Audio`: mono, at one sample rate, with the timing that a player gives it.

Conventions: sample n is heard n / sample_rate seconds after the start of the file's sound as ffmpeg decodes it. The
encoder's delay is removed if the file states it (LAME header, edit list, Opus pre-skip). The video's sound is decoded
by the same code (`decoding`), so picture and sound cannot drift apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive._support.files import kind_of
from audioreactive.errors import AudioError, VideoError
from audioreactive.media.decoding import (
    BLOCK,
    Decoder,
    choose,
    contents,
    damage,
    recording_of,
)
from audioreactive.media.mixing import Mixer, is_silent
from audioreactive.media.places import nothing_but_bass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.media.decoding import Recording

    Samples = NDArray[np.float32]

ANALYSIS_RATE: Final = 24_576
"""Sample rate of the analysis, in Hz: 1024 samples are exactly 1/24 s, and the analysis needs nothing above 12 kHz."""

LONGEST_HOURS: Final = 6
MOST_SAMPLES: Final = LONGEST_HOURS * 3600 * 192_000 * 2
"""Most samples of a file, over all channels. A few megabytes of FLAC can hold six hours of silence in eight channels at
655 kHz, which would take an hour to decode; this many take minutes."""
LOWEST_RATE, HIGHEST_RATE = 2_000, 768_000
"""Accepted sample rates in Hz. A header that claims a lower one would make a small file endless once resampled."""
LOUDEST: Final = 2**0.5
"""Peak, 3 dB over full scale (1), beyond which a sound is scaled down to 1: the video's sound would be distorted
otherwise. Lower peaks are left alone, because lossy decoders exceed 1 slightly in any loud song."""
RARE: Final = 1e-4
"""Share of all samples: if no more exceed LOUDEST, they alone are clipped, as players do; the rest stays as it is."""
_ABOVE_USUAL: Final = 2.0
"""Factor on the peak that all but RARE samples keep, beyond which a sample is a fault: peaks of music stay below. What
is clipped by no more than this factor is not worth a note."""
_INTEGERS: Final = 16.0
"""Peak beyond which the samples must be integers that were stored as floats."""
_IMPOSSIBLE: Final = 2.0**32
"""Value that no sample reaches, not even a 32-bit integer stored as a float; larger ones mean a broken file."""
_MOST_IMPROVEMENTS: Final = 3
"""Most times that a file is decoded again after a change of its rate or channels midway was found."""


@dataclass(frozen=True, eq=False)
class Audio:
    """Sound of a song in the form in which it is analysed."""

    samples: Samples
    """(N,) float32 mono mix of all channels (see `mixing`), without DC offset; full scale is 1."""
    sample_rate: int
    """Samples per second."""
    source: str
    """Name of the origin, for messages."""
    digest: str
    """Hexadecimal SHA-256 of the decoded sound, over all channels."""
    notes: tuple[str, ...] = ()
    """Sentences for the user, for example that the file is damaged."""
    recording: Recording | None = None
    """File and decoding settings from which it came; None if it came from an array."""

    @property
    def duration(self) -> Fraction:
        """Length in seconds."""
        return Fraction(len(self.samples), self.sample_rate)


@dataclass(frozen=True)
class _Stream:
    """A file that is being decoded: (n, channels) float32 blocks in order; `notes` may grow while it is read."""

    sample_rate: int
    blocks: Iterator[NDArray[np.float32]]
    notes: list[str]


def load(path: Path, *, track: int | None = None, going: Callable[[], None] | None = None) -> Audio:
    """Decode a sound file, or the sound of a video file, to mono at ANALYSIS_RATE.

    Args:
        path: the file.
        track: number of the audio track, from 1; None: the default one, else the first that is not silent.
        going: called before each block; it may raise an exception to stop a decode that takes too long.

    Raises:
        AudioError: the file is missing, is not sound, is empty, too long, or contains values that are not finite.
    """
    check_file(path)
    try:
        found = contents(path)
        chosen, notes = choose(found, path, track)
        decoder = Decoder(recording_of(path, chosen))
        audio, peaks = _decoded(decoder, notes, going)
        for _ in range(_MOST_IMPROVEMENTS):
            if (better := decoder.improved()) is None:
                break
            decoder = Decoder(better)
            audio, peaks = _decoded(decoder, notes, going)
        if math.isfinite(peaks.limit):
            decoder = Decoder(replace(decoder.recording, limit=peaks.limit))
            audio, _ = _decoded(decoder, [*notes, *_clipped(str(path), peaks)], going)
    except VideoError as error:
        raise AudioError(f"{str(path)!r} cannot be decoded: {error}") from error
    note = damage(found, decoder, float(audio.duration))
    return audio if note is None else replace(audio, notes=(*audio.notes, note))


def from_samples(samples: NDArray[np.floating], sample_rate: int, *, source: str = "samples") -> Audio:
    """Make `Audio` from an array at any sample rate: (N,) mono or (N, channels).

    Raises:
        AudioError: as `load`.
    """
    block = np.asarray(samples, np.float32)
    block = block[:, None] if block.ndim == 1 else block
    audio, peaks = _collected(_Stream(sample_rate, _pieces(block), []), source)
    if math.isfinite(peaks.limit):
        clipped = np.clip(block, -peaks.limit, peaks.limit)
        audio, _ = _collected(_Stream(sample_rate, _pieces(clipped), _clipped(source, peaks)), source)
    return audio


def _pieces(block: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    return (block[start : start + BLOCK] for start in range(0, len(block), BLOCK))


def check_file(path: Path) -> None:
    """Raise AudioError unless this is a readable file that is not empty."""
    try:
        if not path.exists():
            raise AudioError(f"there is no file {str(path)!r}")
        if not path.is_file():
            raise AudioError(f"{str(path)!r} is not a file but a {kind_of(path.stat().st_mode)}")
        with path.open("rb") as file:
            if not file.read(1):
                raise AudioError(f"{str(path)!r} is empty")
    except (OSError, ValueError) as error:
        raise AudioError(f"{str(path)!r} cannot be read: {error}") from error


def _decoded(decoder: Decoder, notes: Sequence[str], going: Callable[[], None] | None) -> tuple[Audio, _Peaks]:
    """Decode a whole recording for the analysis."""
    recording = decoder.recording

    def watched(blocks: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        for block in blocks:
            if going is not None:
                going()
            yield block

    with contextlib.closing(decoder.blocks()) as blocks:
        stream = _Stream(recording.rate, watched(blocks), list(notes))
        return _collected(stream, str(recording.path), recording)


def _collected(stream: _Stream, source: str, recording: Recording | None = None) -> tuple[Audio, _Peaks]:
    """Mix the blocks of a stream to mono, resample and check them; the peaks tell whether some should be clipped."""
    if not LOWEST_RATE <= stream.sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"{source!r} claims {stream.sample_rate} samples a second; "
            f"between {LOWEST_RATE} and {HIGHEST_RATE} can be used: resample it"
        )
    first = next(stream.blocks, None)
    if first is None or not first.size:
        raise AudioError(f"{source!r} holds no sound: its length is zero")
    channels = first.shape[1]
    digest = hashlib.sha256(str(stream.sample_rate).encode())
    if channels > 1:
        digest.update(f" {channels} channels".encode())
    count, heard, peaks = 0, 0, _Peaks()
    mixer = Mixer(stream.sample_rate, channels)
    with contextlib.closing(_Collector(stream.sample_rate, source)) as collected:
        for block in chain((first,), stream.blocks):
            heard += block.size
            if heard > MOST_SAMPLES:
                raise AudioError(
                    f"{source!r} holds more than {MOST_SAMPLES} samples over its {channels} channels: mix it down"
                )
            _check_finite(block, count, stream.sample_rate, source)
            digest.update(block.astype("<f4").tobytes())
            count += len(block)
            peaks.add(block)
            collected.add(mixer.add(block))
        collected.add(mixer.finish())
        samples = collected.finish(count)
    if peaks.highest > LOUDEST:
        samples /= peaks.highest
        stream.notes.append(_too_loud(source, peaks.highest))
    if mixer.gain != 1:
        samples *= np.float32(mixer.gain)
    if is_silent(samples):
        samples[:] = 0
    samples.flags.writeable = False
    if recording is not None:
        gain = 1 / peaks.highest if peaks.highest > LOUDEST else 1.0
        is_bass_alone = mixer.sounding is not None and nothing_but_bass(recording.track.layout, mixer.sounding)
        recording = replace(recording, gain=gain, length=count, is_bass_alone=is_bass_alone)
    return Audio(samples, ANALYSIS_RATE, source, digest.hexdigest(), tuple(stream.notes), recording), peaks


class _Peaks:
    """Counts samples that exceed LOUDEST by their size, to tell a loud sound from a sound with a few faults."""

    def __init__(self) -> None:
        self.highest = 0.0
        self._count = 0
        self._beyond = np.zeros(4 * 32, np.int64)  # by quarters of an octave, up to _IMPOSSIBLE

    def add(self, block: Samples) -> None:
        size = np.abs(block)
        self._count += size.size
        self.highest = max(self.highest, float(size.max(initial=0)))
        if self.highest > LOUDEST:
            steps = 4 * np.log2(size[size > LOUDEST] / LOUDEST)
            self._beyond += np.bincount(steps.astype(np.int64), minlength=len(self._beyond))

    @property
    def limit(self) -> float:
        """Largest size of a sample that is no fault; infinite if there are none."""
        if self.highest <= LOUDEST:
            return math.inf
        at_least = self._beyond[::-1].cumsum()[::-1]
        usual = int(np.count_nonzero(at_least > RARE * self._count))
        limit = LOUDEST * _ABOVE_USUAL * 2 ** (usual / 4) if usual else LOUDEST
        return limit if limit < self.highest else math.inf

    @property
    def faults(self) -> int:
        """Number of samples beyond the limit."""
        step = 4 * math.log2(min(self.limit, _IMPOSSIBLE) / LOUDEST)
        return int(self._beyond[round(step) :].sum())


def _clipped(source: str, peaks: _Peaks) -> list[str]:
    if peaks.highest <= _ABOVE_USUAL * peaks.limit:  # what a lossy codec adds to the loudest strokes
        return []
    return [f"{source} is far louder at {peaks.faults} of its samples than anywhere else; they are clipped"]


def _too_loud(source: str, peak: float) -> str:
    if peak > _INTEGERS:
        return f"{source} is {peak:.0f} times louder than full scale, and is scaled down"
    return f"{source} goes {20 * np.log10(peak):.1f} dB beyond full scale, and is turned down by as much"


def _check_finite(block: Samples, first: int, rate: int, source: str) -> None:
    bad = ~(np.abs(block) < _IMPOSSIBLE)
    if bad.any():
        place, channel = (int(i) for i in np.argwhere(bad)[0])
        raise AudioError(
            f"{source!r} holds the value {block[place, channel]} at {(first + place) / rate:.3f} s, "
            "which is no sound: export the file again, or cut that place out"
        )


class _Collector:
    """Resamples blocks into one array in a temporary file, because an hour would take 350 MB of memory."""

    def __init__(self, sample_rate: int, source: str) -> None:
        import soxr

        same = sample_rate == ANALYSIS_RATE
        self._resampler = None if same else soxr.ResampleStream(sample_rate, ANALYSIS_RATE, 1, dtype="float32")
        self._rate = sample_rate
        self._source = source
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        self._length = 0

    def add(self, mono: Samples) -> None:
        self._append(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def finish(self, count: int) -> Samples:
        """Return all samples; their number is the exact length of `count` samples at the new rate, rounded."""
        if self._resampler is not None and count:
            self._append(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))
        length = max((2 * count * ANALYSIS_RATE + self._rate) // (2 * self._rate), min(count, 1))
        if length > self._length:
            self._append(np.zeros(length - self._length, np.float32))
        if not length:
            return np.zeros(0, np.float32)
        self._file.flush()
        return np.asarray(np.memmap(self._file, np.float32, "r+", shape=(length,)))

    def close(self) -> None:
        """Close the file; an array that was mapped from it stays valid."""
        self._file.close()

    def _append(self, samples: Samples) -> None:
        self._length += len(samples)
        if self._length > LONGEST_HOURS * 3600 * ANALYSIS_RATE:
            raise AudioError(f"{self._source!r} lasts longer than {LONGEST_HOURS} hours: cut it into parts")
        try:
            self._file.write(samples.data)
        except OSError as error:
            raise AudioError(
                f"{self._source!r} cannot be decoded: the temporary folder {tempfile.gettempdir()!r} "
                f"takes no more ({error.strerror}); an hour needs 350 MB there, or set TMPDIR to another folder"
            ) from error


def let_go(samples: NDArray[Any]) -> None:
    """Free the memory of samples that are mapped from a file; they are read again when needed."""
    owner: object = samples
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    mapping = getattr(owner, "_mmap", None)
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
