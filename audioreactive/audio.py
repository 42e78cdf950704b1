"""Any sound file -> `Audio`: mono, at one sample rate, in step with what a player plays.

Conventions: sample n is heard n / sample_rate seconds after the start of the file's sound as ffmpeg decodes it: the
encoder's delay is cut away where the file tells it (LAME header, edit list, opus pre-skip). The video's sound goes
through the same decoder, so picture and sound cannot drift apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
import struct
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.errors import AudioError, VideoError, printable
from audioreactive.mixing import Mixer, is_silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.ffmpeg import Reading

    Samples = NDArray[np.float32]

ANALYSIS_RATE: Final = 24_576
"""Hz. 1024 samples are exactly 1/24 s, 256 are 1/96 s; all that matters to the analysis lies below 12 kHz."""

LONGEST_HOURS: Final = 6
MOST_SAMPLES: Final = LONGEST_HOURS * 3600 * 192_000 * 2
"""Over all channels. A few megabytes of FLAC can hold six hours of silence in eight channels at 655 kHz, and an hour of
work; this many take minutes."""
LOWEST_RATE, HIGHEST_RATE = 2_000, 768_000
"""Hz. A header that claims less would make a small file endless once resampled."""
LOUDEST: Final = 16.0
"""Full scale is 1; beyond this the samples are taken for integers that were stored as floats, and scaled down."""

_BLOCK: Final = 1 << 18
"""Samples in a block, over all channels."""
_NOT_SOUND: Final = 1e9
_PLAIN_FORMATS: Final = frozenset({"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"})
"""Read by soundfile. The rest goes through ffmpeg, whose decoder also makes the sound of the video."""


@dataclass(frozen=True, eq=False)
class Audio:
    """The sound of a song, as it is analysed."""

    samples: Samples
    """(N,) float32 mono, in which every channel is heard (`mixing`), without offset; full scale is 1."""
    sample_rate: int
    """Hz."""
    source: str
    """Where it came from, for messages."""
    digest: str
    """Hexadecimal SHA-256 of the decoded sound, all channels of it."""
    notes: tuple[str, ...] = ()
    """Sentences that the person should read, such as that the file is damaged."""

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return Fraction(len(self.samples), self.sample_rate)


@dataclass(frozen=True)
class _Stream:
    """A file that is being decoded: (n, channels) float32 blocks in order; notes grow while it is read."""

    sample_rate: int
    channels: int
    blocks: Iterator[NDArray[np.float32]]
    notes: list[str]


def load(path: Path) -> Audio:
    """Decode a sound file, or the sound of a video file, to mono at ANALYSIS_RATE.

    Raises:
        AudioError: the file is missing, is not sound, is empty, too long, or holds values that are not finite.
    """
    check_file(path)
    try:
        return _load_plain(path) or _load_with_ffmpeg(path)
    except VideoError as error:
        raise AudioError(f"{str(path)!r} cannot be decoded: {error}") from error


def from_samples(samples: NDArray[np.floating], sample_rate: int, *, source: str = "samples") -> Audio:
    """Audio from an array at any rate: (N,) mono or (N, channels).

    Raises:
        AudioError: as `load`.
    """
    block = np.asarray(samples, np.float32)
    block = block[:, None] if block.ndim == 1 else block
    pieces = (block[start : start + _BLOCK] for start in range(0, len(block), _BLOCK))
    return _gather(_Stream(sample_rate, block.shape[1], pieces, []), source)


def check_file(path: Path) -> None:
    """Raise AudioError unless this is a file with something in it that can be read."""
    try:
        if not path.exists():
            raise AudioError(f"there is no file {str(path)!r}")
        if not path.is_file():
            raise AudioError(f"{str(path)!r} is not a file but a {'folder' if path.is_dir() else 'device'}")
        with path.open("rb") as file:
            if not file.read(1):
                raise AudioError(f"{str(path)!r} is empty")
    except (OSError, ValueError) as error:
        raise AudioError(f"{str(path)!r} cannot be read: {error}") from error


def _load_plain(path: Path) -> Audio | None:
    """Through soundfile; None if it does not know the format, or stumbles where ffmpeg may not."""
    import soundfile

    # soundfile is asked by content, not by name; its mp3 decoder prints on stderr, so it is not asked for that.
    if not _looks_plain(path):
        return None
    try:
        # Names may hold bytes that are no text, which soundfile takes as bytes alone.
        with soundfile.SoundFile(str(path) if sys.platform == "win32" else os.fsencode(path)) as file:
            if file.format not in _PLAIN_FORMATS:
                return None
            notes = _short_riff(path)
            return _gather(_Stream(file.samplerate, file.channels, _soundfile_blocks(file), notes), str(path))
    except soundfile.SoundFileError:
        return None


def _looks_plain(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(4)
    return head in {b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC"}


def _soundfile_blocks(file: object) -> Iterator[NDArray[np.float32]]:
    import soundfile

    assert isinstance(file, soundfile.SoundFile)
    frames = max(_BLOCK // file.channels, 1)
    while len(block := file.read(frames, dtype="float32", always_2d=True)):
        yield block


def _short_riff(path: Path) -> list[str]:
    """A note if a WAV file ends before its header says so."""
    with path.open("rb") as file:
        kind, size = struct.unpack("<4sI", file.read(8).ljust(8, b"\0"))
    # A program that writes into a pipe does not know the length, and writes the largest number.
    if kind == b"RIFF" and size < 0x7FFF_0000 and size + 7 > (length := path.stat().st_size):
        return [f"{path.name} is cut off: {length} of {size + 8} bytes are there, and are used"]
    return []


def _load_with_ffmpeg(path: Path) -> Audio:
    """Through ffmpeg, as an AU stream: rate and channels ahead, then big-endian floats to the end."""
    from audioreactive.ffmpeg import SOUND_DEMUXERS, reading, stranger

    output = ["-map", "0:a:0", "-vn", "-c:a", "pcm_f32be", "-f", "au", "-"]
    options = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info"]
    with reading([*options, *stranger(path, SOUND_DEMUXERS), *output]) as pipe:
        magic, offset, _, _, rate, channels = struct.unpack(">4s5I", pipe.read(24).ljust(24, b"\0"))
        if magic != b".snd" or not channels:
            failure = pipe.failure()
            complaint = failure if pipe.stalled and failure else _complaint(pipe.log())
            raise AudioError(f"{str(path)!r} holds no sound that can be decoded ({complaint})")
        pipe.read(offset - 24)
        audio = _gather(_Stream(rate, channels, _pipe_blocks(pipe, channels), []), str(path))
        note = _damage(path, audio, pipe.log(), pipe.failure() is not None)
    return audio if note is None else Audio(audio.samples, audio.sample_rate, audio.source, audio.digest, (note,))


def _pipe_blocks(pipe: Reading, channels: int) -> Iterator[NDArray[np.float32]]:
    size = 4 * channels
    while data := pipe.read(max(_BLOCK // channels, 1) * size):
        whole = len(data) - len(data) % size
        yield np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, channels)


def _complaint(log: str) -> str:
    """The first error in ffmpeg's log; the later ones only follow from it."""
    if "not on whitelist" in log:
        return "its format is none of sound or video"
    found = re.search(r"\[(?:error|fatal)\] (.*)", log)
    return f"ffmpeg: {printable(found[1], 200)}" if found else "ffmpeg found none in it"


def _damage(path: Path, audio: Audio, log: str, failed: bool) -> str | None:
    """A note if less came out than the file promises."""
    heard = float(audio.duration)
    promise = re.search(r"^\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d+)", log, re.MULTILINE)
    if promise and "Estimating duration from bitrate" not in log:
        promised = 3600 * int(promise[1]) + 60 * int(promise[2]) + float(promise[3])
        if heard < 0.99 * promised - 0.2:
            return f"{path.name} is cut off: {heard:.1f} of {promised:.1f} seconds can be decoded, and are used"
    if failed or re.search(r"\[(?:error|fatal)\]", log):
        return f"{path.name} is damaged; the {heard:.1f} seconds that can be decoded are used"
    return None


def _gather(stream: _Stream, source: str) -> Audio:
    """Mix to mono, resample, collect and check."""
    if not LOWEST_RATE <= stream.sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"{source!r} claims {stream.sample_rate} samples a second; "
            f"between {LOWEST_RATE} and {HIGHEST_RATE} can be used: resample it"
        )
    digest = hashlib.sha256(str(stream.sample_rate).encode())
    if stream.channels > 1:
        digest.update(f" {stream.channels} channels".encode())
    count, peak, heard = 0, 0.0, 0
    mixer = Mixer(stream.sample_rate, stream.channels)
    with contextlib.closing(_Collector(stream.sample_rate, source)) as collected:
        for block in stream.blocks:
            heard += block.size
            if heard > MOST_SAMPLES:
                raise AudioError(
                    f"{source!r} holds more than {MOST_SAMPLES} samples over its {stream.channels} channels: "
                    "mix it down"
                )
            _check_finite(block, count, stream.sample_rate, source)
            digest.update(block.astype("<f4").tobytes())
            count += len(block)
            peak = max(peak, float(np.abs(block).max(initial=0)))
            collected.add(mixer.add(block))
        collected.add(mixer.finish())
        samples = collected.finish(count)
    if not count:
        raise AudioError(f"{source!r} holds no sound: its length is zero")
    if peak > LOUDEST:
        samples /= peak
        stream.notes.append(f"{source} is {peak:.0f} times louder than full scale, and is scaled down")
    if mixer.gain != 1:
        samples *= np.float32(mixer.gain)
    if is_silent(samples):
        samples[:] = 0
    samples.flags.writeable = False
    return Audio(samples, ANALYSIS_RATE, source, digest.hexdigest(), tuple(stream.notes))


def _check_finite(block: Samples, first: int, rate: int, source: str) -> None:
    bad = ~(np.abs(block) < _NOT_SOUND)
    if bad.any():
        place, channel = (int(i) for i in np.argwhere(bad)[0])
        raise AudioError(
            f"{source!r} holds the value {block[place, channel]} at {(first + place) / rate:.3f} s, "
            "which is no sound: export the file again, or cut that place out"
        )


class _Collector:
    """Resamples blocks into one array, which lies in a temporary file: an hour would be 350 MB of memory."""

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
        """All samples; their number is the exact length of `count` samples at the new rate, rounded."""
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
        """Let go of the file; an array that was mapped from it keeps it."""
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
    """Give back the memory of the samples that were read, if they lie in a file; they are read again when needed."""
    owner: object = samples
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    mapping = getattr(owner, "_mmap", None)
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)
